"""Planted bugs: the product with one behaviour made wrong, to show that the checks can fail.

A mutant is a small change to the source of one or a few functions (`planting.py`). The files that are named for rooms
have them, `all.py` lists them, and `catching.py` says by what and how fast each is caught. Nothing of it is in a
release.
"""
