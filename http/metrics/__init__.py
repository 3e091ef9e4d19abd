"""What GET /metrics shows: `TABLE` in table.py lists every metric, and docs/metrics.md is made from it."""
