"""The links between nodes in namespaces: what holds is written into the router's kernel, and into the nodes' routes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from quorate.chaos.link_faults import LinkFaults
from quorate.chaos.namespaces.kernel import Kernel
from quorate.chaos.namespaces.packet_rules import Addresses, rules
from quorate.chaos.namespaces.shaping import ShapedWay, no_queues, queues, shaped
from quorate.chaos.toxics import SOUND, Toxics, Way

JOINED_S = 10.0


class PacketRouter(Protocol):
    """What stands between the nodes."""

    @property
    def kernel(self) -> Kernel: ...

    def addresses_of_all(self) -> Addresses: ...

    def tell_nft(self, text: str) -> None: ...

    def tell_tc(self, text: str) -> None: ...

    def set_packet_size(self, way: Way, bytes_: int | None) -> None:
        """How much one packet carries on this way. None: as much as always."""


class NamespaceLinks(LinkFaults):
    """A link that comes and goes is switched by a thread."""

    def __init__(self, router: PacketRouter) -> None:
        super().__init__()
        self._router = router
        self._asked: Mapping[Way, Toxics] = {}
        self._holds: Mapping[Way, Toxics] = {}
        self._shaped: dict[str, list[ShapedWay]] = {}  # by the node that receives
        self._holding = threading.Lock()
        self._is_written = True
        self._changed, self._ending = threading.Event(), False
        self._flapping = threading.Thread(target=self._flap, name="flapping links", daemon=True)

    def start(self) -> None:
        self._flapping.start()

    def missing(self, toxics: Toxics) -> str | None:
        return self._router.kernel.missing(toxics)

    def close(self) -> None:
        """Idempotent."""
        self._ending = True
        self._changed.set()
        if self._flapping.ident is not None:
            self._flapping.join(JOINED_S)

    def addresses_changed(self) -> None:
        """A node came, went or moved: what holds is said of the addresses that there are."""
        with self._holding:
            self._write(again=True)

    def _carry_out(self, now: Mapping[Way, Toxics]) -> None:
        with self._holding:
            self._asked = now
            self._write()
        self._changed.set()

    # ---- under the lock ---------------------------------------------------------------------------------------------

    def _write(self, *, again: bool = False) -> None:
        at_s = time.monotonic()
        now = {way: _at(toxics, at_s) for way, toxics in self._asked.items()}
        if now == self._holds and self._is_written and not again:
            return
        before, self._holds, self._is_written = self._holds, now, False
        closing = [way for way, toxics in now.items() if toxics.timeout_s is not None]
        begun = [way for way in closing if way not in before or before[way].timeout_s is None]
        addresses = self._router.addresses_of_all()
        self._router.tell_nft(rules(now, addresses, begun))
        self._shape(addresses)
        self._cut_to_size(before)
        self._is_written = True

    def _shape(self, addresses: Addresses) -> None:
        wanted: dict[str, list[ShapedWay]] = {}
        for (source, goal), toxics in self._holds.items():
            if (part := shaped(toxics)) != SOUND and source in addresses and goal in addresses:
                wanted.setdefault(goal, []).append(ShapedWay(addresses[source], part))
        lines = []
        for goal in {*wanted, *self._shaped}:
            if wanted.get(goal) != self._shaped.get(goal):
                lines += [no_queues(goal)] if goal in self._shaped and goal in addresses else []
                lines += queues(goal, wanted[goal]) if goal in wanted else []
        self._shaped = wanted
        if lines:
            self._router.tell_tc("\n".join([*lines, ""]))

    def _cut_to_size(self, before: Mapping[Way, Toxics]) -> None:
        for way in {*before, *self._holds}:
            was, is_now = (of.get(way, SOUND).slicer_bytes for of in (before, self._holds))
            if was != is_now:
                self._router.set_packet_size(way, is_now or None)

    # ---- in the thread ----------------------------------------------------------------------------------------------

    def _flap(self) -> None:
        while not self._ending:
            self._changed.wait(self._until_the_next_flap_s())
            self._changed.clear()
            with self._holding:
                if not self._ending:
                    self._write()

    def _until_the_next_flap_s(self) -> float | None:
        now_s = time.monotonic()
        with self._holding:
            flaps = [toxics.flaps_s for toxics in self._asked.values() if toxics.flaps_s]
        return min((each - now_s % each for each in flaps), default=None)


def _at(toxics: Toxics, at_s: float) -> Toxics:
    """At this moment a link that comes and goes is down or whole."""
    if not toxics.flaps_s:
        return toxics
    is_down = at_s % (2 * toxics.flaps_s) < toxics.flaps_s
    return replace(toxics, flaps_s=0.0, down=toxics.down or is_down)
