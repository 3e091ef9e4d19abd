"""Posts that nobody wrote: a realistic stream for demos, tests and benches, the same for the same seed.

`posts.py` makes them; `planting.py` says which options can be planted in a text so that nobody can be in doubt what it
mentions; `phrases.py` is what stands around them; `rhythm.py` says how fast they come; `truth.py` counts what was
planted. Nothing here asks `matching/`: what the truth says is not what the matcher finds, but what it should find.
"""
