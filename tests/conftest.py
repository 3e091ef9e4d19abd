"""What every suite shares. Hypothesis: no example depends on how fast a machine is, and a failure can be replayed."""

from __future__ import annotations

from hypothesis import settings

# No deadline per example (a busy machine is not a bug) and no database on disk: a failure prints what replays it.
settings.register_profile("quorate", deadline=None, database=None, print_blob=True)
settings.load_profile("quorate")
