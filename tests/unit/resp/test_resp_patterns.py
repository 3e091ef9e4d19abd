"""KEYS and SCAN: patterns as Redis reads them, and what is promised while polls are made and deleted."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.errors import QuorateError
from quorate.processes.ports import free_ports
from quorate.resp.keys import pattern_of
from tests.support.resp_client import Client, Error, command
from tests.support.resp_node import RespNode, running
from tests.support.waiting import wait_for

POLLS = ["a", "b", "ab", "abc", "a-c", "a]c", "a[c", "a^c", "a*c", "a?c", "a\\c", "x y", "aaaa", "A", "-", "]", "^"]
# fmt: off
PATTERNS = [
    r"*", r"poll:*", r"poll:a*", r"*c", r"poll:?c", r"poll:a?c", r"poll:[ab]", r"poll:[a-c]", r"poll:[c-a]",
    r"poll:[^a]", r"poll:[^a-c]", r"poll:a[*]c", r"poll:a[]c", r"poll:[]", r"poll:[^]", r"poll:[^]*", r"poll:[a",
    r"poll:[a-", r"poll:[a-]", r"poll:[a-]*", r"poll:a[]]c", r"poll:a[\]]c", r"poll:a[\^]c", r"poll:a[\[]c",
    r"poll:a\*c", r"poll:a\?c", r"poll:a\c", "poll:a\\", r"\poll:a", r"poll:a**c", r"poll:*a*a*", r"*:*:*",
    r"poll:[]-a]", r"poll:[+--]", r"poll:[--a]", r"poll:a[^]]c", r"poll:a[^-]c", r"poll:[a-z][a-z]", r"poll:[A-Z]",
    r"poll:[&&a]", r"poll:[a||b]", r"poll:[~~a]", r"poll:(a|b)", r"poll:a+", r"poll:a.c", r"poll:$", r"poll:[",
    r"poll:[^", r"poll:a[b-\]]c", "poll:\\", r"p[o]ll:a", r"[!a]*", r"nothing",
]
# fmt: on


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: what it answers is not compared")
    folder: Path = tmp_path_factory.mktemp("redis")
    (port,) = free_ports(1)
    server = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", str(folder), "--daemonize", "no"],
        stdout=subprocess.DEVNULL,
    )

    def connected() -> Client | None:
        with contextlib.suppress(OSError):
            return Client(port)
        return None

    try:
        client = wait_for("redis-server listens", connected)
        for poll in POLLS:
            client.ask("HSET", f"poll:{poll}", "happy", 0)
        yield client
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def node() -> Iterator[RespNode]:
    with running() as node:
        for poll in POLLS:
            node.create(poll)
        yield node


@pytest.fixture
def client(node: RespNode) -> Iterator[Client]:
    with node.connect() as client:
        yield client


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_fits_what_it_fits_in_redis(pattern: str, redis: Client, client: Client) -> None:
    assert sorted(redis.ask("KEYS", pattern)) == sorted(client.ask("KEYS", pattern))
    cursor, keys = client.ask("SCAN", 0, "MATCH", pattern, "COUNT", 100)
    assert ("0", sorted(redis.ask("KEYS", pattern))) == (cursor, sorted(keys))


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("poll:[z-a]", "poll:m", "poll:["),
        ("poll:[", None, "poll:["),
        ("*ü?", "poll:grün", "poll:grü"),
        ("poll:\n*", "poll:\nb", "poll:b"),
    ],
)
def test_patterns(pattern: str, fits: str | None, fits_not: str) -> None:
    found = pattern_of(pattern.encode())
    assert fits is None or found.fullmatch(fits)
    assert not found.fullmatch(fits_not)


@pytest.mark.parametrize("pattern", [b"a" * 257, b"\xff"])
def test_a_pattern_that_is_too_long_or_no_text_is_refused(pattern: bytes, client: Client) -> None:
    with pytest.raises(QuorateError):
        pattern_of(pattern)
    assert "ERR" == client.ask("KEYS", pattern).code


def scanned(client: Client, *words: str | int) -> list[str]:
    cursor, keys = "0", []
    while True:
        cursor, some = client.ask("SCAN", cursor, *words)
        keys += some
        if cursor == "0":
            return keys


def test_a_scan_in_steps_finds_each_poll_once(client: Client) -> None:
    expected = [f"poll:{poll}" for poll in POLLS]
    for count in (1, 2, 3, 100):
        assert expected == scanned(client, "COUNT", count)
    assert expected == scanned(client)
    assert expected == scanned(client, "TYPE", "hash")
    assert [] == scanned(client, "TYPE", "string")
    assert ["poll:abc"] == scanned(client, "match", "*bc", "count", 1)


def test_a_scan_finds_what_is_there_all_the_time() -> None:
    """Polls that are made or deleted meanwhile may be found or not, and nothing is found twice."""
    with running() as node, node.connect() as client:
        for number in range(40):
            node.create(f"p{number}")
        cursor, found, step = "0", [], 0
        while True:
            cursor, keys = client.ask("SCAN", cursor, "COUNT", 3)
            found += keys
            if cursor == "0":
                break
            node.create(f"new{step}")
            if step < 20:
                gone = f"p{2 * step + 1}"
                for state in ("closed", "archived"):
                    node.http.ask("POST", f"/polls/{gone}/state", {"state": state})
                assert 200 == node.http.ask("DELETE", f"/polls/{gone}").status
                if step % 3 == 0:
                    node.create(gone)  # the same name, and another poll
            step += 1
    assert {f"poll:p{number}" for number in range(0, 40, 2)} <= set(found)
    stay = [key for key in found if not key.startswith("poll:p") or int(key[6:]) % 2 == 0]
    assert len(stay) == len(set(stay))


@pytest.mark.parametrize(
    "words",
    [
        ("x",),
        ("99999999999999999999",),
        ("0", "MATCH"),
        ("0", "COUNT", "0"),
        ("0", "COUNT", "x"),
        ("0", "FOO", "1"),
        ("0", *("MATCH", "a*b*c*d") * 4_000),
    ],
)
def test_a_scan_that_makes_no_sense_is_refused(words: tuple[str, ...], client: Client, redis: Client) -> None:
    assert "ERR" == client.ask("SCAN", *words).code
    if len(words) < 10:  # Redis takes each of them again and again
        assert isinstance(redis.ask("SCAN", *words), Error)


@pytest.mark.parametrize("words", [("KEYS", "*"), ("SCAN", "0"), ("DBSIZE",)])
def test_a_node_that_does_not_know_the_polls_yet_lists_none(words: tuple[str, ...]) -> None:
    """It said that there were none."""
    with running(form=False) as node, node.connect() as client:
        node.http.replica.leader = None
        assert "LOADING" == client.ask(*words).code


@pytest.mark.parametrize("words", [("KEYS", "*x"), ("SCAN", "0", "COUNT", "10000", "MATCH", "*x")])
def test_others_have_their_turn_during_a_long_answer(words: tuple[str, ...]) -> None:
    with running() as node, node.connect() as client:
        for number in range(150):
            node.create(f"p{number}")
        turns = node.http.run(_turns_of(node, client, command(*words)))
    assert turns >= 3


async def _turns_of(node: RespNode, client: Client, sent: bytes) -> int:
    """How many turns of the loop others have between the beginning of a command and its end."""
    (connection,) = node.server._connections
    client.send(sent)
    while connection._runner.working is None:
        await asyncio.sleep(0)
    turns = 0
    while connection._runner.working is not None:
        turns += 1
        await asyncio.sleep(0)
    return turns
