"""The process that a node runs in: its log, its limits, its event loop, the garbage collector, and its signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection

from quorate import descriptors, logs
from quorate.config import Config
from quorate.node import Node
from quorate.seams import NONE, Seams
from quorate.stop_signals import stop_signals

# A thread that wants the interpreter gets it after this time. The disk thread wants it for microseconds only, so it
# must not wait Python's default of 5 ms for a busy loop.
SWITCH_S = 0.0005
# When the collector of garbage runs. What requests leave is freed without it, so it finds objects that came to stay, as
# those of thousands of connections. It looks at 5,000 of them in 1 to 3 ms; 50,000 would take up to 40.
COLLECT_AFTER = (5_000, 200, 100)

log = logging.getLogger(__name__)


def run(config: Config, given: Collection[str], seams: Seams = NONE) -> int:
    """Run a node until it is told to stop; the exit code. Raises `QuorateError` if the node cannot start.

    `given` are the names of the settings that are no defaults.
    """
    logs.set_up(config.node.id, level=config.log.level, format=config.log.format, file=config.log.file)
    descriptors.raise_limit(config.http.connections_max)
    gc.set_threshold(*COLLECT_AFTER)
    sys.setswitchinterval(SWITCH_S)

    async def main() -> int:
        node = Node(config, given, seams)
        catch_signals(node.ask_to_stop)
        return await node.run()

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main())


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # there is no uvloop for some platforms; asyncio's own loop does the same work, slower
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def catch_signals(stop: Callable[[], None]) -> None:
    """The first signal calls `stop`; the second one ends the process at once."""
    loop = asyncio.get_running_loop()
    caught: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        caught.append(number)
        if len(caught) > 1:
            log.warning("second signal (%s): stopping at once", number.name)
            os._exit(1)
        log.info("%s: handing over and stopping; once more stops at once", number.name)
        stop()

    for number in stop_signals():
        loop.add_signal_handler(number, on_signal, number)
