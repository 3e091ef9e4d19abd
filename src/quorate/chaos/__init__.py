"""Chaos testing: faults in a real cluster, a history of what clients saw, and a verdict. See docs/design/chaos.md."""
