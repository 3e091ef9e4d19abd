"""Shows a run while it goes on: a picture that changes on a terminal, otherwise a line for each fault and now and then
one for the figures."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from quorate import shown
from quorate.chaos.run import RunView
from quorate.words import count

FIGURES_EVERY_S = 5.0
RATE_OVER_S = 2.0
ROLE_STYLES = {"leader": "bold green", "down": "bold red", "paused": "yellow", "silent": "red", "candidate": "yellow"}
PHASES = {
    "starting": "the nodes start",
    "running": "clients and faults",
    "mending": "everything is mended",
    "settling": "open questions are asked again",
    "over": "the history is written",
}


class RunDisplay(Protocol):
    def say(self, text: str) -> None:
        """Show a line that stays."""

    def show(self, view: RunView, duration_s: float) -> None: ...

    def close(self) -> None: ...


class OperationRate:
    """Operations a second, over the last moments."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def of(self, operations: int) -> float:
        now_s = time.monotonic()
        self._seen = [(at_s, number) for at_s, number in self._seen if at_s >= now_s - RATE_OVER_S]
        self._seen.append((now_s, operations))
        (first_s, first), passed_s = self._seen[0], now_s - self._seen[0][0]
        return (operations - first) / passed_s if first_s < now_s else 0.0


class RunPicture:
    def __init__(self, console: Console) -> None:
        self._console, self._rate = console, OperationRate()
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def say(self, text: str) -> None:
        self._console.print(Text(shown.lines(text)), soft_wrap=True)

    def show(self, view: RunView, duration_s: float) -> None:
        rate = self._rate.of(view.counts.operations)
        parts: list[RenderableType] = [_head(view, duration_s), _nodes(view.roles), Text()]
        parts += [Text(f"broken: {shown.line(words)}", style="bold red") for words in _broken(view)]
        if not view.broken:
            parts.append(Text("nothing is broken", style="green"))
        parts += [Text(), Text(_figures(view, rate)), Text(_more_figures(view), style="dim")]
        self._live.update(Padding(Group(*parts), (1, 1)), refresh=True)

    def close(self) -> None:
        self._live.stop()


class RunLines:
    """Without a terminal."""

    def __init__(self, console: Console) -> None:
        self._console, self._rate = console, OperationRate()
        self._broken: dict[int, str] = {}
        self._phase = ""
        self._next_s = 0.0

    def say(self, text: str) -> None:
        self._console.print(Text(shown.lines(text)), soft_wrap=True)

    def show(self, view: RunView, duration_s: float) -> None:
        rate = self._rate.of(view.counts.operations)
        if view.phase != self._phase:
            self._phase = view.phase
            self._line(view, PHASES[view.phase])
        broken = {each.number: f"{each.name}: {each.words}" for each in view.broken}
        for number in self._broken.keys() - broken.keys():
            self._line(view, f"mended: {self._broken[number]}")
        for number in broken.keys() - self._broken.keys():
            self._line(view, f"broken: {broken[number]}")
        self._broken = broken
        if view.phase == "running" and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + FIGURES_EVERY_S
            self._line(view, _figures(view, rate))

    def _line(self, view: RunView, text: str) -> None:
        self.say(f"{view.passed_s:7.1f} s  {shown.line(text)}")

    def close(self) -> None:
        pass


def _head(view: RunView, duration_s: float) -> Text:
    text = Text(f"{min(view.passed_s, duration_s):.0f} of {duration_s:.0f} s", style="bold")
    return text.append(f"   {PHASES[view.phase]}", style="not bold dim")


def _nodes(roles: Mapping[str, str]) -> Text:
    text = Text()
    for node, role in roles.items():
        text.append(f"{node} ", style="bold").append(f"{role or '-'}   ", style=ROLE_STYLES.get(role, "dim"))
    return text


def _broken(view: RunView) -> list[str]:
    return [f"{each.words} ({each.name})" for each in view.broken]


def _figures(view: RunView, rate: float) -> str:
    counts = view.counts
    return (
        f"{rate:,.0f} operations a second, {count(counts.acknowledged, 'request')} acknowledged, "
        f"{counts.unknown:,} unknown, {count(view.elections, 'election')}, {count(view.faults, 'fault')}"
    )


def _more_figures(view: RunView) -> str:
    counts = view.counts
    refused = ", ".join(f"{words} {number:,}" for words, number in counts.refused.most_common(3))
    reached = f"{count(len(view.reached), 'situation')} noticed"
    gap = f"longest gap without a vote {counts.longest_gap_s:.1f} s"
    return f"{gap}; {reached}" + (f"; surely not done: {shown.line(refused)}" if refused else "")
