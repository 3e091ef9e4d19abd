"""Settings that concern the whole cluster: who says what, who says otherwise, and what is set for all nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import pytest

from quorate.cluster.entry import Command, Done, Refused, SetDedupWindow
from quorate.cluster.fsm import StateMachine
from quorate.cluster_settings import SETTABLE
from quorate.config import SETTINGS, load
from quorate.config.shared import SHARED, told_settings
from quorate.errors import Invalid, NotFound, NotReady, QuorateError, TooSoon
from tests.support.local_replica import LocalReplica
from tests.support.settings_members import Members

T = TypeVar("T")
URL = "mongodb://user:secret@db/?w=1"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


# ---- what is shown --------------------------------------------------------------------------------------------------


def test_a_setting_of_the_cluster_names_the_nodes_that_were_told_otherwise() -> None:
    async def main() -> dict[str, Any]:
        members = Members({}, {"votes.dedup_window": 500}, {"votes.dedup_window": 1_000_000})
        return dict((await members.shown())["votes.dedup_window"])

    assert {
        "name": "votes.dedup_window",
        "scope": "cluster",
        "value": 1_000_000,
        "nodes": {"n1": 1_000_000, "n2": 500, "n3": 1_000_000},
        "differ": ["n2"],
    } == run(main())


def test_a_default_says_nothing_against_what_the_cluster_has() -> None:
    async def main() -> list[str]:
        members = Members({}, {"votes.dedup_window": 1_000_000})
        await members.settings[0].set("votes.dedup_window", 2_000_000)
        differ: list[str] = (await members.shown())["votes.dedup_window"]["differ"]
        return differ

    assert ["n2"] == run(main())


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"x":' + b"[" * 20_000, b'{"votes.dedup_window":{"value":' + b"[" * 20_000, b'{"\xff":1}'],
    ids=["nothing", "a list", "deep", "deep inside", "no text"],
)
def test_an_answer_that_cannot_be_read_is_told_of_that_node_alone(answer: bytes) -> None:
    async def main() -> Mapping[str, Any]:
        members = Members({}, {}, {})

        async def tell(peer: str, request: bytes) -> bytes:
            return answer

        members.replicas[1].handlers["settings"] = tell
        return await members.settings[0].show()

    assert {"n2": "told what this version cannot read"} == run(main())["untold"]


def test_a_node_that_does_not_hear_the_leader_learns_its_settings_over_a_peer() -> None:
    async def main() -> tuple[Any, Any]:
        members = Members({"flush.sinks": ["mongo"]}, {}, {})
        far = members.replicas[2]
        del far.peers["n1"]
        far.leader_via = "n2"
        members.levels["n1"] = None  # it is not connected
        shown = await members.shown(2)
        await members.watches[2].look()
        return shown["flush.sinks"], members.watches[2].check()

    shown, check = run(main())
    assert (["mongo"], ["n2", "n3"]) == (shown["value"], shown["differ"])
    assert "flush.sinks" in check.more


def test_what_should_be_alike_is_compared_with_the_leader() -> None:
    async def main() -> tuple[Any, Any, Any]:
        members = Members({"flush.sinks": ["mongo"]}, {}, {"flush.sinks": ["mongo"]})
        for replica in members.replicas:
            replica.leader = "n2"
        shown = await members.shown()
        return shown["flush.sinks"], shown["flush.interval_ms"]["differ"], shown["mongo.url"]["nodes"]

    sinks, interval, mongo = run(main())
    assert (["sqlite"], ["n1", "n3"]) == (sinks["value"], sinks["differ"])
    assert [] == interval
    assert {"n1", "n3"} == set(mongo), "n2 does not write there, so what it says of MongoDB is of no interest"


def test_secrets_are_compared_and_never_shown() -> None:
    async def main() -> tuple[Any, bytes]:
        flags = {"flush.sinks": ["mongo"]}
        members = Members({**flags, "mongo.url": URL}, {**flags, "mongo.url": URL}, {**flags, "mongo.url": URL + "2"})
        told = await members.replicas[0].call("n3", "settings", b"")
        return (await members.shown())["mongo.url"], told

    shown, told = run(main())
    assert ("***", ["n3"]) == (shown["value"], shown["differ"])
    assert b"secret" not in told


def test_a_node_that_cannot_say_is_named_with_the_reason() -> None:
    answers = iter([b'{"votes.dedup_window":[7]}', b'{"auth.anonymous":{"given":true,"value":{"a":1}}}'])

    async def tell_otherwise(peer: str, request: bytes) -> bytes:
        return next(answers)

    async def main() -> tuple[Any, Any]:
        members = Members(*[{}] * 6)
        members.levels |= {"n2": None, "n3": 0}
        for replica in members.replicas[4:]:
            replica.serve("settings", tell_otherwise)
        del members.replicas[0].peers["n4"]
        found = await members.settings[0].show()
        return found["untold"], [list(each["nodes"]) for each in found["settings"]]

    untold, nodes = run(main())
    assert {
        "n2": "not connected",
        "n3": "runs 0.1.0, which cannot tell",
        "n4": "no link to n4",
        **dict.fromkeys(("n5", "n6"), "told what this version cannot read"),
    } == untold
    assert all(said == ["n1"] for said in nodes)


def test_a_node_that_has_not_joined_says_so() -> None:
    async def main() -> None:
        members = Members({})
        members.replicas[0].state = StateMachine()
        await members.settings[0].show()

    with pytest.raises(NotReady, match="not joined"):
        run(main())


def test_only_settings_in_use_are_told() -> None:
    def sections(**flags: Any) -> set[str]:
        config = load(env={}, flags={name.replace("_", "."): value for name, value in flags.items()}).config
        return {name.partition(".")[0] for name in told_settings(config, (), b"")}

    assert {"auth", "votes", "raft", "flush", "nsq"} == sections(flush_sinks=[], nsq_nsqd=["127.0.0.1:4150"])
    assert {"auth", "votes", "raft", "flush", "mongo", "consul"} == sections(
        flush_sinks=["mongo"], consul_address="127.0.0.1"
    )


def test_every_setting_of_the_cluster_can_be_set_and_no_other() -> None:
    assert set(SETTABLE) == {name for name, setting in SETTINGS.items() if setting.scope == "cluster"}
    assert not any(setting.replaced_by for setting in SHARED.values())


# ---- what is set ----------------------------------------------------------------------------------------------------


def test_a_setting_is_set_at_one_version_and_again_without_harm() -> None:
    async def main() -> tuple[Any, Any, int, list[bytes]]:
        members = Members({})
        first = await members.settings[0].set("votes.dedup_window", 500)
        again = await members.settings[0].set("votes.dedup_window", 500)
        replica = members.replicas[0]
        return first, again, replica.state.dedup_window, replica.proposed

    first, again, window, proposed = run(main())
    assert "could count twice" in first.pop("warning")
    assert ({"name": "votes.dedup_window", "value": 500, "version": 2}, 500) == (first, window)
    assert (500, 2) == (again["value"], len(proposed))


@pytest.mark.parametrize(
    ("name", "value", "kind", "words"),
    [
        ("votes.dedup_windw", 5, NotFound, "did you mean votes.dedup_window"),
        ("nothing", 5, NotFound, "is not a setting"),
        ("votes.queue_bytes", 5, Invalid, "not held by the cluster"),
        ("flush.sinks", ["mongo"], Invalid, "in each node's settings"),
        ("votes.dedup_window", 0, Invalid, "a whole number from 1 to 8,000,000"),
        ("votes.dedup_window", 8_000_001, Invalid, "cannot be 8,000,001"),
        ("votes.dedup_window", "5", Invalid, "a whole number"),
        ("votes.dedup_window", True, Invalid, "cannot be true"),
        ("votes.dedup_window", None, Invalid, "cannot be null"),
    ],
)
def test_what_cannot_be_set_is_refused_in_words(name: str, value: Any, kind: type[QuorateError], words: str) -> None:
    async def main() -> None:
        members = Members({})
        try:
            await members.settings[0].set(name, value)
        finally:
            assert [] == members.replicas[0].proposed

    with pytest.raises(kind, match=words):
        run(main())


def test_a_change_that_the_cluster_cannot_take_yet_says_until_when(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(command: Command, *, timeout_s: float) -> tuple[Any, int]:
        return Refused("the dedup window was changed too often lately; try again 7 accepted ids later"), 3

    async def main() -> None:
        members = Members({})
        monkeypatch.setattr(members.settings[0]._submitter, "command", refuse)
        await members.settings[0].set("votes.dedup_window", 5)

    with pytest.raises(TooSoon, match="7 accepted ids later"):
        run(main())


def test_the_command_is_one_that_version_0_1_0_knows() -> None:
    """So the window can be set while nodes of 0.1.0 are in the cluster."""
    machine = LocalReplica().state
    assert 0 == machine.level
    assert Done(5) == machine._handlers[SetDedupWindow](SetDedupWindow(5))
