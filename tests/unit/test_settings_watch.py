"""What a node tells of settings and tokens that differ from the cluster's, or from the leader's."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from quorate import settings_watch
from quorate.security.tokens import Token, Tokens
from quorate.settings_watch import SettingsWatch
from tests.support.settings_members import Members
from tests.support.waiting import until


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records if "settings_watch" in record.name]


def test_a_node_that_differs_tells_it_once_and_in_readyz(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> Any:
        members = Members({"flush.interval_ms": 50}, {"votes.dedup_window": 500})
        for watch in members.watches:
            await watch.look()
            await watch.look()
        return [watch.check() for watch in members.watches]

    leader, follower = asyncio.run(main())
    assert (True, "as the cluster has them") == leader[:2]
    assert (True, "2 not as the cluster has them") == follower[:2]
    [(level, line)] = lines(caplog)
    assert ("WARNING", line) == (level, follower.more)
    assert "votes.dedup_window is 500 in this node's settings, and 1,000,000 in the cluster, which holds" in line
    assert "flush.interval_ms is 1,000 here and 50 on n1" in line


def test_other_tokens_than_the_leaders_are_told_also_when_they_change(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_watch, "COMPARE_AGAIN_S", 0.0)
    ann, bob = (Token(name, "vote", name.encode(), frozenset({"a", "b", "c"})) for name in ("ann", "bob"))
    slow = Token("bob", "vote", b"bob", frozenset({"a", "b", "c"}), rate=1.0)

    async def main() -> tuple[list[str], Any]:
        members, words = Members({"auth.file": "/a"}, {"auth.file": "/b"}), []
        members.tokens["n1"] = Tokens([ann, bob])
        for tokens in ([bob, ann], [ann], [ann, slow], [ann, bob]):
            members.tokens["n2"] = Tokens(tokens)
            await members.watches[1].look()
            words.append(members.watches[1].check().words)
        members.tokens["n2"] = Tokens()
        return words, (await members.shown())["auth.file"]

    words, shown = asyncio.run(main())
    alike, differs = "as the cluster has them", "1 not as the cluster has them"
    assert [alike, differs, differs, alike] == words
    assert 2 == len(lines(caplog))
    assert all("auth.file is" in line and "2 tokens (" in line for _, line in lines(caplog))
    assert ("no tokens", ["n2"]) == (shown["nodes"]["n2"], shown["differ"])


def test_nothing_is_told_before_the_node_knows_the_cluster(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> Any:
        members = Members({}, {"votes.dedup_window": 500})
        replica = members.replicas[1]
        watch = SettingsWatch(replica, members.settings[1], is_known=lambda: False)
        await watch.look()
        replica.leader = None
        await members.watches[1].look()
        return watch.check()

    assert (True, "as the cluster has them") == asyncio.run(main())[:2]
    assert [] == lines(caplog)


def test_a_defect_of_the_watch_is_told_once_and_not_each_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_watch, "CHECK_S", 0.001)

    async def main() -> None:
        watch, looks = Members({}).watches[0], []

        async def fail() -> None:
            looks.append(1)
            raise KeyError(f"defect {len(looks)}")

        monkeypatch.setattr(watch, "look", fail)
        watch.start()
        await until("it was tried often", lambda: len(looks) > 20)
        await watch.stop()

    asyncio.run(main())
    assert [("ERROR", "the settings could not be compared; trying on")] == lines(caplog)


def test_a_change_of_the_cluster_is_told_by_each_node(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> Any:
        members = Members({"votes.dedup_window": 500_000})
        await members.watches[0].look()
        await members.settings[0].set("votes.dedup_window", 500_000)
        await members.watches[0].look()
        return members.watches[0].check()

    assert "as the cluster has them" == asyncio.run(main()).words
    assert [
        "WARNING",
        "INFO",
    ] == [level for level, _ in lines(caplog)]
    assert "votes.dedup_window is 500000 in the cluster now, and was 1000000" == lines(caplog)[1][1]


def test_each_leader_is_asked_once_and_one_that_cannot_tell_is_asked_again() -> None:
    async def main() -> list[list[str]]:
        members = Members({"flush.interval_ms": 50}, {}, {})
        asked, watch = list[str](), members.watches[2]
        compare = members.settings[2].against

        async def against(id: str) -> list[str]:
            asked.append(id)
            return await compare(id)

        members.settings[2].against = against  # type: ignore[method-assign]
        told = [asked]
        for leader, term, level in (("n1", 1, 0), ("n1", 1, 1), ("n1", 1, 1), ("n2", 2, 1), ("n1", 3, 1)):
            members.replicas[2].leader, members.replicas[2].term, members.levels["n1"] = leader, term, level
            await watch.look()
            told.append(watch.check().more.split(" ")[:1])
        return told

    asked, *told = asyncio.run(main())
    assert ["n1", "n1", "n2", "n1"] == asked
    differs = ["flush.interval_ms"]
    assert [[""], differs, differs, [""], differs] == told


def test_a_small_window_is_told_once_by_each_node(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        members = Members({})
        await members.settings[0].set("votes.dedup_window", 500)
        for _ in range(3):
            await members.watches[0].look()

    asyncio.run(main())
    (line,) = (line for level, line in lines(caplog) if level == "WARNING")
    assert "votes.dedup_window is 500: 1 request of 10,000 votes with ids pushes all other ids out" in line


def test_what_was_told_is_not_told_again_because_a_leader_cannot_be_asked_for_a_moment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        members = Members({"flush.interval_ms": 50}, {"votes.dedup_window": 500_000})
        replica, watch = members.replicas[1], members.watches[1]
        for term, level in ((1, 1), (2, None), (2, 1), (3, None), (3, None), (3, 1)):
            replica.term, members.levels["n1"] = term, level
            await watch.look()
        members.settings[0]._config = members.settings[1]._config  # n1 starts again, with the settings of n2
        replica.term = 4
        await watch.look()
        await members.settings[0].set("votes.dedup_window", 600_000)
        replica.state.apply(members.replicas[0].proposed[-1])
        await watch.look()

    asyncio.run(main())
    first, second = (line for level, line in lines(caplog) if level == "WARNING")
    assert "500,000 in this node's settings, and 1,000,000 in the cluster" in first
    assert "flush.interval_ms is 1,000 here and 50 on n1" in first
    assert second.startswith("votes.dedup_window is 500,000 in this node's settings, and 600,000 in the cluster")
    assert "flush.interval_ms" not in second
