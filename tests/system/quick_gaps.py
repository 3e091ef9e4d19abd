"""Quorate with gaps of X's stream searched at once, instead of more than a minute later, when X's search knows them."""

from __future__ import annotations

from quorate.__main__ import main
from quorate.ingest.social.networks.x import gaps

if __name__ == "__main__":
    gaps.LATE_S = 0.5
    main()
