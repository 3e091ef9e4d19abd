"""To add a sink: its file, its section, one line in the list of adapters. Here this very file is the sink's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from click.testing import CliRunner

from quorate.adapters import make_sinks
from quorate.cli.config import check
from quorate.config import ADAPTERS, SETTINGS, load
from quorate.config.adapter_table import Adapter
from quorate.config.section import Section, about
from quorate.config.settings import settings_in
from quorate.errors import ConfigError
from quorate.node import Node
from quorate.sinks.fencing import StoredDocument, judge
from quorate.sinks.mongo.sink import MongoSink
from quorate.sinks.sink import Fence, PollDocument, WriteOutcome
from quorate.sinks.sqlite import SqliteSink

# ---- the sink's file, and its section --------------------------------------------------------------------------------


class Memory(Section, frozen=True):
    label: Annotated[str, about("a word of its own", min_length=1, max_length=20)] = "here"


class MemorySink:
    """As small as a sink can be: it remembers, and it cannot import."""

    name = "memory"
    made: ClassVar[list[str]] = []

    def __init__(self, label: str) -> None:
        self.made.append(label)
        self._stored: dict[str, tuple[str, Fence, PollDocument]] = {}

    def write(
        self, documents: Sequence[PollDocument], fence: Fence, cluster_id: str, *, timeout_s: float
    ) -> dict[str, WriteOutcome]:
        outcomes = {}
        for document in documents:
            found = self._stored.get(document.id)
            stored = None if found is None else StoredDocument(found[0], str(found[1]))
            outcome = judge(document, fence, cluster_id, stored, ledger=None)
            if outcome is WriteOutcome.WRITTEN:
                self._stored[document.id] = (cluster_id, fence, document)
            outcomes[document.id] = outcome
        return outcomes

    def newest_foreign_fence(self, cluster_id: str, *, timeout_s: float) -> tuple[str, Fence] | None:
        return None

    def adopt(self, cluster_id: str, *, timeout_s: float) -> int:
        return 0

    def read(self, *, timeout_s: float) -> dict[str, PollDocument]:
        return {id: document for id, (_, _, document) in self._stored.items()}

    def close(self) -> None:
        pass


def make_sink(settings: Memory) -> MemorySink:
    return MemorySink(settings.label)


# ---- the one line ----------------------------------------------------------------------------------------------------


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ADAPTERS, "memory", Adapter(Memory, sink=__name__))
    for name, setting in settings_in("memory", Memory).items():
        monkeypatch.setitem(SETTINGS, name, setting)  # what importing quorate.config does with the line
    monkeypatch.setattr(MemorySink, "made", [])


@pytest.mark.usefixtures("memory")
def test_a_new_sink_is_configured_checked_and_shown_like_the_others(tmp_path: Path) -> None:
    file = tmp_path / "quorate.toml"
    file.write_text('[flush]\nsinks = ["memory", "sqlite"]\n[memory]\nlabel = "there"\n')
    checked = CliRunner().invoke(check, [str(file)], env={"QUORATE_MEMORY_LABEL": "elsewhere"})
    assert (0, True) == (checked.exit_code, "fine" in checked.output)

    async def main() -> Mapping[str, object]:
        flags = {"node.data": str(tmp_path / "n1"), "http.listen": "127.0.0.1:0", "raft.listen": "127.0.0.1:0"}
        flags |= {"raft.bootstrap": "true", "sqlite.path": str(tmp_path / "ballots.db")}  # not where the tests run
        node = Node(load(file, env={}, flags=flags).config)
        task = asyncio.create_task(node.run())
        try:
            async with asyncio.timeout(60):
                while node.flushers.status()["memory"]["last_success_version"] is None:
                    await asyncio.sleep(0.01)
            return node.http._api.status()
        finally:
            node.ask_to_stop()
            await task

    status = asyncio.run(main())
    assert ["there"] == MemorySink.made
    assert ["memory", "sqlite"] == list(status["sinks"])  # type: ignore[call-overload]  # it is a mapping
    assert {"label": "there"} == status["config"]["memory"]  # type: ignore[index]  # it is a mapping


@pytest.mark.usefixtures("memory")
def test_its_settings_are_checked_like_any_other() -> None:
    with pytest.raises(ConfigError, match=r"memory\.labl is not a setting; did you mean memory\.label"):
        load(env={}, flags={"memory.labl": "x"})
    with pytest.raises(ConfigError, match="there are sqlite, mongo, memory"):
        load(env={}, flags={"flush.sinks": "memry"})


def test_the_sinks_of_the_settings_are_made_with_their_own_settings(tmp_path: Path) -> None:
    flags = {"sqlite.path": str(tmp_path / "x.db"), "mongo.poll_refresh_s": "7", "flush.sinks": "mongo,sqlite"}
    mongo, sqlite = make_sinks(load(env={}, flags=flags).config)
    assert isinstance(mongo, MongoSink)
    assert isinstance(sqlite, SqliteSink)
    assert (7, 60) == (mongo.refresh_s, sqlite.refresh_s), "the setting of MongoDB goes to MongoDB alone"


def test_a_node_without_sinks_makes_none() -> None:
    assert [] == make_sinks(load(env={}, flags={"flush.sink": "none"}).config)
