"""New names have no characters that nobody sees, and a name stands once in an object of a change."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import pytest

from quorate import vote
from quorate.cluster import entry
from quorate.errors import TooLarge
from quorate.http.api import Check, CheckResult
from tests.support.http_node import MOOD, Node, running

HIDDEN = [
    *("\u202e", "\u2066", "\u200f", "\u200b", "\ufeff", "\xad", "\u2028", "\U000e0041", "\u034f", "\u115f", "\u1160"),
    *("\u17b4", "\u2065", "\u2800", "\u3164", "\uffa0", "\ufff0", "\U0001bca0", "\U0001d17a", "\U000e0fff"),
]


SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running() as node:
        node.ask("POST", "/polls", MOOD)
        node.ask("POST", "/polls", {"id": "any", "options": ["a"], "write_ins": True})
        old = entry.CreatePoll("o\u202eld", "old\u202e", ["y\u202ees", "no"], "open", None, False)
        node.run(node.api.submitter.create_poll(old, timeout_s=30))
        node.call(node.replica.state.raise_level, entry.encode_raise(1))
        yield node


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
def test_a_new_name_has_no_character_that_nobody_sees(node: Node, hidden: str) -> None:
    name = f"a{hidden}b"
    asked: list[tuple[str, str, Any]] = [
        ("POST", "/polls", {"id": name, "options": ["a", "b"]}),
        ("POST", "/polls", {"id": "p1", "options": ["a", name]}),
        ("POST", "/polls", {"id": "p1", "title": name, "options": ["a", "b"]}),
        ("PATCH", "/polls/mood", {"add_options": [name]}),
        ("PATCH", "/polls/mood", {"title": name}),
        ("POST", "/producers", {"producer": name}),
    ]
    answers = [node.ask(*each) for each in asked]
    assert [400] * len(asked) == [answer.status for answer in answers]
    assert all(f"U+{ord(hidden):04X}" in answer.json["detail"] for answer in answers)


@pytest.mark.parametrize("name", ["مرحبا", "می\u200cخواهم", "👩\u200d💻", "❤\ufe0f", "葛\U000e0100", SCOTLAND])
def test_scripts_and_emoji_that_need_joiners_are_taken(node: Node, name: str) -> None:
    assert 201 == node.ask("POST", "/polls", {"id": name, "title": name, "options": [name, "b"]}).status


def test_a_poll_that_stands_in_the_log_already_is_read_voted_in_and_closed(node: Node) -> None:
    path = "/polls/" + quote("o\u202eld")
    assert 200 == node.vote(option="y\u202ees", poll="o\u202eld").status
    assert {"y\u202ees": 1, "no": 0} == node.ask("GET", f"{path}/results").json["results"]
    assert 200 == node.ask("POST", f"{path}/state", {"state": "closed"}).status


TWICE = [
    ("POST", "/polls", b'{"id": "tea", "id": "coffee", "options": ["a", "b"]}'),
    ("POST", "/polls", b'{"id": "tea", "options": ["a", "b"], "options": ["c", "d"]}'),
    ("POST", "/polls", rb'{"id": "tea", "\u0069d": "coffee", "options": ["a", "b"]}'),
    ("PATCH", "/polls/mood", b'{"title": "a", "title": "b"}'),
    ("POST", "/polls/mood/state", b'{"state": "open", "state": "closed"}'),
    ("POST", "/producers", b'{"producer": "a", "producer": "b"}'),
    ("POST", "/members", b'{"action": "remove", "id": "n2", "id": "n3"}'),
    ("POST", "/members", b'{"action": "add", "action": "remove", "id": "n2"}'),
    ("PUT", "/settings/votes.dedup_window", b'{"value": 1, "value": 2}'),
]


@pytest.mark.parametrize(("method", "path", "body"), TWICE)
def test_a_name_that_stands_twice_is_refused(node: Node, method: str, path: str, body: bytes) -> None:
    answer = node.ask(method, path, body)
    assert (400, "invalid") == (answer.status, answer.json["type"])
    assert "twice" in answer.json["detail"]
    assert "open" == node.ask("GET", "/polls/mood").json["state"]


def test_what_peers_tell_breaks_no_line_and_no_header_of_an_answer(node: Node) -> None:
    """A member that lies may name a leader like this, and reasons that checks repeat."""
    forged = "n9\r\nX-Evil: yes\x1b[2J\n[+] all is well"
    checks = cast("list[Check]", node.api.checks)
    checks.append(Check("leader", lambda: CheckResult(False, forged, more=forged)))
    before = node.replica.leader
    try:
        node.call(node.replica.lead, forged)
        answer = node.ask("GET", "/readyz?verbose")
    finally:
        node.call(node.replica.lead, before)
        checks.pop()
    assert "x-evil" not in answer.headers
    assert 1 == sum("n9" in line for line in answer.body.decode().splitlines())
    assert b"\x1b" not in answer.body


# ---- texts that are long --------------------------------------------------------------------------------------------

MARKS = "a" + "\u0316\u0301\u0300" * 2_000  # to bring 60,000 of them to NFC took three seconds, in one call


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/votes", {"option": MARKS}, {}, 413),
        ("POST", "/votes", [{"option": "happy", "id": MARKS}], {}, 200),
        ("POST", "/votes", [{"option": "happy", "poll": MARKS}] * 3, {}, 200),
        ("POST", "/votes", {"option": "happy"}, {"Idempotency-Key": MARKS.encode()}, 413),
        ("POST", "/votes", {"option": "happy"}, {"X-Quorate-Producer": f"{MARKS};epoch=1;sequence=1".encode()}, 413),
        ("POST", "/polls", {"id": MARKS, "options": ["a", "b"]}, {}, 413),
        ("POST", "/polls", {"id": "long", "options": ["a", MARKS]}, {}, 413),
        ("POST", "/polls", {"id": "long", "title": MARKS, "options": ["a", "b"]}, {}, 413),
        ("POST", "/producers", {"producer": MARKS}, {}, 413),
        ("GET", f"/polls/{quote(MARKS[:4_000])}/results", None, {}, 404),
        ("GET", f"/polls/{quote(MARKS[:4_000])}", None, {}, 404),
        ("GET", f"/events?poll={quote(MARKS[:4_000])}", None, {}, 404),
    ],
)
def test_no_text_is_brought_to_its_normal_form_that_is_too_long_for_a_name(
    method: str, path: str, body: object, headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes as long as its marks squared, and nothing else goes on: 4 MB of them stopped a node for an hour."""
    lengths = [0]
    normalize = unicodedata.normalize

    def measured(form: Any, text: str) -> str:
        lengths.append(len(text))
        return normalize(form, text[:100])

    with running() as node:
        node.ask("POST", "/polls", MOOD)
        monkeypatch.setattr(unicodedata, "normalize", measured)
        assert status == node.ask(method, path, body, headers).status
        monkeypatch.undo()
    assert max(lengths) <= 2 * 1_024


def test_a_name_that_becomes_shorter_in_its_normal_form_is_taken_to_its_limit() -> None:
    """Three characters make two bytes, and no text makes fewer."""
    longest = "\u03b9\u0308\u0301" * 128
    assert 256 == len(vote.check_text(longest, "option", 256).encode())
    with pytest.raises(TooLarge):
        vote.check_text(longest + "a", "option", 256)
