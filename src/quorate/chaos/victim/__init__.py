"""What runs inside a node's process so that its disk, its clock and its moments of death can be chosen.

    python -P -m quorate.chaos.victim node --config FILE

It is `quorate node` with these seams (`seams.py`). What it does is in `chaos.json` in the node's data folder, see
`orders.py`; without that file it does nothing.
"""
