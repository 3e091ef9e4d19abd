"""`quorate bench`: a quick figure on a cluster that runs, and whether its tally is exactly what was confirmed.

It shares no code with `bench/`, which makes clusters of its own and compares programs. This room only sends votes to a
poll of its own: `measuring.py` tells the story, `loading.py` sends, `bench_poll.py` makes and removes the poll.
"""
