"""`quorate publish`: confirmed votes are in NSQ, and count once however often they are published."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from quorate.cli import main
from quorate.client.lines import LINE_BYTES_MAX
from quorate.errors import Invalid, OutcomeUnknown
from quorate.ingest.nsq.publisher import FIRST_MPUB, NoNsqd, Publisher
from tests.services.nsq.counting import source
from tests.services.nsq.raw import RawClient
from tests.services.nsq.servers import DURABLE, ROOT, Server, Servers
from tests.support.local_cluster import local_cluster
from tests.support.on_loop import on_loop
from tests.support.waiting import until, wait_for

LINES = "happy\nsad\nhappy\n" + '{"option":"happy","id":"u1"}\n' * 2 + "\nsad\n"  # 5 distinct votes


@pytest.fixture(autouse=True)
def no_settings_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of `services.sh env` names its own nsqlookupd, which the command would use."""
    monkeypatch.delenv("QUORATE_NSQ_LOOKUPD", raising=False)
    monkeypatch.delenv("QUORATE_NSQ_NSQD", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "votes.txt"
    path.write_text(LINES)
    return path


def bodies(nsqd: Server, count: int, channel: str = "look") -> list[Any]:
    """The next messages of the topic, as JSON."""
    with RawClient(nsqd.address).subscribe("votes", channel, ready=2_000) as client:
        messages = client.messages(count)
        client.finish(*messages)
        client.leave()
    return [json.loads(message.body) for message in messages]


def publish(file: Path | str, *flags: str, code: int = 0) -> None:
    assert code == main(["publish", str(file), *flags])


def reported(capsys: pytest.CaptureFixture[str], *names: str) -> tuple[Any, ...]:
    answer = json.loads(capsys.readouterr().out)
    return tuple(answer[name] for name in names)


@on_loop
async def test_a_file_published_twice_counts_once(servers: Servers, file: Path) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    async with source(counted.submitter, nsqd) as taking:
        for _ in range(2):
            await asyncio.to_thread(publish, file, "--nsqd", nsqd.tcp)
        await until("all is seen", lambda: taking.status()["messages"] == 12)
        await until("all is finished", lambda: nsqd.unfinished("votes", "counter") == 0)
    assert {"happy": 3, "sad": 2} == counted.results()


@on_loop
async def test_many_votes_a_message_count_each(servers: Servers, tmp_path: Path) -> None:
    nsqd, counted = servers.nsqd(), await local_cluster()
    path = tmp_path / "many.txt"
    path.write_text("happy\n" * 900 + "sad\n" * 150)
    async with source(counted.submitter, nsqd) as taking:
        await asyncio.to_thread(publish, path, "--nsqd", nsqd.tcp, "--pack", "100")
        await until("all is counted", lambda: counted.total == 1_050)
        assert 11 == taking.status()["messages"]
    assert {"happy": 900, "sad": 150} == counted.results()


def test_a_vote_without_an_id_gets_one_of_run_id_and_line(
    servers: Servers, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nsqd = servers.nsqd()
    publish(file, "--nsqd", nsqd.tcp, "--run-id", "r", "--poll", "mood", "--json")
    assert ("r", 6, 6) == reported(capsys, "run_id", "votes", "messages")
    found = bodies(nsqd, 6)
    assert Counter(["r-1", "r-2", "r-3", "u1", "u1", "r-7"]) == Counter(vote["id"] for vote in found)
    assert {"mood"} == {vote["poll"] for vote in found}


def test_an_unchanged_file_keeps_its_ids_and_a_changed_one_gets_others(
    servers: Servers, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nsqd = servers.nsqd()
    runs: list[str] = []
    for text in (LINES, LINES, LINES + "happy\n"):
        file.write_text(text)
        publish(file, "--nsqd", nsqd.tcp, "--json")
        runs += reported(capsys, "run_id")
    assert runs[0] == runs[1] != runs[2]


def test_a_pipe_is_published_while_it_is_open(servers: Servers) -> None:
    nsqd = servers.nsqd()
    command = [sys.executable, "-m", "quorate", "publish", "-", "--nsqd", nsqd.tcp]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None
        running.stdin.write("happy\nsad\n")
        running.stdin.flush()
        first = bodies(nsqd, 2)  # while the pipe is still open
        out, _ = running.communicate("happy", timeout=20)
    assert {"happy", "sad"} == {vote["option"] for vote in first}
    assert ["happy"] == [vote["option"] for vote in bodies(nsqd, 1)]
    assert "3 votes published in 3 messages" in out


def test_nsqds_are_found_by_lookupd(servers: Servers, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lookupd = servers.lookupd()
    nsqd = servers.nsqd(lookupd_tcp_address=lookupd.tcp)
    nsqd.post("/topic/create?topic=other")
    wait_for("it has registered", lambda: lookupd.get("/nodes")["producers"])
    publish(file, "--lookupd", lookupd.http, "--json")
    assert ([nsqd.tcp],) == reported(capsys, "nsqd")


# ---- failing over ---------------------------------------------------------------------------------------------------


def test_a_dead_nsqd_is_skipped(servers: Servers, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead, alive = servers.nsqd(), servers.nsqd()
    dead.kill()
    publish(file, "--nsqd", dead.tcp, "--nsqd", alive.tcp, "--json")
    assert ([alive.tcp],) == reported(capsys, "nsqd")
    assert 6 == len(bodies(alive, 6))


@on_loop
async def test_messages_that_two_nsqds_have_and_only_one_confirmed_count_once(
    servers: Servers,
) -> None:
    frozen, well, counted = servers.nsqd(), servers.nsqd(), await local_cluster()
    votes = [b'{"option":"happy","id":"v%d"}' % n for n in range(100)]
    with Publisher([frozen.tcp, well.tcp], "votes", timeout_s=3) as publisher:
        await asyncio.to_thread(publisher.publish, votes[:1])
        frozen.pause()
        await asyncio.to_thread(publisher.publish, votes[1:])
        assert {frozen.tcp, well.tcp} == publisher.used
    frozen.resume()
    async with source(counted.submitter, frozen, well) as taking:
        await until("both copies are seen", lambda: taking.status()["messages"] == 100 + FIRST_MPUB)
        await until("all is counted", lambda: taking.status()["duplicates"] == FIRST_MPUB)
    assert 100 == counted.total


@on_loop
async def test_with_both_the_loss_of_one_nsqd_loses_no_vote(servers: Servers, file: Path) -> None:
    lost, kept, counted = servers.nsqd(), servers.nsqd(), await local_cluster()
    await asyncio.to_thread(publish, file, "--nsqd", lost.tcp, "--nsqd", kept.tcp, "--both")
    lost.kill()  # with its default flags: it forgets everything
    lost.start()
    async with source(counted.submitter, lost, kept):
        await until("all is counted", lambda: counted.total == 5)
    assert {"happy": 3, "sad": 2} == counted.results()


def test_with_both_one_nsqd_is_enough_and_the_report_says_so(
    servers: Servers, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead, alive = servers.nsqd(), servers.nsqd()
    dead.kill()
    publish(file, "--nsqd", dead.tcp, "--nsqd", alive.tcp, "--both", "--timeout", "4", "--json")
    assert (6,) == reported(capsys, "only_one_copy")


def test_publishing_goes_on_when_an_nsqd_is_back(servers: Servers) -> None:
    nsqd = servers.nsqd()
    with Publisher([nsqd.tcp], "votes", timeout_s=20) as publisher:
        publisher.publish([b"1"])
        nsqd.kill()
        nsqd.start()
        publisher.publish([b"2"])
    assert [2] == bodies(nsqd, 1)


@on_loop
async def test_an_nsqd_that_syncs_slowly_gets_fewer_messages_at_a_time(servers: Servers) -> None:
    """With the durable flags nsqd syncs each message. All of these in one MPUB would take longer than a try may."""
    slow = {"sync_takes": "5ms"} if servers.kind == "double" else {}
    nsqd, counted = servers.nsqd(**DURABLE, **slow), await local_cluster()
    votes = [b'{"option":"happy","id":"v%d"}' % n for n in range(1_000)]
    with Publisher([nsqd.tcp], "votes", timeout_s=3) as publisher:
        await asyncio.to_thread(publisher.publish, votes)
        assert 1_000 == publisher.messages
    async with source(counted.submitter, nsqd):
        await until("all is counted", lambda: counted.total == 1_000)


# ---- what is told ---------------------------------------------------------------------------------------------------


def test_without_a_reachable_nsqd_the_exit_code_is_3(
    servers: Servers, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nsqd = servers.nsqd()
    nsqd.kill()
    publish(file, "--nsqd", nsqd.tcp, "--timeout", "0.5", code=3)
    told = capsys.readouterr().err
    assert told.startswith(f"quorate: {nsqd.tcp}: Connection refused; trying for ")
    assert "counts once" in told
    with Publisher([nsqd.tcp], "votes", timeout_s=0.3) as publisher, pytest.raises(NoNsqd):
        publisher.publish([b"happy"])


def test_an_http_address_is_reported_as_one(servers: Servers) -> None:
    nsqd = servers.nsqd()
    with Publisher([nsqd.http], "votes", timeout_s=1) as publisher, pytest.raises(NoNsqd, match="TCP address"):
        publisher.publish([b"happy"])


def test_a_confirmation_that_does_not_come_is_an_unknown_outcome(servers: Servers) -> None:
    nsqd = servers.nsqd()
    with Publisher([nsqd.tcp], "votes", timeout_s=0.5) as publisher:
        publisher.publish([b"happy"])
        nsqd.pause()
        with pytest.raises(OutcomeUnknown):
            publisher.publish([b"happy"])
    nsqd.resume()


@pytest.mark.parametrize("topic", ["no*topic", "t" * 65])
def test_a_refusal_by_nsqd_is_an_error_at_once(servers: Servers, topic: str) -> None:
    nsqd = servers.nsqd()
    with Publisher([nsqd.tcp], topic) as publisher, pytest.raises(Invalid, match="E_BAD_TOPIC"):
        publisher.publish([b"happy"])


def test_with_bad_lines_nothing_is_published_unless_they_are_skipped(
    servers: Servers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nsqd = servers.nsqd()
    path = tmp_path / "bad.ndjson"
    path.write_bytes(b'happy\n{"option":\n\xff\n{"option":"sad","weight":0}\nsad\n')
    publish(path, "--nsqd", nsqd.tcp, code=1)
    said = capsys.readouterr().err
    assert all(f"line {number}: " in said for number in (2, 3, 4))
    assert not nsqd.get("/stats?format=json")["topics"]
    publish(path, "--nsqd", nsqd.tcp, "--skip-bad", "--json")
    assert (2, 3) == reported(capsys, "votes", "bad_lines")


def test_of_many_bad_lines_the_first_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.ndjson"
    path.write_text("{\n" * 12)
    publish(path, "--nsqd", "127.0.0.1:1", code=1)
    said = capsys.readouterr().err
    assert "line 10: " in said
    assert "line 11: " not in said
    assert "and 2 more" in said


@pytest.mark.parametrize("first", ["happy", '{"option":"happy"}'])
def test_a_byte_order_mark_does_not_belong_to_the_first_vote(servers: Servers, tmp_path: Path, first: str) -> None:
    nsqd = servers.nsqd()
    path = tmp_path / "votes.txt"
    path.write_text(f"\ufeff{first}\nsad\n", encoding="utf-8")
    publish(path, "--nsqd", nsqd.tcp)
    assert {"happy", "sad"} == {vote["option"] for vote in bodies(nsqd, 2)}


def test_a_line_over_the_limit_can_be_skipped_in_a_pipe_too(
    servers: Servers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nsqd = servers.nsqd()
    text = b"happy\n" + b"x" * (2 * LINE_BYTES_MAX) + b"\nsad\n"
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    publish("-", "--nsqd", nsqd.tcp, "--skip-bad", "--json")
    assert (2, 1) == reported(capsys, "votes", "bad_lines")
    assert {"happy", "sad"} == {vote["option"] for vote in bodies(nsqd, 2)}


def test_both_needs_two(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(file, "--nsqd", "127.0.0.1:1", "--both", code=1)
    assert "the addresses of two" in capsys.readouterr().err
