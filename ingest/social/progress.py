"""What a terminal shows of a stream, in lines of plain text: its speed, what is mentioned most, what troubles it."""

from __future__ import annotations

from collections import deque

from quorate import shown
from quorate.ingest.social.stream_status import StreamStatus
from quorate.words import count

OVER_S = 5.0  # rates are of so many seconds
OPTIONS_SHOWN = 5


class StreamRates:
    """Posts and votes a second, lately."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def note(self, now_s: float, posts: int, votes: int) -> tuple[float, float]:
        self._seen.append((now_s, posts, votes))
        while len(self._seen) > 2 and now_s - self._seen[0][0] > OVER_S:
            self._seen.popleft()
        since_s, posts_before, votes_before = self._seen[0]
        took_s = now_s - since_s
        return ((posts - posts_before) / took_s, (votes - votes_before) / took_s) if took_s > 0 else (0.0, 0.0)


class StreamProgress:
    def __init__(self, status: StreamStatus) -> None:
        self._status = status
        self._rates = StreamRates()

    def lines(self, now_s: float) -> list[str]:
        """`now_s` is by any clock that only goes on."""
        report = self._status.report()
        posts, votes = report["posts"], report["votes"]
        posts_s, votes_s = self._rates.note(now_s, posts["confirmed"], votes["confirmed"])
        state = "connected" if report["connected"] else report["rests"] or "not connected"
        speed = f"{_rate(posts_s, 'posts')}, {_rate(votes_s, 'votes')}"
        lines = [
            f"{report['network']}: {state}, {speed}, {_lag(report['lag_s'])}",
            f"{count(posts['confirmed'], 'post')}, {count(votes['confirmed'], 'vote')} to {votes['to']}"
            f"{_waiting(posts['under_way'])}",
        ]
        if top := report["options"][:OPTIONS_SHOWN]:
            lines.append(", ".join(f"{shown.name(each['option'])} {each['votes']:,}" for each in top))
        for what in ("disconnects", "rejected"):
            if found := report[what] if what in report else votes[what]:
                lines.append(f"{what}: " + ", ".join(f"{word} {number:,}" for word, number in found.items()))
        if figures := report.get("figures"):
            lines.append(", ".join(f"{name.replace('_', ' ')} {number:,.10g}" for name, number in figures.items()))
        lines += [f"posts are lost since {loss['at']}: {loss['why']}" for loss in report["lost"][-1:]]
        if votes["trouble"]:
            lines.append(f"no votes are taken: {votes['trouble']}")
        if report["positions"]["trouble"]:
            lines.append(f"the position is not kept: {report['positions']['trouble']}")
        if report["polls"]["trouble"]:
            lines.append(f"the options are those of {report['polls']['read_at']}: {report['polls']['trouble']}")
        return [shown.line(line, 400) for line in lines]


def _rate(a_second: float, what: str) -> str:
    return f"{a_second:,.0f} {what}/s"


def _lag(lag_s: float | None) -> str:
    if lag_s is None:
        return "lag not known"
    if lag_s < 120:
        return f"{lag_s:.1f} s behind"
    return f"{lag_s / 60:,.0f} min behind" if lag_s < 2 * 3_600 else f"{lag_s / 3_600:,.0f} h behind"


def _waiting(posts: int) -> str:
    return f"; {count(posts, 'post')} under way" if posts else ""
