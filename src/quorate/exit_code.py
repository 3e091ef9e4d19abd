"""The exit codes of `quorate`, for scripts and for what starts nodes again. Each tells what to do next.

`node` ends with DONE when it was told to stop, and with FAILED when it failed: then a supervisor starts it again. It
must not do so after REMOVED, when the cluster has no such member any more, nor after HALTED. That is when the node
could have given wrong answers, because its log contradicts the cluster's, or this program cannot follow it. A new start
does not change that.
"""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1  # refused, or failed
USAGE: Final = 2  # wrong usage, or wrong settings
NOT_REACHED: Final = 3  # no leader, or no node reachable: surely not done
UNKNOWN: Final = 4  # it may have been done: send it again with the same id
# `chaos` and `check`: no violation was found, and the history does not show enough for "clean". `audit`: nothing
# differs, and not all could be compared.
INCONCLUSIVE: Final = 5
PASSED_OVER: Final = 6  # done, but for lines that were passed over
REMOVED: Final = 7  # this node was removed from the cluster
HALTED: Final = 8  # this node stopped itself, because it could have given wrong answers
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
