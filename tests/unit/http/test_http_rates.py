"""Rates: a token, or an address without one, that asks faster is refused in words, before its body is read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.cluster import entry
from quorate.doors.access import Access
from quorate.doors.rates import ADDRESSES_MAX, Rates, let_in, take_votes
from quorate.errors import OverRate
from quorate.security.bucket import Bucket
from quorate.security.caller import Caller
from quorate.security.roles import RouteRole
from quorate.security.token_file import TokenFile
from tests.support.http_node import MOOD, Answer, Node, running
from tests.support.tokens import bearer, write_tokens
from tests.support.waiting import wait_for

ROLES = {"slow": "vote", "free": "vote", "boss": "manage"}
HEAD = b"POST /votes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer slow\r\nContent-Length: %d\r\n\r\n"
BOUNDS = {"slow": "rate = 10\nburst = 4\nshare = 1", "free": "share = 2"}


class Timed:
    """The access of a node whose buckets fill as a test says."""

    def __init__(self, path: Path, anonymous: RouteRole = "public", rate: float = 0.0) -> None:
        self.path, self.anonymous = write_tokens(path, ROLES, bounds=BOUNDS), anonymous
        self.now_s = 0.0
        self.rates = Rates(rate, lambda: self.now_s)

    def access(self) -> Access:
        self.file = TokenFile(self.path)
        return Access(self.file, self.anonymous, self.rates)

    def change(self, node: Node, bounds: dict[str, str], roles: dict[str, str] = ROLES) -> None:
        found = write_tokens(self.path, roles, bounds=bounds).read_bytes()
        for _ in range(2):
            node.call(self.file.take, found)


@pytest.fixture(params=[True, False], ids=["loop", "Flask"])
def timed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Node, Timed]]:
    access = Timed(tmp_path / "tokens.toml")
    with running(hot=request.param, access=access.access) as node:
        node.call(node.replica.state.raise_level, entry.encode_raise(1))
        assert 201 == node.ask("POST", "/polls", MOOD, bearer("boss")).status
        yield node, access


def cast(node: Node, who: str, votes: int, first: int = 0) -> Answer:
    body = [{"option": "happy", "id": f"{who}-{first + number}"} for number in range(votes)]
    return node.ask("POST", "/votes", body, bearer(who))


def is_refused(answer: Answer, wait_s: float) -> bool:
    told = answer.json
    shown = (answer.status, told["type"], told["definite"], told["retry"], told["retry_after_s"])
    assert (429, "over-rate", True, "safe", pytest.approx(wait_s, abs=0.002)) == shown
    assert str(int(wait_s) + (wait_s > int(wait_s))) == answer.headers["retry-after"]
    assert "the token slow has the rate 10 (votes a second at this node;" in told["detail"]
    assert "nothing was done" in told["detail"]
    return True


def test_a_token_casts_no_faster_than_its_rate(timed: tuple[Node, Timed]) -> None:
    node, clock = timed
    assert [200] * 4 == [cast(node, "slow", 1, number).status for number in range(4)]
    assert is_refused(cast(node, "slow", 1, 9), 0.1)
    assert 4 == node.tally()["happy"]
    clock.now_s += 0.1
    assert 200 == cast(node, "slow", 1, 9).status
    assert [200] * 20 == [cast(node, "free", 100, number).status for number in range(20)], "it has no rate"


def test_a_request_with_many_votes_is_made_up_for(timed: tuple[Node, Timed]) -> None:
    node, clock = timed
    assert 200 == cast(node, "slow", 54).status
    assert is_refused(cast(node, "slow", 1, 60), 5.1)
    clock.now_s += 5.11
    assert 54 == cast(node, "slow", 54).json["duplicates"]
    assert is_refused(cast(node, "slow", 54), 5.39)


def test_a_long_wait_and_a_high_rate_are_said_as_people_write_them() -> None:
    bucket = Bucket(1_000_000, 1, lambda: 0.0)
    caller = Caller("203.0.113.1", "vote", bucket=bucket)
    let_in(caller)
    take_votes(caller, 12_345_678_901)
    with pytest.raises(OverRate, match=r"the rate 1,000,000 \(.* try again in 12,346 s"):
        let_in(caller)


def test_votes_that_make_no_sense_count_too(timed: tuple[Node, Timed]) -> None:
    node, _ = timed
    assert 200 == node.ask("POST", "/votes", [{"weight": 0}] * 14, bearer("slow")).status
    assert is_refused(cast(node, "slow", 1), 1.1)


def test_any_other_request_counts_as_one_and_a_public_one_as_none(timed: tuple[Node, Timed]) -> None:
    node, _ = timed
    assert {200} == {node.ask("GET", "/readyz", None, bearer("slow")).status for _ in range(20)}
    asked = [node.ask("GET", path, None, bearer("slow")).status for path in ("/polls", "/leader") * 2]
    assert [200] * 4 == asked
    assert is_refused(node.ask("GET", "/polls", None, bearer("slow")), 0.1)
    assert is_refused(cast(node, "slow", 1), 0.1)


def test_what_the_role_forbids_is_forbidden_and_not_counted(timed: tuple[Node, Timed]) -> None:
    node, _ = timed
    assert {403} == {node.ask("POST", "/polls", MOOD, bearer("slow")).status for _ in range(9)}
    assert 200 == cast(node, "slow", 1).status


def test_a_refused_request_is_refused_before_its_body_is_read(timed: tuple[Node, Timed]) -> None:
    node, _ = timed
    assert 200 == cast(node, "slow", 100).status
    with node.dial() as sock:
        sock.sendall(HEAD % 4_000_000)
        assert sock.recv(100).startswith(b"HTTP/1.1 429 ")


def test_of_requests_that_come_together_one_goes_beyond_the_burst(timed: tuple[Node, Timed]) -> None:
    node, _ = timed
    body = b"[" + b",".join([b'{"option":"happy"}'] * 100) + b"]"
    sockets = [node.dial() for _ in range(4)]
    try:
        for sock in sockets:
            sock.sendall(HEAD % len(body) + body[:7])
        wait_for("all are let in", lambda: node.call(lambda: node.server._app._bodies._held == 4 * 7))
        statuses = []
        for sock in sockets:
            sock.sendall(body[7:])
            statuses.append(sock.recv(100)[9:12])
        assert [b"200", b"429", b"429", b"429"] == statuses
        assert 100 == node.tally()["happy"]
    finally:
        for sock in sockets:
            sock.close()


def test_a_bucket_goes_with_its_token_and_begins_anew_with_another_rate(timed: tuple[Node, Timed]) -> None:
    node, clock = timed
    assert (200, 429) == (cast(node, "slow", 40).status, cast(node, "slow", 1).status)
    assert 1 == clock.rates.buckets
    clock.change(node, BOUNDS | {"free": "rate = 1"})
    assert 429 == cast(node, "slow", 1).status, "a change of others lends nothing"
    clock.change(node, BOUNDS | {"slow": "rate = 20"})
    assert [200] * 20 == [cast(node, "slow", 1, number).status for number in range(20)]
    assert 429 == cast(node, "slow", 1).status
    clock.change(node, {}, {"free": "vote"})
    assert 401 == cast(node, "slow", 1).status
    assert 0 == clock.rates.buckets


def test_votes_are_in_the_share_of_their_token(timed: tuple[Node, Timed]) -> None:
    node, _ = timed
    answers = [
        cast(node, "slow", 3),
        cast(node, "free", 2),
        cast(node, "boss", 1),
        node.ask("POST", "/votes", {"option": "sad"}, bearer("free") | {"Idempotency-Key": "one"}),
        node.ask("POST", "/votes", [{"option": "sad"}] * 2, bearer("free") | {"Idempotency-Key": "two"}),
    ]
    assert [200] * 5 == [answer.status for answer in answers]
    assert {0: 1, 1: 3, 2: 4} == node.call(node.replica.state.dedup).shares


def test_a_token_is_told_how_many_of_its_ids_are_protected(timed: tuple[Node, Timed]) -> None:
    node, _ = timed
    told = {who: node.ask("GET", "/status", None, bearer(who)).json["caller"] for who in ("free", "boss")}
    assert {"token": "free", "role": "vote", "share": 2, "protected_ids": 300_000} == told["free"]
    assert {"token": "boss", "role": "manage", "share": 0, "protected_ids": 1_000_000} == told["boss"]
    node.call(setattr, node.replica.state, "level", 0)
    assert 1_000_000 == node.ask("GET", "/status", None, bearer("free")).json["caller"]["protected_ids"]


# ---- without a token ------------------------------------------------------------------------------------------------


def refused(access: Access, address: str) -> bool:
    with contextlib.suppress(OverRate):
        access.admit("vote", address, None)
        return False
    return True


def test_an_address_without_a_token_has_the_rate_that_the_settings_say() -> None:
    access = Access(None, "operate", Rates(20, lambda: 0.0))
    for own in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", ""):
        assert not any(refused(access, own) for _ in range(100))
    assert [False] * 20 + [True] == [refused(access, "203.0.113.1") for _ in range(21)]
    assert not refused(access, "203.0.113.2")
    with pytest.raises(OverRate, match=r"an address without a token \(203.0.113.1\) has the rate 20 \(votes"):
        access.admit("vote", "203.0.113.1", None)
    assert [True, False] == [refused(access, address) for address in ("::ffff:203.0.113.1", "2001:db8::1")]
    assert [False] * 19 + [True] == [refused(access, f"2001:db8::{number:x}") for number in range(2, 22)]
    assert not refused(access, "2001:db8:0:1::1")


def test_addresses_that_are_forgotten_and_come_again_are_bounded_in_number() -> None:
    rates = Rates(20, lambda: 0.0)
    access = Access(None, "operate", rates)
    for number in range(ADDRESSES_MAX + 100):
        assert not refused(access, f"198.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert ADDRESSES_MAX == rates.buckets


def test_a_token_of_its_own_has_no_rate_where_strangers_have_one(tmp_path: Path) -> None:
    file = TokenFile(write_tokens(tmp_path / "tokens.toml", ROLES))
    access = Access(file, "vote", Rates(10, lambda: 0.0))
    assert [False] * 10 + [True] == [refused(access, "203.0.113.1") for _ in range(11)]
    for _ in range(50):
        assert access.admit("vote", "203.0.113.1", b"Bearer free").name == "free"


def test_where_no_rate_is_set_there_is_no_bucket() -> None:
    rates = Rates()
    assert Access(None, "operate", rates).admit("vote", "203.0.113.1", None).bucket is None
    assert 0 == rates.buckets
