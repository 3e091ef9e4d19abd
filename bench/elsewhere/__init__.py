"""The same clients, faults and checkers on other systems: etcd, and Redis with Sentinel, beside Quorate.

    python -m bench.elsewhere --seed 1

| file | what it has |
|---|---|
| `doors.py` | what a client needs of a system: one vote, one read |
| `etcd_cluster.py`, `redis_cluster.py` | three nodes of it, which can be killed, paused and cut off from each other |
| `etcd_doors.py`, `redis_doors.py`, `quorate_doors.py` | ways to count votes in it, naive ones and careful ones |
| `clients.py` | closed loops of votes and reads, a probe, and the end: open questions, then every tally |
| `counting.py` | what was lost, counted twice and read stale, from the history alone |
| `rows.py` | the rows of the table |
| `table.py` | the table |
"""
