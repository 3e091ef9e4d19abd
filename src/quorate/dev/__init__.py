"""A whole cluster on this machine, in the foreground: created or continued, shown, and stopped with Ctrl-C.

Everything that can be checked is checked before a node starts. The nodes run as processes of their own, and this
process only watches them. A node that is killed stays down unless --restart is given, to show how the others go on.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from quorate.client.feed import feed
from quorate.client.http import JsonClient
from quorate.client.urls import DEFAULT_NODES
from quorate.client.votes_file import VotesFile, scan
from quorate.config import SETTINGS, Config, load
from quorate.dev.display import Display, Lines, Picture, rows_of, stopped_itself
from quorate.dev.folder import CannotStart, ClusterFolder, Mark, settings_of
from quorate.dev.poller import Poller
from quorate.dev.story import OPTIONS as STORY_OPTIONS
from quorate.dev.story import POLL as STORY_POLL
from quorate.dev.story import Story
from quorate.dev.supervisor import Child, Supervisor
from quorate.errors import NoLeader, QuorateError
from quorate.processes.node import Place
from quorate.stop_signals import SignalledEvent, stop_signals

LEADER_DEADLINE_S = 30.0
SHOW_EVERY_S = 0.25
SAMPLE_POLL = "mood"
SAMPLE_TITLE = "How are you?"
SAMPLE_OPTIONS = ("happy", "calm", "curious", "tired", "sad")
SAMPLE_VOTES = Path(__file__).with_name("sample-votes.ndjson")


@dataclass(frozen=True, slots=True)
class Options:
    data: Path
    nodes: int | None = None  # None: as many as the folder has, or three
    port: int | None = None
    fresh: bool = False
    feed: bool = True
    story: bool = False  # instead of the sample votes
    restart: bool = False
    resp: bool = False  # each node has a door for clients of Redis
    settings: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()  # lines to show among the addresses
    token: str | None = field(default=None, repr=False)  # where the nodes want one of this command too


def run(options: Options, console: Console) -> int:
    """Run until told to stop. Returns the exit code. Raises `CannotStart` or `ConfigError` before anything starts."""
    settings = settings_of(os.environ, options.settings)
    folder = ClusterFolder(options.data)
    held = folder.hold()
    try:
        places = folder.prepare(options.nodes, options.port, fresh=options.fresh, settings=settings, resp=options.resp)
        return Run(folder, places, options, console).run()
    finally:
        folder.let_go(held)


class Run:
    """One run of a cluster: from the start of its nodes to the end of the last."""

    def __init__(self, folder: ClusterFolder, places: list[Place], options: Options, console: Console) -> None:
        self.folder, self.places, self.options, self.console = folder, places, options, console
        self.supervisor = Supervisor(places, node_environment(os.environ), restart=options.restart)
        self.poll, self.option = (STORY_POLL, STORY_OPTIONS[0]) if options.story else (SAMPLE_POLL, SAMPLE_OPTIONS[0])
        self.poller = Poller(places, self.poll, options.token)
        self.stopping, self.hurried = SignalledEvent(), SignalledEvent()
        self.started = False
        self.notes: list[str] = []  # lines from other threads, for the thread of the display to show
        self.config = load(places[0].config, env={}).config
        say = self.notes.append
        self.story = Story(folder.path, places, self.config, say, options.token) if options.story else None

    def run(self) -> int:
        with _signals(self._on_signal):
            try:
                self._start()
                if not self.stopping.is_set():
                    self._show_until_stopped()
            finally:
                self._stop()
        return 0

    # ---- start ------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        mark = self.folder.mark or Mark(len(self.places), self.places[0].http.port)
        for child in self.supervisor.children:
            child.start(*([] if mark.formed else ["--bootstrap"]))
        self._wait_for_leader()
        if not self.stopping.is_set() and not mark.formed:
            self.folder.write_mark(Mark(mark.nodes, mark.port, formed=True))

    def _wait_for_leader(self) -> None:
        """Wait until every node answers and knows a leader. Raises `CannotStart` or `NoLeader`, with the reason."""
        deadline_s = time.monotonic() + LEADER_DEADLINE_S
        token = self.options.token
        clients = {
            child.place.id: JsonClient([child.place.url], timeout_s=0.5, token=token)
            for child in self.supervisor.children
        }
        waiting = dict.fromkeys(clients, "did not answer")
        while waiting and not self.stopping.is_set():
            for child in self.supervisor.poll():
                if child.removed:  # the others go on without it
                    waiting.pop(child.place.id, None)
                    continue
                log = _short(child.place.log)
                raise CannotStart(f"{child.place.id} did not start. The end of {log}:\n{child.node.last_lines(12)}")
            for id in list(waiting):
                try:
                    clients[id].leader()
                    del waiting[id]
                except QuorateError as error:
                    waiting[id] = error.detail
            if time.monotonic() > deadline_s:
                raise NoLeader(_nobody_leads(waiting, self.supervisor.children))
            self.stopping.wait(0.05)

    # ---- while it runs ----------------------------------------------------------------------------------------------

    def _show_until_stopped(self) -> None:
        self.started = True
        display = self._display()
        self.poller.start()
        feeding = threading.Thread(target=self._feed_sample, daemon=True)
        if self.story is not None:
            self.story.start()
        elif self.options.feed:
            feeding.start()
        try:
            while not self.stopping.wait(SHOW_EVERY_S):
                if self.story is not None:
                    self.story.tick()
                self._say_what_happened(display)
                more = self.story.lines() if self.story is not None else []
                display.show(rows_of(self.supervisor.children, self.poller), self.poller.tally, more)
        finally:
            display.close()

    def _say_what_happened(self, display: Display) -> None:
        for child in self.supervisor.poll():
            if child.code is not None and child.code > 0:  # it stopped itself, and its log says why
                display.say(stopped_itself(child.place.id, child.node.last_lines(1)))
        while self.notes:
            display.say(self.notes.pop(0))

    def _display(self) -> Display:
        if self.console.is_terminal:
            return Picture(self.console, self._footer(), start_command)
        lines = Lines(self.console, start_command)
        lines.say(self._footer())
        return lines

    def _feed_sample(self) -> None:
        """Create the sample poll and feed its votes. If they were fed before, no vote is added."""
        urls = [place.url for place in self.places]
        try:
            with JsonClient(urls, timeout_s=30.0, token=self.options.token, patient=True) as client:
                client.create_poll(SAMPLE_POLL, SAMPLE_OPTIONS, title=SAMPLE_TITLE)
                votes = VotesFile(SAMPLE_VOTES)
                feed(client, votes, scan(votes))
        except QuorateError as error:
            self.notes.append(f"The sample votes were not fed: {error.detail}")

    def _footer(self) -> str:
        first, second, last = self.places[0].url, self.places[1 % len(self.places)].url, self.places[-1].url
        config = self.config
        victims = "any node or the stream" if self.story else "any node"
        publish = (
            f"echo {self.option} | {quorate_command()} publish - --config {shlex.quote(str(self.places[0].config))}"
        )
        return "\n".join(
            [
                "Try, in another terminal:",
                *votes_to_try(self.poll, self.option, first, is_made=self.options.feed or self.options.story),
                f"  curl {second}/polls/{self.poll}/results",
                f"  curl {last}/nodes",
                *for_redis(self.places, self.poll, self.option),
                *([f"  {publish}"] if config.nsq.enabled else []),
                *for_commands([place.url for place in self.places]),
                f"Pages: {'  '.join(place.url for place in self.places)}",
                *services_of(config),
                *self.options.notes,
                f"Data: {_short(self.folder.path)}",
                f"Kill {victims}, and see that nothing is lost. Ctrl-C stops the cluster.",
            ]
        )

    # ---- stop -------------------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.stopping.is_set():
            self.hurried.set()
            self.supervisor.stop(at_once=True)
        self.stopping.set()

    def _stop(self) -> None:
        self.poller.stop()
        if self.story is not None and self.started:
            self.console.print("Stopping the posts, and counting what is on its way ...")
            self.story.finish(self.hurried.is_set)
            self._print_notes()
        if self.started:
            self.console.print("Stopping the nodes ...")
        self.supervisor.stop()
        self.supervisor.close()
        if self.started:
            self.console.print(
                f"Stopped. The votes are in {_short(self.folder.path)}; the same command goes on with them.",
                soft_wrap=True,
            )

    def _print_notes(self) -> None:
        while self.notes:
            self.console.print(self.notes.pop(0), markup=False, soft_wrap=True)


def node_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the nodes: ours without the settings, because their files hold these now."""
    ours = {setting.env for setting in SETTINGS.values()} | {"QUORATE_CONFIG"}
    return {name: value for name, value in env.items() if name not in ours}


def start_command(child: Child) -> str:
    """The command that starts a node by hand, from any working directory."""
    return f"{quorate_command()} node --config {shlex.quote(str(child.place.config))}"


def votes_to_try(poll: str, option: str, url: str, *, is_made: bool) -> list[str]:
    """Lines for a terminal. `is_made`: this command makes the poll."""
    make = f'  curl -d \'{{"id":"{poll}","options":["{option}","sad"],"state":"open"}}\' {url}/polls'
    vote = f'  curl -d \'{{"option":"{option}","id":"you-1"}}\' {url}/votes'
    return [vote] if is_made else [make, vote]


def for_redis(places: Sequence[Place], poll: str, option: str) -> list[str]:
    """The same by redis-cli, where nodes have a door for it."""
    ports = [place.resp.port for place in places if place.resp is not None]
    if not ports:
        return []
    vote = f"xadd poll:{poll} IDMP you 1 '*' option {option}"
    return [f"  redis-cli -p {ports[0]} {vote}", f"  redis-cli -p {ports[-1]} hgetall poll:{poll}"]


def for_commands(urls: list[str]) -> list[str]:
    """What commands need to find these nodes, if they are not where commands look by themselves."""
    return (
        [] if set(urls) & set(DEFAULT_NODES) else [f"  export QUORATE_NODES={','.join(urls)}    # then `quorate nodes`"]
    )


def quorate_command() -> str:
    """How to call this program in any terminal."""
    quorate = Path(sys.executable).with_name("quorate")
    on_path = shutil.which("quorate")
    return "quorate" if on_path and Path(on_path).resolve() == quorate.resolve() else shlex.quote(str(quorate))


def services_of(config: Config) -> list[str]:
    """A line for each server that the nodes use, with its address and without passwords."""
    lines = []
    if "mongo" in config.flush.sinks:
        scheme, _, rest = config.mongo.url.partition("://")
        hosts, _, more = rest.rpartition("@")[2].partition("/")
        query = more.partition("?")[1] + more.partition("?")[2]
        lines.append(f"MongoDB: {scheme}://{hosts}/{config.mongo.database}{query}")
    if config.nsq.enabled:
        lines.append(f"NSQ: topic {config.nsq.topic}, by {', '.join(config.nsq.lookupd or config.nsq.nsqd)}")
    if config.consul.address:
        address = config.consul.address
        lines.append(f"Consul: {address if '://' in address else f'http://{address}'}/ui")
    return lines


def _short(path: Path) -> str:
    """The path relative to the working directory, if that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def _nobody_leads(waiting: Mapping[str, str], children: Sequence[Child]) -> str:
    lines = [f"after {LEADER_DEADLINE_S:.0f} s the cluster is not complete:"]
    for child in children:
        if (id := child.place.id) in waiting:
            lines += [f"{id}: {waiting[id]}. The end of {_short(child.place.log)}:", child.node.last_lines(5)]
    return "\n".join(lines)


class _signals:  # noqa: N801 - used like a function, in a with statement
    """Handle the signals that stop us, and restore the former handlers at the end."""

    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handler = handler
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._handler) for number in stop_signals()}

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
