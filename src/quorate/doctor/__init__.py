"""What may be wrong with this machine and with a cluster, in words, with what to do about it: for `quorate doctor`.

`machine.py` looks at what one node needs here: its settings, its folder and disk, ports, limits. `nodes.py` asks all
nodes how they are. `bundle.py` packs what somebody else needs for helping. Nothing is changed, and no log is opened.
"""
