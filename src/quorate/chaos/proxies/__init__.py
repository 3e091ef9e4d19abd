"""The network between the nodes, in userspace: each connection runs through a relay that can disturb it."""
