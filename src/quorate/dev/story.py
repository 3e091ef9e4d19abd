"""The whole story of a vote, on this machine: made-up posts, `quorate stream`, NSQ if there is one, the cluster.

    DIR/story/posts.ndjson    what `quorate stream generate` makes up, as time passes
    DIR/story/truth.json      what should be counted of it, written when the generator ends
    DIR/story/state           up to where `quorate stream replay` has read it
    DIR/story/*.log           what both say

The generator and the stream are processes of their own. A stream that ends, also by `kill -9`, is started again, and
goes on where it was. What asks others has a thread of its own; all the rest is for the thread of `dev`.
"""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from quorate.client.http import JsonClient
from quorate.config import Config
from quorate.dev.folder import STORY
from quorate.dev.story_end import StoryEnd, tallies, written_to
from quorate.errors import QuorateError
from quorate.own_files import open_anew
from quorate.processes.node import QUORATE, Place
from quorate.processes.process import Process
from quorate.processes.stream import StreamProcess
from quorate.processes.waiting import NeverHappened
from quorate.words import count

POLL = "story"
TITLE = "What do people write about? (made-up posts)"
OPTIONS = ("coffee", "tea", "ice cream", "football", "rain", "music", "cats", "dogs", "東京", "New York")
POSTS_MAX = 1_000_000  # then the generator ends: a file of some 250 MB
RATE = 150.0  # posts a second in quiet times
AGAIN_S = 1.0  # before a stream that ended is started again
LOOK_S, WRITTEN_S = 0.5, 15.0
GENERATOR_ENDS_S, STREAM_ENDS_S = 5.0, 6.0


class Story:
    """`say` shows a line that stays, and may be called from any thread."""

    def __init__(
        self, folder: Path, places: Sequence[Place], config: Config, say: Callable[[str], None], token: str | None
    ) -> None:
        self.seed = secrets.randbelow(10**6)
        self._folder, self._places, self._config, self._say, self._token = folder / STORY, places, config, say, token
        self._urls = [place.url for place in places]
        self._truth = self._folder / "truth.json"
        env = {"QUORATE_TOKEN_FILE": str(self._folder / "token")} if token else {}
        generate = [*QUORATE, "stream", "generate", *self._generate()]
        self.generator = Process("generator", generate, self._folder / "generator.log", env)
        self.stream = StreamProcess(self._replay(), self._folder / "stream.log", env)
        self._before: Mapping[str, Mapping[str, int]] | None = None  # the tallies when it began
        self._status: Mapping[str, Any] | None = None  # what the stream says of itself
        self._has_begun = False
        self._starts = 0
        self._again_at_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beside, name="story", daemon=True)

    def _generate(self) -> list[str]:
        where = [f"--out={self._folder / 'posts.ndjson'}", f"--truth={self._truth}"]
        return ["--live", f"--posts={POSTS_MAX}", f"--rate={RATE:g}", f"--seed={self.seed}", *where, *self._cluster()]

    def _replay(self) -> list[str]:
        """The settings of a node say whether there is NSQ, and whether votes go to two nsqds."""
        return [
            "replay",
            str(self._folder / "posts.ndjson"),
            "--follow",
            f"--state={self._folder / 'state'}",
            *self._cluster(),
        ]

    def _cluster(self) -> list[str]:
        """Options come from MongoDB, where that is the database: as anybody may put a poll there."""
        nodes = [f"--node={url}" for url in self._urls]
        return [
            f"--config={self._places[0].config}",
            f"--options-from={'mongo' if self._has_mongo else 'cluster'}",
            *nodes,
        ]

    @property
    def _has_mongo(self) -> bool:
        return "mongo" in self._config.flush.sinks

    # ---- beside ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """When there is a leader."""
        self._thread.start()

    def _beside(self) -> None:
        try:
            with JsonClient(self._urls, timeout_s=30.0, token=self._token) as client:
                client.create_poll(POLL, OPTIONS, title=TITLE)
                before = tallies(client)
            self._wait_until_written()
            self._before = before
        except QuorateError as error:
            self._say(f"The story cannot begin: {error.detail}")
            return
        while not self._stopping.wait(LOOK_S):
            self._status = self.stream.status() or self._status

    def _wait_until_written(self) -> None:
        """The options are read from the database, and what has none cannot begin."""
        until_s = time.monotonic() + WRITTEN_S
        while self._has_mongo and not written_to(self._connect, self._urls) and time.monotonic() < until_s:
            if self._stopping.wait(LOOK_S):
                return

    def _connect(self, urls: Sequence[str]) -> JsonClient:
        return JsonClient(urls, timeout_s=2.0, token=self._token)

    # ---- while it runs ----------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Start what is due. (The kernel ends these processes when the thread that started them ends.)"""
        if self._before is None or self._stopping.is_set():
            return
        if not self._has_begun:
            self._begin()
        elif self.stream.running or not (self._folder / "posts.ndjson").exists():
            return
        elif not self._starts:
            self._start_stream()
        else:
            self._start_stream_again()

    def _begin(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        if self._token:
            with open_anew(self._folder / "token") as opened:
                opened.write(self._token.encode())
        self.generator.start()
        self._has_begun = True
        self._say(f"quorate stream generate makes up posts, {RATE:g} a second and more in bursts (seed {self.seed})")

    def _start_stream(self) -> None:
        self.stream.start()
        self._starts += 1
        self._again_at_s = 0.0
        source = "MongoDB" if self._has_mongo else "the cluster"
        how = f"with the options of {source}, and {self._way}"
        self._say(f"quorate stream replay reads them (process {self.stream.pid}), {how}")

    @property
    def _way(self) -> str:
        nsq = self._config.nsq
        copies = "two nsqds" if self._config.stream.both else "NSQ"
        way = (
            f"publishes votes to {copies}, topic {nsq.topic}; the nodes"
            if nsq.enabled
            else "sends votes to the nodes; they"
        )
        sinks = " and ".join(self._config.flush.sinks) or "no database"
        return f"{way} count them, and the leader writes the tallies to {sinks}"

    def _start_stream_again(self) -> None:
        if not self._again_at_s:
            code = self.stream.exit_status or 0
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
            why = "" if code <= 0 else f": {self.stream.last_lines(1)}"
            self._say(f"the stream {how}{why}; it is started again, and goes on where it was")
            self._again_at_s = time.monotonic() + AGAIN_S
        elif time.monotonic() >= self._again_at_s:
            self._start_stream()

    def lines(self) -> list[str]:
        """How it goes, for the picture."""
        status = self._status
        if status is None or not self._starts:
            return ["The posts are about to begin."]
        posts, votes, lag_s = status["posts"], status["votes"], status["lag_s"]
        lag = "" if lag_s is None else f", {lag_s:.1f} s behind"
        state = f"process {self.stream.pid}" if self.stream.running else "it is down"
        lines = [
            f"Stream ({state}): {count(posts['confirmed'], 'synthetic post')} read, "
            f"{count(votes['confirmed'], 'vote')} confirmed by {votes['to']}{lag}"
        ]
        if votes["trouble"]:
            lines.append(f"No votes are taken: {votes['trouble']}")
        return lines

    # ---- the end ----------------------------------------------------------------------------------------------------

    def finish(self, is_hurried: Callable[[], bool]) -> None:
        """Make up no more posts, have counted what there is, and say whether it is what it should be."""
        if self._has_begun and not is_hurried():
            self._end_generator()
            truth = self._read_truth()
            if truth is not None and self._before is not None:
                self._say(StoryEnd(self._connect, self._urls, truth, self._before).told(is_hurried))
        self._stopping.set()
        self._end_stream()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _end_generator(self) -> None:
        if self.generator.running:
            _stop(self.generator, GENERATOR_ENDS_S)

    def _end_stream(self) -> None:
        if self.stream.running:
            _stop(self.stream, STREAM_ENDS_S)
        self.generator.close()

    def _read_truth(self) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = json.loads(self._truth.read_bytes())
        except (OSError, ValueError):
            self._say(f"The generator has left no truth to compare with. It says: {self.generator.last_lines(1)}")
            return None
        return found


def _stop(process: Process, deadline_s: float) -> None:
    try:
        process.stop(deadline_s)
    except NeverHappened:
        process.close()
