"""What can be wrong with the bytes from one node to another, in the words of Toxiproxy where it has a word for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

N = TypeVar("N", int, float)
Way = tuple[str, str]  # the node that sends, the node that receives


@dataclass(frozen=True, slots=True)
class Toxics:
    """Of one direction. The default is a sound network."""

    down: bool = False  # silent: connections stay open, and bytes wait
    flaps_s: float = 0.0  # down for so long, then up for so long, and again
    latency_s: float = 0.0
    jitter_s: float = 0.0  # up to so much more or less than the latency; the order of bytes stays
    bandwidth_bytes_s: float = 0.0  # 0: as much as comes
    loss: float = 0.0  # the share of lost pieces. TCP sends them again, so what follows waits: see `OneWayStream`
    slicer_bytes: int = 0  # pieces no longer than this, with a pause after each
    slicer_pause_s: float = 0.0
    slow_close_s: float = 0.0  # the end of a connection is told so much later
    timeout_s: float | None = None  # nothing gets through, and the connection is closed after so long
    reset_peer_s: float | None = None  # the connection is reset after so long
    limit_data_bytes: int | None = None  # after so many bytes the connection is closed
    reordering: float = 0.0  # the share of pieces that come late, after those of the connection that was made meanwhile

    def with_(self, other: Toxics) -> Toxics:
        """Both at once."""
        return Toxics(
            down=self.down or other.down,
            flaps_s=_least(self.flaps_s, other.flaps_s) or 0.0,
            latency_s=self.latency_s + other.latency_s,
            jitter_s=self.jitter_s + other.jitter_s,
            bandwidth_bytes_s=_least(self.bandwidth_bytes_s, other.bandwidth_bytes_s) or 0.0,
            loss=1 - (1 - self.loss) * (1 - other.loss),
            slicer_bytes=int(_least(self.slicer_bytes, other.slicer_bytes) or 0),
            slicer_pause_s=max(self.slicer_pause_s, other.slicer_pause_s),
            slow_close_s=max(self.slow_close_s, other.slow_close_s),
            timeout_s=_least_given(self.timeout_s, other.timeout_s),
            reset_peer_s=_least_given(self.reset_peer_s, other.reset_peer_s),
            limit_data_bytes=_least_given(self.limit_data_bytes, other.limit_data_bytes),
            reordering=max(self.reordering, other.reordering),
        )


SOUND = Toxics()


def together(toxics: Iterable[Toxics]) -> Toxics:
    return reduce(Toxics.with_, toxics, SOUND)


def _least(a: float, b: float) -> float:
    """The lesser one; 0 stands for no limit."""
    return min(a, b) if a and b else a or b


def _least_given(a: N | None, b: N | None) -> N | None:
    return b if a is None else a if b is None else min(a, b)
