"""The servers beside the nodes: MongoDB, Consul and nsqd. Where they are had, the doors before them, and their lies."""
