"""Runs a stream: makes its parts of the options, catches the signals that stop it, and says how it ended."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from quorate import logs
from quorate.cli.node_options import print_json
from quorate.cli.output import echo
from quorate.cli.stream_display import StreamDisplay, stream_display
from quorate.cli.stream_options import StreamOptions
from quorate.cli.stream_places import held_places
from quorate.cli.stream_polls import polls_news, polls_reader
from quorate.cli.stream_target import vote_target
from quorate.exit_code import DONE
from quorate.stop_signals import stop_signals

if TYPE_CHECKING:
    from quorate.ingest.social.network import Network
    from quorate.ingest.social.stream_status import StreamStatus

SHOW_CURSOR = b"\x1b[?25h\r\n"  # which the display of the progress has hidden
IMPORTED_S = 15.0  # for a poll to be imported, once the cluster looks for such


class StopAsked(BaseException):
    """A signal came while the stream was being started: nothing was read yet. No library may take it for a failure."""


class StopFlag:
    """The first signal asks for the stop, the second one ends the process at once."""

    def __init__(self) -> None:
        self.is_set = False
        self._is_running = False

    def running(self) -> None:
        """From now on the stream looks at the flag by itself."""
        self._is_running = True

    def on_signal(self, number: int, _: Any) -> None:
        if self.is_set:
            if sys.stderr.isatty():
                os.write(2, SHOW_CURSOR)
            os._exit(1)
        self.is_set = True
        if not self._is_running:
            raise StopAsked


@contextlib.contextmanager
def stop_flag() -> Iterator[StopFlag]:
    flag = StopFlag()
    before = {number: signal.signal(number, flag.on_signal) for number in stop_signals()}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_stream(network: Network, options: StreamOptions) -> int:
    """Until the network ends, or a signal. The exit code is 0 for both."""
    settings = options.config.log
    with stop_flag() as flag, contextlib.suppress(StopAsked), contextlib.closing(stream_display()) as display:
        logs.set_up(network.name, level=settings.level, format=settings.format, file=settings.file)
        status = _run(network, options, flag, display)
        display.close()
        print_json(status.report()) if options.as_json else echo(status.summary())
    return DONE


def _run(network: Network, options: StreamOptions, flag: StopFlag, display: StreamDisplay) -> StreamStatus:
    from quorate.ingest.social.counts import StreamCounts
    from quorate.ingest.social.listen import StreamListener
    from quorate.ingest.social.options.live_polls import LivePolls
    from quorate.ingest.social.pipeline import Pipeline
    from quorate.ingest.social.places import Places
    from quorate.ingest.social.progress import StreamProgress
    from quorate.ingest.social.stream_status import StreamStatus

    reader = polls_reader(options.config, options.nodes, options.timeout_s)
    target = vote_target(options)
    target.outlet.check()
    name = " ".join(part for part in (network.name, network.source, f"to {target.name}") if part)
    counts, stream = StreamCounts(), options.config.stream
    with held_places(name, options) as held, contextlib.ExitStack() as stack:
        places = Places(held.keeper, new=options.new)
        polls = LivePolls(reader, held.shard, polls_news(options.config, options.nodes))
        target.check_window(polls.current.polls)

        def tick() -> None:
            held.check()
            display.tick(lines)

        stop, wait_s = lambda: flag.is_set, _unknown_wait_s(options)
        pipeline = Pipeline(network, polls, target.outlet, places, counts, stop, tick, unknown_wait_s=wait_s)
        status = StreamStatus(network, polls, places, counts, pipeline, target.outlet, held.shard)
        lines = StreamProgress(status).lines
        if stream.listen:
            stack.enter_context(contextlib.closing(StreamListener(stream.listen, status, stream.hosts)))
        flag.running()
        try:
            pipeline.run()
        finally:
            if pipeline.leaves_threads:  # none of them may hold a stream of Python's while that ends
                logging.disable()
    return status


def _unknown_wait_s(options: StreamOptions) -> float:
    """A poll that is read from MongoDB may be new there, and the cluster looks for such from time to time."""
    from_mongo = options.config.stream.options_from == "mongo"
    return options.config.mongo.poll_refresh_s + IMPORTED_S if from_mongo else 0.0
