"""What tc is told of a link that is narrow, slow or out of order. Text alone; nothing here touches the system.

The router's interface to a node has a class (htb) for each other node whose packets are shaped on their way to it. All
else, as what clients send, passes by. The delay of a class is netem's, which not every kernel has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quorate.chaos.toxics import Toxics

AT_ONCE = "10gbit"  # the rate of a class that is not narrow
OUT_OF_ORDER_MS = 20.0  # how much later a packet comes that others overtake
QUANTUM_BYTES = 3_000  # a packet or two in turn, if several classes want to send
PACKETS_MAX = 20_000  # on their way; more are lost


@dataclass(frozen=True, slots=True)
class ShapedWay:
    """To one node, from another one with these addresses."""

    sources: Sequence[str]
    toxics: Toxics


def shaped(toxics: Toxics) -> Toxics:
    """What of it concerns the queues."""
    return Toxics(
        bandwidth_bytes_s=toxics.bandwidth_bytes_s,
        latency_s=toxics.latency_s,
        jitter_s=toxics.jitter_s,
        reordering=toxics.reordering,
    )


def needs_netem(toxics: Toxics) -> bool:
    return bool(toxics.latency_s or toxics.jitter_s or toxics.reordering)


def queues(interface: str, ways: Iterable[ShapedWay]) -> list[str]:
    """Lines for `tc -batch`. The interface has no queues yet."""
    on = f"dev {interface}"
    lines = [f"qdisc add {on} root handle 1: htb default 0"]
    for number, way in enumerate(ways, 0x10):
        rate = f"{way.toxics.bandwidth_bytes_s * 8:.0f}bit" if way.toxics.bandwidth_bytes_s else AT_ONCE
        lines.append(f"class add {on} parent 1: classid 1:{number:x} htb rate {rate} quantum {QUANTUM_BYTES}")
        if needs_netem(way.toxics):
            lines.append(f"qdisc add {on} parent 1:{number:x} netem limit {PACKETS_MAX} {_netem(way.toxics)}")
        lines += [
            f"filter add {on} parent 1: protocol ip u32 match ip src {source}/32 flowid 1:{number:x}"
            for source in way.sources
        ]
    return lines


def no_queues(interface: str) -> str:
    return f"qdisc del dev {interface} root"


def _netem(toxics: Toxics) -> str:
    """With `reorder`, netem sends that share at once and delays the others."""
    overtaking = math.ceil(toxics.reordering * 1000) / 10
    if not toxics.latency_s:
        return f"delay {OUT_OF_ORDER_MS:g}ms {toxics.jitter_s * 1000:g}ms reorder {100 - overtaking:g}%"
    words = f"delay {toxics.latency_s * 1000:g}ms {toxics.jitter_s * 1000:g}ms"
    return f"{words} reorder {overtaking:g}%" if overtaking else words
