"""The clients of `python -m bench.elsewhere` write histories that can be read, whatever a system tells."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from pathlib import Path

from bench.elsewhere.clients import PeerClients
from bench.elsewhere.doors import ToldOfPoll, ToldOfVote
from quorate.chaos.history import FORMAT, Header, HistoryFile, Read, SentVote, read_history
from tests.support.waiting import wait_for


class DoorWithoutVersions:
    """As that of Redis."""

    node = "primary"

    def __init__(self, totals: dict[str | None, Counter[str]]) -> None:
        self._totals = totals

    async def cast(self, vote: SentVote) -> ToldOfVote:
        self._totals.setdefault(vote.poll, Counter())[vote.option] += 1
        return ToldOfVote("ok")

    async def read(self, poll: str) -> ToldOfPoll:
        return ToldOfPoll("ok", results=dict(self._totals.get(poll, {})))

    def move(self) -> None:
        raise AssertionError("nothing fails")

    async def close(self) -> None: ...


def test_the_final_reads_of_a_system_without_versions_can_be_checked(tmp_path: Path) -> None:
    """They have a version above all others, which was beyond what a history may hold: no run on Redis had a verdict."""
    path, totals = tmp_path / "history.ndjson", dict[str | None, Counter[str]]()
    with closing(HistoryFile(path)) as history:
        history.write(Header(FORMAT, "redis", 1, 0, {"primary": ""}, 1_000))
        clients = PeerClients(lambda *_: DoorWithoutVersions(totals), history, seed=1, seconds=1.0, resends=False)
        with closing(clients):
            clients.start()
            wait_for("there are votes", lambda: clients.failure or clients.recorder.counts.operations > 100)
            assert clients.failure is None
            clients.stop()
            assert clients.settle() == ""
    final = [each for each in read_history(path) if isinstance(each, Read) and each.settles]
    assert {poll: dict(counts) for poll, counts in totals.items()} == {
        each.poll: each.results for each in final if each.results
    }
