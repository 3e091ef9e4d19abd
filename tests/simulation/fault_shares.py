"""How likely each fault is at each step of a random history. `python -m tests.simulation NAME=FACTOR` makes one
likelier, for example `bridge=10`.
"""

FAULT_SHARES = {
    "partition": 0.03,
    "links": 0.01,
    "ring": 0.01,
    "bridge": 0.01,
    "one-way": 0.01,
    "mend": 0.06,
    "flap": 0.05,
    "loss": 0.03,
    "crash": 0.03,
    "crash-all": 0.003,
    "start": 0.07,
    "hand-over": 0.02,
    "disk": 0.02,
    "copy": 0.05,
    "clock": 0.01,
    "crash-point": 0.02,
}

# Of whole nodes. Their clients know their nodes by name and never see another clock.
WHOLE_SHARES = {
    **{name: share for name, share in FAULT_SHARES.items() if name not in ("copy", "clock")},
    "hand-over": 0.04,
    "sink": 0.04,
}
