"""A network namespace for each node, and a router between them: links are real, and the kernel breaks them."""
