"""How each poll came to be what it is: a bounded record that each node keeps for itself."""
