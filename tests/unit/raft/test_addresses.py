"""Where members are looked for, and how settings and log differ: the rules as rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from quorate.cluster.raft import members
from quorate.cluster.raft.membership.address_changes import AddressChanges
from quorate.cluster.raft.membership.addresses import HEARSAY_MAX, AddressBook, differences
from quorate.cluster.raft.transport.inquiry import resolve
from quorate.host_port import is_url, why_unreachable


def test_every_address_that_is_known_is_a_candidate_the_logs_first() -> None:
    book = AddressBook({"n2": "configured:1", "n9": "nine:1"})
    assert book.hear("n2", "told:1")
    assert book.hear_of_others("n3", {"n2": "hearsay:1", "n3": "itself:1"})
    assert ("new:1", "old:1", "told:1", "hearsay:1", "configured:1") == book.candidates("n2", ["new:1", "old:1"])
    assert ("nine:1",) == book.candidates("n9", [])
    assert ("logged:1",) == book.candidates("n3", ["logged:1"]), "a node's own word is no hearsay"


def test_an_address_stands_once_among_the_candidates() -> None:
    book = AddressBook({"n2": "a:1"})
    book.hear("n2", "a:1")
    assert ("a:1",) == book.candidates("n2", ["a:1", "a:1"])


NO_ADDRESSES = [
    *("", "nonsense", "a:0", "0.0.0.0:9001", "[::]:9001", "a b:1", "a:70000", "*:1", "a\nb:1", "a\x1b:1", "a\u202eb:1"),
    *("a:1\n", "u:p@a:1", "a/b:1", "[a]b:1", "a" * 1_000_000 + ":1", "a:" + "1" * 1_000_000, "\ud800:1"),
]


@pytest.mark.parametrize("told", NO_ADDRESSES, ids=lambda told: ascii(told[:20]))
def test_an_address_that_nobody_can_reach_is_passed_over(told: str) -> None:
    book = AddressBook({})
    assert not book.hear("n2", told)
    assert not book.hear_of_others("n3", {"n2": told})
    assert () == book.candidates("n2", [])
    assert len(why_unreachable(told) or "") in range(1, 500)


@pytest.mark.parametrize("logged", [each for each in NO_ADDRESSES if each], ids=lambda told: ascii(told[:20]))
def test_what_is_no_address_is_never_dialled_wherever_it_stands(logged: str) -> None:
    """It may stand in the log, by an older version or a leader that lies. The other addresses are dialled alone."""
    book = AddressBook({})
    told = book.candidates("n2", [logged])
    assert 1 == len(told)
    assert len(told[0]) < 500
    with pytest.raises(ValueError, match=r"host:port|brackets|port must"):
        asyncio.run(resolve(told[0]))
    assert ("a:1",) == book.candidates("n2", [logged, "a:1"])
    assert ("b:1",) == AddressBook({"n2": "b:1"}).candidates("n2", [logged])


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        *(
            (each, True)
            for each in ("http://a", "https://a:8001/x", "http://[::1]", "http://[::1]:1", "http://bücher.de")
        ),
        *(
            (each, False)
            for each in ("", "a:1", "javascript:alert(1)", "http://", "http://u:p@a", "http://a b", "http://a\n")
        ),
        *((each, False) for each in ("http://a/\u202e", "http://a/" + "x" * 1_000_000, "ftp://a", "http://a:x")),
    ],
)
def test_a_url_that_others_are_told_is_plain(text: str, taken: bool) -> None:
    assert taken == is_url(text)


def test_only_what_is_new_is_news() -> None:
    book = AddressBook({})
    assert [True, False, True] == [book.hear("n2", told) for told in ("a:1", "a:1", "b:1")]
    assert [True, False] == [book.hear_of_others("n3", {"n2": "c:1"}) for _ in range(2)]
    assert ("b:1", "c:1") == book.candidates("n2", []), "the last word of each counts"


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ({"n1": "a:1", "n2": "b:1"}, []),
        ({"n1": "a:1"}, []),  # n2 was added later
        ({"n1": "a:9", "n2": "b:1"}, ["n1 is at a:9 here and at a:1 in the log"]),
        ({"n1": "a:1", "n3": "c:1"}, ["n3 at c:1 is no member in the log"]),
    ],
)
def test_how_settings_and_log_differ(configured: Mapping[str, str], expected: list[str]) -> None:
    logged = members.founding({"n1": "a:1", "n2": "b:1"}, {"n1": "i1", "n2": "i2"})
    assert expected == differences(configured, logged.members)


def test_what_a_peer_tells_of_others_is_bounded() -> None:
    book = AddressBook({})
    assert book.hear_of_others("n2", {f"x{number}": "a:1" for number in range(10_000)})
    kept = [number for number in range(10_000) if book.candidates(f"x{number}", [])]
    assert range(HEARSAY_MAX) == range(len(kept))
    assert not AddressBook({}).hear_of_others("n2", {"n3\n": "a:1", "n" * 65: "a:1", "": "a:1"})
    assert book.hear_of_others("n3", {"x0": "b:1"}), "of those it knows of it goes on to hear"


class Peers:
    """The transport of a leader with one connected peer, whose answer to every call is this."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer

    def serve(self, kind: str, handler: object) -> None:
        pass

    async def call(self, peer: str, kind: str, body: bytes, *, timeout_s: float | None = None) -> bytes:
        return self.answer


@pytest.mark.parametrize("answer", [b"\xff\xfe", b"x" * 1_000_000, b"a\nb"])
def test_a_reason_that_a_peer_gives_is_text_and_not_long(answer: bytes) -> None:
    membership: Any = SimpleNamespace(list_members=list, connected_members=lambda: ["n2"])
    changes = AddressChanges("n1", {}, cast(Any, None), membership, cast(Any, Peers(answer)))
    why = asyncio.run(changes.why_not_at(members.Member("n1", "a:1", "i", voter=True), "b:1"))
    assert why
    assert len(why) < 500
    assert "\n" not in why
