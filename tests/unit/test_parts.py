"""A node's parts start in order and stop in the reverse order, whatever one of them does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from quorate.parts import Part, Parts


class Recorded:
    """Parts that write down what is asked of them; some are plain functions, some are coroutines."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def part(self, name: str, *, at_start: Exception | None = None, at_stop: Exception | None = None) -> Part:
        def start() -> None:
            self.done.append(f"start {name}")
            if at_start is not None:
                raise at_start

        async def stop() -> None:
            self.done.append(f"stop {name}")
            if at_stop is not None:
                raise at_stop

        return Part(name, start, stop)


def run(parts: Parts, started: Callable[[], None] = lambda: None) -> None:
    async def main() -> None:
        try:
            await parts.start()
            started()
        finally:
            await parts.stop()

    asyncio.run(main())


def test_parts_start_in_order_and_stop_in_the_reverse_order() -> None:
    seen = Recorded()
    parts = Parts([seen.part("http"), seen.part("replica"), seen.part("flush")])
    run(parts, lambda: seen.done.append("runs"))
    assert ["start http", "start replica", "start flush", "runs", "stop flush", "stop replica", "stop http"] == (
        seen.done
    )


def test_a_part_may_only_start_or_only_stop() -> None:
    seen = Recorded()
    run(
        Parts([Part("http", start=lambda: seen.done.append("on")), Part("drain", stop=lambda: seen.done.append("off"))])
    )
    assert ["on", "off"] == seen.done


def test_when_a_part_fails_to_start_no_other_starts_and_all_are_stopped() -> None:
    """A part that was not started is stopped too: making it may have opened a file."""
    seen = Recorded()
    parts = Parts([seen.part("http"), seen.part("replica", at_start=OSError("port is taken")), seen.part("flush")])
    with pytest.raises(OSError, match="port is taken"):
        run(parts)
    assert ["start http", "start replica", "stop flush", "stop replica", "stop http"] == seen.done


def test_a_part_that_fails_to_stop_is_logged_and_the_others_are_stopped(caplog: pytest.LogCaptureFixture) -> None:
    seen = Recorded()
    run(Parts([seen.part("http"), seen.part("replica", at_stop=RuntimeError("no")), seen.part("flush")]))
    assert ["stop flush", "stop replica", "stop http"] == seen.done[3:]
    assert ["replica did not stop as it should; going on"] == [record.getMessage() for record in caplog.records]


def test_a_part_that_does_not_stop_in_time_is_logged_and_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    seen = Recorded()

    async def hang() -> None:
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        run(Parts([seen.part("http"), Part("Consul", stop=hang, stop_s=0.01)]))
    assert ["start http", "stop http"] == seen.done
    assert ["Consul did not stop within 0.01 s; going on"] == [record.getMessage() for record in caplog.records]
