"""`quorate dead-letters`: letters are shown and stay; replayed, each vote counts once, however the replay ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from quorate.cli import main
from quorate.client.http import JsonClient
from quorate.errors import NoLeader
from quorate.ingest import dead_letters
from quorate.ingest.nsq import letter_box
from quorate.ingest.nsq.letter_box import LetterBox, make_box
from quorate.ingest.replay import Replay
from quorate.ingest.replay import replay as replay_box
from quorate.processes.ports import free_ports
from quorate.vote import Tallied, Vote
from tests.services.nsq.counting import source, vote
from tests.services.nsq.servers import Server
from tests.support import http_node
from tests.support.http_node import Node
from tests.support.local_cluster import local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import let_pass, until, wait_for

ORIGIN = {"topic": "votes", "message": "0" * 16, "nsqd": "n"}


@pytest.fixture(autouse=True)
def no_settings_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QUORATE_NSQ_LOOKUPD", "QUORATE_NSQ_NSQD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which no command is killed."""
    monkeypatch.setattr(letter_box, "IDLE_S", 0.3)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with http_node.running() as started:
        assert 201 == started.ask("POST", "/polls", {"id": "mood", "options": ["happy", "sad"]}).status
        monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{started.port}")
        yield started


def letters(*rejected: tuple[str, Sequence[Vote]]) -> list[bytes]:
    return [
        letter
        for reason, votes in rejected
        for letter in dead_letters.of_votes(ORIGIN, [(reason, f"it was {reason}", vote) for vote in votes])
    ]


def bury(nsqd: Server, *bodies: bytes) -> None:
    make_box(nsqd.tcp, "votes_dead")
    nsqd.publish("votes_dead", *bodies)


def run(nsqd: Server, action: str, *flags: str) -> int:
    return main(["dead-letters", action, "--nsqd", nsqd.tcp, *flags])


def told(capsys: pytest.CaptureFixture[str], nsqd: Server, action: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert code == run(nsqd, action, "--json")
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def kept(nsqd: Server) -> int:
    return nsqd.unfinished("votes_dead", "replay")


@pytest.mark.usefixtures("quick")
def test_letters_are_shown_and_stay(nsqd: Server, node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    bury(nsqd, *letters(("unknown_option", [Vote("new", "a"), Vote("new", "b")])), b"no letter")
    for _ in range(2):
        found = told(capsys, nsqd, "list")["letters"]
        assert {("unknown_option", 2), ("unreadable", None)} == {(each["reason"], each["votes"]) for each in found}
    assert 0 == run(nsqd, "list")
    assert "2 letters: 1 unknown_option, 1 unreadable" in capsys.readouterr().out
    assert 2 == kept(nsqd)


@pytest.mark.usefixtures("quick")
def test_replayed_votes_count_once_and_letters_that_cannot_count_stay(
    nsqd: Server, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.vote(option="happy", id="known")
    bury(
        nsqd,
        *letters(("unknown_option", [Vote("new", "a"), Vote("new", "b"), Vote("never", "c")])),
        *letters(("unknown_poll", [Vote("yes", "d", "tea", 3)])),
        *letters(("unknown_option", [Vote("happy", "known")])),  # counted since, by another way
        *letters(("conflict", [Vote("sad", "forgotten")])),
        dead_letters.of_message(ORIGIN, b"[1]", "invalid", "not a vote"),
        b"of somebody else",
    )
    before = told(capsys, nsqd, "replay", 6)
    assert (0, 0) == (before["applied"], node.tally()["sad"])
    assert {"unknown_option": 1, "unknown_poll": 1, "conflict": 1, "invalid": 1, "unreadable": 1} == before[
        "stay_by_reason"
    ]
    node.ask("POST", "/polls", {"id": "fresh", "options": ["new", "old"]})
    node.ask("POST", "/polls", {"id": "tea", "options": ["yes", "no"]})
    for applied in (3, 0):
        after = told(capsys, nsqd, "replay", 6)
        assert (applied, 4) == (after["applied"], after["stay"])
        assert {"unknown_option": 1, "conflict": 1, "invalid": 1, "unreadable": 1} == after["stay_by_reason"]
    assert ({"new": 2, "old": 0}, {"yes": 3, "no": 0}) == (node.tally("fresh"), node.tally("tea"))
    assert {"happy": 1, "sad": 0} == node.tally()
    found = told(capsys, nsqd, "list")["letters"]
    (rest,) = [each for each in found if each["reason"] == "unknown_option"]
    assert {"option": "never", "id": "c", "weight": 1} == json.loads(rest["content"]), "what counts is in no letter"


@pytest.mark.usefixtures("quick")
def test_without_letters_and_without_a_box_there_is_nothing_to_do(
    nsqd: Server, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"letters": []} == told(capsys, nsqd, "list")
    assert (0, 0) == tuple(told(capsys, nsqd, "replay")[name] for name in ("replayed", "stay"))


class Killed(BaseException):
    """The replay ends at this point."""


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("at", ["cast", "counted", "published"])
def test_a_replay_that_ends_anywhere_counts_nothing_twice(
    nsqd: Server, node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    bury(nsqd, *letters(("unknown_option", [Vote("new", "a"), Vote("never", "b")]), ("closed", [Vote("new", "c")])))
    node.ask("POST", "/polls", {"id": "fresh", "options": ["new", "old"]})
    cast, publish = JsonClient.cast, LetterBox.publish

    def dying_cast(client: JsonClient, votes: Sequence[Vote]) -> Tallied:
        if at == "cast":
            raise Killed
        tallied = cast(client, votes)
        if at == "counted":
            raise Killed
        return tallied

    def dying_publish(box: LetterBox, bodies: Sequence[bytes]) -> None:
        publish(box, bodies)
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(JsonClient, "cast", dying_cast)
        dying.setattr(LetterBox, "publish", dying_publish)
        with pytest.raises(Killed):
            run(nsqd, "replay")
    for _ in range(2):
        run(nsqd, "replay")
    assert {"new": 2, "old": 0} == node.tally("fresh")
    assert {"unknown_option"} == {each["reason"] for each in told(capsys, nsqd, "list")["letters"]}


def test_a_killed_replay_leaves_the_rest_to_the_next_one(
    nsqd: Server, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(nsqd, *letters(*(("unknown_option", [Vote("new", f"v{number}")]) for number in range(4_000))))
    node.ask("POST", "/polls", {"id": "fresh", "options": ["new", "old"]})
    if nsqd.kind == "nsqd":
        let_pass(5.5, because="nsqd begins to look at the timeouts of a new channel within five seconds")
    command = [sys.executable, "-m", "quorate", "dead-letters", "replay", "--nsqd", nsqd.tcp]
    with subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL) as replaying:
        wait_for("some are counted", lambda: node.tally("fresh")["new"] > 0)
        replaying.send_signal(signal.SIGKILL)
    assert 0 == told(capsys, nsqd, "replay")["stay"]
    assert {"new": 4_000, "old": 0} == node.tally("fresh")
    assert 0 == kept(nsqd)


@pytest.mark.usefixtures("quick")
def test_without_a_leader_all_letters_stay(nsqd: Server) -> None:
    bury(nsqd, *letters(("unknown_option", [Vote("new", "a")])))

    def refuse(votes: Sequence[Vote]) -> Tallied:
        raise NoLeader("nobody leads")

    with pytest.raises(NoLeader), LetterBox(nsqd.tcp, "votes_dead") as box:
        replay_box(box, refuse, Replay())
    with LetterBox(nsqd.tcp, "votes_dead") as box:
        assert 1 == len(box.take(10))


@pytest.mark.usefixtures("quick")
def test_more_letters_than_one_connection_holds_are_seen(
    nsqd: Server, node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(letter_box, "READY_MAX", 20)
    bury(nsqd, *letters(*(("unknown_option", [Vote("never", f"v{number}")]) for number in range(70))))
    node.ask("POST", "/polls", {"id": "fresh", "options": ["new", "old"]})
    bury(nsqd, *letters(("unknown_option", [Vote("new", "last")])))
    assert 70 == told(capsys, nsqd, "replay", 6)["stay"]
    assert {"new": 1, "old": 0} == node.tally("fresh")
    assert 70 == kept(nsqd)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("action", ["list", "replay"])
def test_an_nsqd_that_is_down_keeps_the_letters_of_no_other(
    nsqd: Server, node: Node, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    bury(nsqd, *letters(("unknown_option", [Vote("new", "a")])))
    node.ask("POST", "/polls", {"id": "fresh", "options": ["new", "old"]})
    capsys.readouterr()
    down = f"127.0.0.1:{free_ports(1)[0]}"
    assert 3 == main(["dead-letters", action, "--nsqd", down, "--nsqd", nsqd.tcp])
    shown = capsys.readouterr()
    assert down in shown.err
    assert {"list": "1 letter: 1 unknown_option", "replay": "1 letter replayed: 1 vote counted"}[action] in shown.out
    assert {"new": int(action == "replay"), "old": 0} == node.tally("fresh")


@pytest.mark.usefixtures("quick")
def test_a_letter_with_more_votes_than_a_request_may_have_keeps_no_other_back(
    nsqd: Server, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    """No node writes such a letter, but anybody may."""
    node.ask("POST", "/polls", {"id": "fresh", "options": ["new", "old"]})
    head = b'{"reason":"closed","detail":"by hand"}\n'
    votes = (b'{"option":"new","id":"v%d"}\n' % number for number in range(10_001))
    bury(nsqd, head + b"".join(votes), *letters(("unknown_option", [Vote("new", "a")])))
    assert {"unreadable": 1} == told(capsys, nsqd, "replay", 6)["stay_by_reason"]
    assert {"new": 1, "old": 0} == node.tally("fresh")


@pytest.mark.usefixtures("quick")
@on_loop
async def test_letters_of_a_node_are_kept_though_their_nsqd_lost_its_disk(nsqd: Server) -> None:
    counted = await local_cluster()
    async with source(counted.submitter, nsqd) as taking:
        for dead in (1, 2):
            nsqd.publish("votes", vote("rubbish", f"v{dead}"))
            await until("it is dead", lambda dead=dead: taking.metrics.dead_letters == dead)  # type: ignore[misc]
            assert 1 == kept(nsqd)
            nsqd.kill()
            for path in nsqd.folder.iterdir():
                path.unlink()
            nsqd.start()


@pytest.mark.usefixtures("quick")
@on_loop
async def test_letters_of_a_node_are_kept_though_somebody_though_somebody_looks_first(nsqd: Server) -> None:
    counted = await local_cluster()
    async with source(counted.submitter, nsqd) as taking:
        nsqd.publish("votes", vote("rubbish", "a"))
        await until("it is dead", lambda: taking.metrics.dead_letters == 1)
    assert 1 == kept(nsqd)
    with LetterBox(nsqd.tcp, "votes_dead") as box:
        (letter,) = box.take(10)
    assert "unknown_option" == dead_letters.read_letter(letter.body).reason
