"""How each node was at each moment, from looks at it about once a second and from faults that hold it exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from quorate.chaos.history import NodeLook
from quorate.chaos.report.story import SPANS_MAX, FaultSpan, NodeSpan

HOLDS = {"pause-": "paused", "kill-": "down", "power-cut": "down"}  # by the beginning of a fault's name
LOOKS_MAX = 20_000  # runs of equal looks at a node that are kept
WORST = ("down", "paused", "silent", "starting", "candidate", "learner", "follower", "leader", "")

State = tuple[str, bool, bool]  # as the node says or the run knows, cut off, disk harmed
NOTHING: State = ("", False, False)


@dataclass(slots=True)
class _Run:
    """Looks that showed the same."""

    first: float
    last: float
    state: State


class NodeLanes:
    def __init__(self, nodes_max: int) -> None:
        self._most = nodes_max
        self._runs: dict[str, list[_Run]] = {}

    def look(self, look: NodeLook) -> None:
        if look.node not in self._runs and len(self._runs) >= self._most:
            return
        runs, state = self._runs.setdefault(look.node, []), (look.role, look.cut_off, look.harmed)
        if runs and runs[-1].state == state:
            runs[-1].last = look.at
        elif len(runs) < LOOKS_MAX:
            runs.append(_Run(look.at, look.at, state))

    def spans(self, faults: Sequence[FaultSpan], until: float) -> dict[str, list[NodeSpan]]:
        return {
            node: _coarse(_joined(_pieces(runs, _holds(faults, node, until), until)), until)
            for node, runs in sorted(self._runs.items(), key=lambda item: (len(item[0]), item[0]))
        }


def _holds(faults: Sequence[FaultSpan], node: str, until: float) -> list[tuple[float, float, str]]:
    """From when until when a fault surely had the node down or paused."""
    return [
        (fault.begun, until if fault.ended is None else fault.ended, state)
        for fault in faults
        if node in fault.victims
        for start, state in HOLDS.items()
        if fault.name.startswith(start)
    ]


def _pieces(runs: Sequence[_Run], holds: Sequence[tuple[float, float, str]], until: float) -> Iterable[NodeSpan]:
    cuts = sorted({run.first for run in runs} | {at for hold in holds for at in hold[:2]} | {until})
    place, begins, held_until = -1, 0, 0.0
    ordered = sorted(holds)
    for begun, ended in pairwise(cuts):
        while place + 1 < len(runs) and runs[place + 1].first <= begun:
            place += 1
        while begins < len(ordered) and ordered[begins][1] <= begun:
            held_until = max(held_until, ordered[begins][1])
            begins += 1
        active = [state for since, to, state in ordered[begins : begins + 8] if since <= begun < to]
        state = runs[place].state if place >= 0 else NOTHING
        if active:
            state = ("down" if "down" in active else active[0], state[1], state[2])
        elif place >= 0 and runs[place].last < held_until:
            state = ("starting", state[1], state[2])  # nobody has looked at it since
        yield NodeSpan(begun, ended, *state)


def _joined(pieces: Iterable[NodeSpan]) -> list[NodeSpan]:
    spans: list[NodeSpan] = []
    for piece in pieces:
        if spans and _state(spans[-1]) == _state(piece) and spans[-1].ended == piece.begun:
            spans[-1].ended = piece.ended
        elif piece.ended > piece.begun:
            spans.append(piece)
    return spans


def _coarse(spans: list[NodeSpan], until: float) -> list[NodeSpan]:
    """At most SPANS_MAX: of what is too short to be seen, the worst."""
    if len(spans) <= SPANS_MAX:
        return spans
    width = until / SPANS_MAX
    worst: dict[int, State] = {}
    for span in spans:
        for place in range(max(0, int(span.begun / width)), min(SPANS_MAX, int(span.ended / width) + 1)):
            worst[place] = min(worst.get(place, _state(span)), _state(span), key=_badness)
    return _joined(NodeSpan(place * width, (place + 1) * width, *worst[place]) for place in sorted(worst))


def _badness(state: State) -> tuple[int, bool, bool]:
    role, cut_off, harmed = state
    return WORST.index(role) if role in WORST else 0, not cut_off, not harmed


def _state(span: NodeSpan) -> State:
    return span.state, span.cut_off, span.harmed
