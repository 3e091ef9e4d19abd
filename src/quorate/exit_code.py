"""The exit codes of `quorate`, for scripts and for what starts nodes again. Each tells what to do next.

`node` ends with DONE when it was told to stop, with FAILED when it stopped itself, and with REMOVED when the cluster
has no such member any more: a supervisor must not start it again then.
"""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1  # refused, or failed
USAGE: Final = 2  # wrong usage, or wrong settings
NOT_REACHED: Final = 3  # no leader, or no node reachable: surely not done
UNKNOWN: Final = 4  # it may have been done: send it again with the same id
PASSED_OVER: Final = 6  # done, but for lines that were passed over; 5 is kept for `chaos`
REMOVED: Final = 7  # this node was removed from the cluster
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
