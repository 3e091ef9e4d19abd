"""The signals that stop this process.

A signal that was ignored when the process started stays ignored. So `nohup` holds what it promises, and Ctrl-C does not
reach what a shell without job control started in the background.
"""

from __future__ import annotations

import signal

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_signals() -> list[signal.Signals]:
    """Ask before handlers are installed."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
