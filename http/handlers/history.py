"""How a poll came to be what it is, as this node recorded it: GET /polls/ID/history.

A history is a node's own. So it is answered by the node that was asked, whoever leads, and another node may have other
gaps. A poll that this node does not know yet has no history here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from heapq import nlargest
from itertools import chain

import msgspec

from quorate.cluster.fsm import PollView
from quorate.errors import Invalid, UnknownPoll
from quorate.history.history_file import SECONDS_KEPT_S, SPARE_S, Kept, Table
from quorate.history.measuring import decode_options
from quorate.history.steps import gaps_in, rows_at
from quorate.http.api import Api
from quorate.http.handlers.named import names_polls
from quorate.http.operation import ID, Operation
from quorate.http.reply import Reply, reply
from quorate.http.request import Request, once, read_query
from quorate.http.routing import Rendering

STEPS_MAX = 2_000
GAPS_MAX = 100
OPTIONS_SHOWN_MAX = 100
STEPS_WANTED = 360  # or less, where no step is asked for
MINUTE_S = 60
NATURAL_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
SPAN = re.compile(r"(\d{1,7})([smhd]?)", re.ASCII)
UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class HistoryGap(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to"}):
    begin: str
    end: str


class HistoryAnswer(msgspec.Struct, frozen=True, rename={"begin": "from", "end": "to"}):
    """The value at step i is that at `from` and i times `step_s`. null: this node does not know it."""

    id: str
    creation: int
    node: str
    begin: str
    end: str
    now: str
    step_s: int
    kept_from: str | None  # before it nothing is recorded any more, or yet
    gaps: Sequence[HistoryGap]  # the newest hundred, from the last second that is known to the next one
    totals: Sequence[int | None]
    options: dict[str, Sequence[int | None]]  # those that were among the biggest ten; most votes first


SHOW = Operation(
    "How a poll's tally changed over time, as this node recorded it",
    HistoryAnswer,
    [
        ID,
        {
            "name": "from",
            "in": "query",
            "schema": {"type": "string", "default": "1h"},
            "description": "how long ago (90s, 15m, 1h, 7d), or since when (2030-05-01T12:00:00Z)",
        },
        {
            "name": "step",
            "in": "query",
            "schema": {"type": "string"},
            "description": "from one value to the next (10s, 5m); if it is left out, a natural one for up to "
            f"{STEPS_WANTED} steps",
        },
    ],
    words=f"Of this node alone. Seconds are kept for an hour, minutes for a week. Up to {STEPS_MAX:,} steps. A null is "
    "a gap: this node was down, paused, cut off or behind, or nothing is kept any more. Of polls with more than ten "
    "options the ten with most votes are recorded, so an option has nulls where it was not among them. If over "
    f"{OPTIONS_SHOWN_MAX} were at some step, those that had the most votes are shown. `gaps` has also those that no "
    "step meets.",
)


@dataclass(frozen=True, slots=True)
class Window:
    begin: int
    step_s: int
    now: int

    @property
    def moments(self) -> range:
        return range(self.begin, self.now + 1, self.step_s)

    @property
    def table(self) -> Table:
        old = self.begin < self.now - SECONDS_KEPT_S - SPARE_S
        return "minutes" if old and self.step_s % MINUTE_S == 0 else "seconds"


@names_polls
async def show(api: Api, request: Request, poll_id: str) -> Rendering:
    """GET /polls/ID/history."""
    parameters = read_query(request.query, frozenset({"from", "step"}))
    window = read_window(once(parameters, "from", "1h"), once(parameters, "step", ""), _now(api))
    try:
        api.reads.check_poll(poll_id)
    except UnknownPoll:
        await api.reads.wait_until_known(0, 0)  # raises `NotReady` if it may well exist
        raise
    poll = api.replica.state.poll(poll_id)
    assert poll is not None, "it was just seen"
    kept = Kept()
    if api.history is not None:
        async with api.places.histories.waiting(request.caller):
            kept = await api.history.read((poll_id, poll.creation), window.table, window.begin, window.now)
    return partial(_render, api.replica.node_id, poll, window, kept)


def _now(api: Api) -> int:
    return int(time.time()) if api.history is None else api.history.now()


def read_window(begin: str, step: str, now: int) -> Window:
    """Steps of seconds begin when they are asked to, so an hour of them ends now. Minutes are those of the clock."""
    begin_s = _moment(begin, now)
    step_s = _seconds(step, "step") if step else _natural_step(now - begin_s)
    if step_s < 1:
        raise Invalid("step is 0; give a second or more, as 10s or 5m")
    if begin_s > now:
        raise Invalid(f"from is {begin[:40]!r}, and that is still to come")
    window = Window(begin_s, step_s, now)
    if window.table == "minutes":
        window = Window(begin_s - begin_s % step_s, step_s, now)
    if (steps := len(window.moments)) > STEPS_MAX:
        raise Invalid(
            f"that is {steps:,} steps, and an answer has up to {STEPS_MAX:,}: give a longer step, or a later from"
        )
    if step_s % MINUTE_S and begin_s < now - SECONDS_KEPT_S:
        raise Invalid("beyond the last hour only minutes are kept: give whole minutes as step, as 1m, or a later from")
    return window


def _moment(text: str, now: int) -> int:
    """Unix time, in seconds. At most a little more than what is kept, so that no number is absurd."""
    if SPAN.fullmatch(text):
        return max(now - _seconds(text, "from"), 0)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Invalid(
            f"from is {text[:40]!r}; give how long ago, as 90s, 15m, 1h or 7d, or a time as 2030-05-01T12:00:00Z"
        )
    return max(int(found.timestamp()), 0)


def _seconds(text: str, what: str) -> int:
    match = SPAN.fullmatch(text)
    if match is None:
        raise Invalid(f"{what} is {text[:40]!r}; give a time such as 10s, 5m or 1h")
    return int(match[1]) * UNITS_S[match[2]]


def _natural_step(long_s: int) -> int:
    fits = (step_s for step_s in NATURAL_S if long_s <= step_s * STEPS_WANTED)
    step_s = next(fits, NATURAL_S[-1])
    return max(step_s, MINUTE_S) if long_s > SECONDS_KEPT_S else step_s


def _render(node: str, poll: PollView, window: Window, kept: Kept) -> Reply:
    rows = rows_at(kept, window.moments)
    biggest = [() if row is None else decode_options(row.options) for row in rows]
    highest: dict[int, int] = {}
    for place, votes in chain.from_iterable(biggest):
        highest[place] = max(highest.get(place, 0), votes)
    shown = nlargest(OPTIONS_SHOWN_MAX, highest, key=highest.__getitem__)
    found: dict[int, list[int | None]] = {place: [None] * len(rows) for place in shown}
    for step, options in enumerate(biggest):
        for place, votes in options:
            if place in found:
                found[place][step] = votes
    names = poll.options
    last = sorted(found, key=lambda place: (-(found[place][-1] or 0), place))
    return reply(
        HistoryAnswer(
            id=poll.id,
            creation=poll.creation,
            node=node,
            begin=_show_time(window.begin),
            end=_show_time(window.moments[-1]),
            now=_show_time(window.now),
            step_s=window.step_s,
            kept_from=None if kept.since is None else _show_time(kept.since),
            gaps=[
                HistoryGap(_show_time(gone), _show_time(back))
                for gone, back in gaps_in(kept, window.begin, window.now)[-GAPS_MAX:]
            ],
            totals=[None if row is None else row.total for row in rows],
            options={names[place]: found[place] for place in last if place < len(names)},
        )
    )


def _show_time(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
