"""Shows a running cluster: as a picture that changes on a terminal, otherwise as a line for each event."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from quorate import shown
from quorate.dev.poller import NodeView, Poller, TallyView
from quorate.dev.supervisor import Child
from quorate.exit_code import HALTED, REMOVED
from quorate.logs import message_of
from quorate.tally_table import tally
from quorate.words import count

TALLY_LINE_EVERY_S = 5.0
NO_ANSWER = "no answer"  # the state of a node that runs and says nothing
FINAL_STATES = {REMOVED: "removed", HALTED: "halted"}  # to start such a node again does not help
FRAME_COLUMNS = 4  # two beside the picture, and two before a command
ROLE_STYLES = {"leader": "bold green", "candidate": "yellow", "halted": "red"}


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node as it is shown. `state` is up, no answer, down, restarting, removed or halted.

    `note` is how its process ended.
    """

    child: Child
    view: NodeView
    pid: int | None
    state: str
    note: str = ""


def rows_of(children: Sequence[Child], poller: Poller) -> list[NodeRow]:
    return [_row(child, poller.views[child.place.id]) for child in children]


def _row(child: Child, view: NodeView) -> NodeRow:
    pid = child.pid
    if view.up and pid is not None:
        return NodeRow(child, view, pid, "up")
    if pid is not None:
        return NodeRow(child, view, pid, NO_ANSWER)
    state = FINAL_STATES.get(child.code or 0) or ("restarting" if child.restart_at_s is not None else "down")
    return NodeRow(child, NodeView(), None, state, how_it_ended(child.code))


def how_it_ended(code: int | None) -> str:
    if code is None:
        return ""
    return f"killed by signal {-code}" if code < 0 else f"ended with code {code}"


def stopped_itself(id: str, last_line: str) -> str:
    """One sentence, from the last line that the node wrote."""
    why = message_of(last_line).removeprefix(f"{id} stopped itself: ")
    return f"{id} stopped itself: {why}" if why else f"{id} stopped itself; its log does not say why"


class Display(Protocol):
    def say(self, text: str) -> None:
        """Show a line that stays."""
        ...

    def show(self, rows: Sequence[NodeRow], tally_view: TallyView | None, more: Sequence[str] = ()) -> None:
        """`more`: lines that change, to stand below the tally."""
        ...

    def close(self) -> None: ...


class Picture:
    """For a terminal: the nodes, the tally and what to try, drawn again in the same place."""

    def __init__(self, console: Console, footer: str, start_command: Callable[[Child], str]) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._console = console
        self._footer = footer
        self._start_command = start_command
        self._told_down: set[str] = set()
        if not self._fits(footer):
            self.say(footer)
            self._footer = "What to try stands above."
        self._live.start()

    def say(self, text: str) -> None:
        self._console.print(Text(shown.lines(text)), soft_wrap=True)

    def _fits(self, text: str) -> bool:
        """Whether the picture can show it unbroken. A command that is broken inside a path cannot be copied."""
        return all(cell_len(line) + FRAME_COLUMNS <= self._console.width for line in text.splitlines())

    def _down(self, row: NodeRow) -> Text:
        """How to start it again: in the picture if it fits there, otherwise once above the picture."""
        id, command = row.child.place.id, self._start_command(row.child)
        if self._fits(command):
            return _down(row, command)
        if id not in self._told_down:
            self._told_down.add(id)
            self.say(f"{id} is down; start it again:\n{command}")
        return Text(f"{id} is down{f' ({row.note})' if row.note else ''}", style="red")

    def show(self, rows: Sequence[NodeRow], tally_view: TallyView | None, more: Sequence[str] = ()) -> None:
        down = [row for row in rows if row.state == "down"]
        self._told_down &= {row.child.place.id for row in down}
        parts: list[RenderableType] = [Text(), _nodes_table(rows)]
        parts += [self._down(row) for row in down]
        parts += [Text(), *_tally_part(tally_view), *(Text(shown.line(line)) for line in more), _flush_part(rows)]
        parts += [Text(), Text(self._footer, style="dim")]
        self._live.update(Padding(Group(*parts), (0, 1)), refresh=True)

    def close(self) -> None:
        self._live.stop()


def _nodes_table(rows: Sequence[NodeRow]) -> Table:
    newest = max((row.view.version for row in rows), default=0)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("node", "address", "role"):
        table.add_column(heading)
    for heading in ("term", "version", "lag", "process"):
        table.add_column(heading, justify="right")
    table.add_column("state")
    for row in rows:
        view = row.view
        numbers = [f"{view.term:,}", f"{view.version:,}", f"{newest - view.version:,}"] if view.up else ["-"] * 3
        table.add_row(
            Text(row.child.place.id, style="bold"),
            row.child.place.url,
            Text(view.role or "-", style=ROLE_STYLES.get(view.role, "")),
            *numbers,
            str(row.pid or "-"),
            Text(row.state, style="green" if row.state == "up" else "bold red"),
        )
    return table


def _down(row: NodeRow, command: str) -> Text:
    text = Text(f"{row.child.place.id} is down{f' ({row.note})' if row.note else ''}; start it again:\n", style="red")
    return text.append(f"  {command}", style="bold")


def _tally_part(view: TallyView | None) -> list[RenderableType]:
    if view is None:
        return [Text("no poll yet", style="dim")]
    total = sum(view.results.values())
    head = Text(shown.line(view.title), style="bold").append(
        f"   {shown.line(view.poll)}, {view.state}: {count(total, 'vote')}, {view.rate:,.0f} a second",
        style="not bold dim",
    )
    return [head, tally(view.results, rows_max=12)]


def _flush_part(rows: Sequence[NodeRow]) -> Text:
    words = [row.view.flush for row in rows if row.view.flush]
    return Text(f"Flush: {shown.line(words[0]) if words else 'nobody leads just now'}", style="dim")


class Lines:
    """Without a terminal: a line when a node comes, goes or leads, and the tally from time to time."""

    def __init__(self, console: Console, start_command: Callable[[Child], str]) -> None:
        self._console = console
        self._start_command = start_command
        self._states: dict[str, str] = {}
        self._leader: tuple[int, str] | None = None
        self._counted: dict[str, int] | None = None
        self._next_tally_s = 0.0

    def say(self, text: str) -> None:
        self._console.print(Text(shown.lines(text)), soft_wrap=True)

    def show(self, rows: Sequence[NodeRow], tally_view: TallyView | None, more: Sequence[str] = ()) -> None:
        for row in rows:
            self._show_state(row)
        self._show_leader(rows)
        if tally_view is not None and tally_view.results != self._counted and time.monotonic() >= self._next_tally_s:
            self._next_tally_s = time.monotonic() + TALLY_LINE_EVERY_S
            self._counted = dict(tally_view.results)
            counts = ", ".join(f"{option} {votes:,}" for option, votes in self._counted.items())
            for line in (f"{tally_view.poll}: {counts}", *more):
                self.say(shown.line(line))

    def _show_state(self, row: NodeRow) -> None:
        id = row.child.place.id
        if self._states.get(id) == row.state:
            return
        self._states[id] = row.state
        line = f"{id} gives no answer" if row.state == NO_ANSWER else f"{id} is {row.state}"
        if row.state == "up":
            line += f" at {row.child.place.url} (process {row.pid})"
        if row.state == "down":
            line += f"{f' ({row.note})' if row.note else ''}; start it again: {self._start_command(row.child)}"
        self.say(line)

    def _show_leader(self, rows: Sequence[NodeRow]) -> None:
        leading = [(row.view.term, row.child.place.id) for row in rows if row.view.role == "leader"]
        if leading and (newest := max(leading)) != self._leader:
            self._leader = newest
            self.say(f"{newest[1]} leads (term {newest[0]})")

    def close(self) -> None:
        pass
