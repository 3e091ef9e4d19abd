"""Processes of nodes and other servers on this machine: started, asked, signalled, stopped, and never left behind.

For `quorate dev`, benches and tests. `process.py` is any process, `node.py` a node's, `cluster.py` several nodes.
"""
