"""What every suite shares. Hypothesis: no example depends on how fast a machine is, and a failure can be replayed."""

from __future__ import annotations

import signal

from hypothesis import settings

# No deadline per example (a busy machine is not a bug) and no database on disk: a failure prints what replays it.
settings.register_profile("quorate", deadline=None, database=None, print_blob=True)
settings.load_profile("quorate")

# Under `scripts/test.sh &` a shell has SIGINT ignored, under `nohup` SIGHUP, and so would the nodes of the tests have
# them.
# A signal that this process handles is at its default in the processes that it starts.
for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _handler)
