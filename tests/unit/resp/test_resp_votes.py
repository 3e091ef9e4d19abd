"""XADD: its forms, what makes two votes one, and what is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest

from tests.support.resp_client import Client, Error, command, xadd
from tests.support.resp_node import RespNode, running

NFC, NFD = unicodedata.normalize("NFC", "grün"), unicodedata.normalize("NFD", "grün")


@pytest.fixture(scope="module")
def node() -> Iterator[RespNode]:
    with running() as node:
        node.create()
        node.create("lunch", ["soup", NFC])
        node.create(NFC, ["happy", "sad"])
        yield node


@pytest.fixture
def client(node: RespNode) -> Iterator[Client]:
    with node.connect() as client:
        yield client


def votes(client: Client, poll: str, option: str) -> int:
    return int(client.ask("HGET", f"poll:{poll}", option))


@pytest.mark.parametrize(
    ("words", "weight"),
    [
        ("XADD poll:mood IDMP f 1 * option happy", 1),
        ("xadd poll:mood idmp f 2 * OPTION happy", 1),
        ("XADD poll:mood IDMP f 3 * option happy weight 7", 7),
        ("XADD poll:mood IDMP f 4 * Option happy Weight 1000000", 1_000_000),
        ("XADD poll:mood NOMKSTREAM IDMP f 5 * option happy", 1),
        ("XADD poll:mood IDMP f 6 NOMKSTREAM * option happy weight 2", 2),
        ("XADD poll:mood nomkstream idmp f 7 * option happy weight 002", 2),
        ("XADD poll:mood IDMP * 8 * option happy", 1),
        ("XADD poll:mood IDMP IDMP IDMP * option happy", 1),
    ],
)
def test_forms_that_count(client: Client, words: str, weight: int) -> None:
    before = votes(client, "mood", "happy")
    first = client.ask(*words.split(" "))
    assert isinstance(first, str)
    assert "bulk" == client.kind
    assert all(part.isdigit() for part in first.split("-"))
    assert before + weight == votes(client, "mood", "happy")
    assert isinstance(client.ask(*words.split(" ")), str)
    assert before + weight == votes(client, "mood", "happy")


UNKEYED = "clients send a command again by themselves"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("XADD", "wrong number of arguments for 'xadd' command"),
        ("XADD poll:mood * option", "wrong number of arguments"),
        ("XADD poll:mood * option happy", UNKEYED),
        ("XADD poll:mood NOMKSTREAM * option happy", UNKEYED),
        ("XADD poll:mood IDMPAUTO f * option happy", "IDMPAUTO takes two equal votes"),
        ("XADD poll:mood MAXLEN 10 * option happy", "MAXLEN is for streams"),
        ("XADD poll:mood IDMP f x MAXLEN ~ 10 * option happy", "MAXLEN is for streams"),
        ("XADD poll:mood IDMP f x MINID 1 * option happy", "MINID is for streams"),
        ("XADD poll:mood KEEPREF IDMP f x * option happy", "KEEPREF is for streams"),
        ("XADD poll:mood IDMP f x IDMP g y * option happy", "IDMP stands twice"),
        ("XADD poll:mood IDMP f x 5-1 option happy", "the id of the entry is '5-1'"),
        ("XADD poll:mood IDMP f x 5-* option happy", "the id of the entry is '5-*'"),
        ("XADD poll:mood IDMP f x option happy", "the id of the entry is 'option'"),
        ("XADD poll:mood IDMP f x *", "give the fields"),
        ("XADD poll:mood IDMP f x * option", "give the fields"),
        ("XADD poll:mood IDMP f x * choice happy", "give the fields"),
        ("XADD poll:mood IDMP f x * option happy weight", "give the fields"),
        ("XADD poll:mood IDMP f x * option happy size 3", "only weight may stand there"),
        ("XADD poll:mood IDMP f x * weight 3 option happy", "give the fields"),
        ("XADD poll:mood IDMP f x * option happy weight 0", "weight is 0"),
        ("XADD poll:mood IDMP f x * option happy weight -1", "weight is '-1'"),
        ("XADD poll:mood IDMP f x * option happy weight 1.5", "weight is '1.5'"),
        ("XADD poll:mood IDMP f x * option happy weight +2", "weight is '+2'"),
        ("XADD poll:mood IDMP f x * option happy weight 1000001", "weight is 1000001"),
        ("XADD poll:mood IDMP f x * option happy weight 99999999999999999999", "weight is"),
        ("XADD mood IDMP f x * option happy", "there is no key 'mood'"),
        ("XADD POLL:mood IDMP f x * option happy", "there is no key 'POLL:mood'"),
        ("XADD linearizable:poll:mood IDMP f x * option happy", "there is no key"),
        ("XADD poll: IDMP f x * option happy", "poll is empty"),
        ("XADD poll:mood IDMP  x * option happy", "producer and iid"),
        ("XADD poll:mood IDMP f  * option happy", "producer and iid"),
        ("XADD poll:mood IDMP f x * option ", "option is empty"),
        ("INCR poll:mood", "it names no option"),
        ("INCRBY poll:mood 3", "it names no option"),
        ("HINCRBY poll:mood happy 1", UNKEYED),
    ],
)
def test_forms_that_are_refused(client: Client, node: RespNode, words: str, told: str) -> None:
    before = node.tally()
    answer = client.ask(*words.split(" "))
    assert isinstance(answer, Error)
    assert "ERR" == answer.code
    assert told in answer.text
    assert before == node.tally()
    assert "PONG" == client.ask("PING")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["XADD", "poll:mood", "IDMP", "f", "x", "*", "option", "angry"], "NOOPTION"),
        (["XADD", "poll:nowhere", "IDMP", "f", "x", "*", "option", "happy"], "NOPOLL"),
        (["XADD", "poll:mood", "IDMP", "f", "x", "*", "option", "a" * 257], "TOOLARGE"),
        (["XADD", "poll:" + "a" * 129, "IDMP", "f", "x", "*", "option", "happy"], "TOOLARGE"),
        (["XADD", "poll:mood", "IDMP", "f" * 1_025, "x", "*", "option", "happy"], "ERR"),
        (["XADD", "poll:mood", "IDMP", "f", "x", "*", "option", b"\xff"], "ERR"),
        (["XADD", b"poll:\xff", "IDMP", "f", "x", "*", "option", "happy"], "ERR"),
        (["XADD", "poll:mood", "IDMP", "f", "x", "*", "option", "a\r\n+OK"], "ERR"),
    ],
)
def test_votes_that_cannot_count_say_why_by_their_first_word(
    client: Client, words: list[str | bytes], code: str
) -> None:
    answer = client.ask(*words)
    assert isinstance(answer, Error)
    assert code == answer.code
    assert "PONG" == client.ask("PING")


def test_states_of_a_poll_say_why(node: RespNode, client: Client) -> None:
    node.create("ends")
    client.send(xadd("before", poll="ends"))
    assert isinstance(client.reply(), str)
    node.http.ask("POST", "/polls/ends/state", {"state": "closed"})
    client.send(xadd("late", poll="ends") + xadd("before", poll="ends"))
    late, again = client.replies(2)
    assert "CLOSED" == late.code
    assert isinstance(again, str)  # it was counted before the poll was closed
    assert 200 == node.http.ask("POST", "/polls/ends/state", {"state": "archived"}).status
    assert 200 == node.http.ask("DELETE", "/polls/ends").status
    client.send(xadd("later", poll="ends"))
    assert "DELETED" == client.reply().code


def test_the_same_id_again_is_counted_once_and_answered_with_the_version_of_now(client: Client) -> None:
    before = votes(client, "mood", "happy")
    client.send(xadd("again"))
    first = client.reply()
    client.send(xadd("between"))
    between = client.reply()
    client.send(xadd("again"))
    second = client.reply()
    assert before + 2 == votes(client, "mood", "happy")
    assert int(first.partition("-")[0]) < int(between.partition("-")[0]) <= int(second.partition("-")[0])


def test_the_same_id_for_another_option_is_a_conflict(client: Client) -> None:
    client.send(xadd("c", option="happy"))
    client.reply()
    before = votes(client, "mood", "happy"), votes(client, "mood", "sad")
    heavy = command("XADD", "poll:mood", "IDMP", "ana", "c", "*", "option", "happy", "weight", 2)
    client.send(xadd("c", option="sad") + xadd("c", option="happy") + heavy)
    conflict, same, heavier = client.replies(3)
    assert "CONFLICT" == conflict.code
    assert isinstance(same, str)
    assert "CONFLICT" == heavier.code
    assert before == (votes(client, "mood", "happy"), votes(client, "mood", "sad"))


def test_an_iid_belongs_to_its_poll_and_its_producer(client: Client) -> None:
    before = votes(client, "mood", "happy"), votes(client, "lunch", "soup")
    client.send(xadd("p", producer="a") + xadd("p", producer="b") + xadd("p", "soup", "lunch", "a"))
    client.send(xadd("p", producer="a") + xadd("p", producer="b") + xadd("p", "soup", "lunch", "a"))
    assert all(isinstance(reply, str) for reply in client.replies(6))
    assert (before[0] + 2, before[1] + 1) == (votes(client, "mood", "happy"), votes(client, "lunch", "soup"))


def test_pairs_that_look_alike_when_joined_are_two(client: Client) -> None:
    before = votes(client, "mood", "happy")
    pairs = [("a", "bc"), ("ab", "c"), ("a", "1:c"), ("a1:", "c")]
    client.send(b"".join(xadd(iid, producer=producer) for producer, iid in pairs))
    client.replies(4)
    assert before + 4 == votes(client, "mood", "happy")


def test_a_name_in_two_spellings_is_one(client: Client) -> None:
    before = votes(client, "lunch", NFC)
    client.send(xadd("u", NFC, "lunch") + xadd("u", NFD, "lunch") + xadd("v", NFD, "lunch"))
    assert all(isinstance(reply, str) for reply in client.replies(3))
    assert before + 2 == votes(client, "lunch", NFC) == votes(client, "lunch", NFD)
    client.send(xadd("w", "happy", NFC) + xadd("w", "happy", NFD))
    client.replies(2)
    assert 1 == votes(client, NFC, "happy") == votes(client, NFD, "happy")


def test_producers_and_iids_are_bytes(client: Client) -> None:
    before = votes(client, "mood", "happy")
    for iid in (b"\xff\x00\r\n", b"\xff\x00\r", b" ", NFC.encode(), NFD.encode()):
        assert isinstance(client.ask("XADD", "poll:mood", "IDMP", b"\xfe", iid, "*", "option", "happy"), str)
    assert before + 5 == votes(client, "mood", "happy")


def test_a_vote_that_names_no_poll_counts_in_each_with_its_option(client: Client) -> None:
    before = votes(client, "mood", "happy"), votes(client, NFC, "happy")
    for _ in range(2):
        assert isinstance(client.ask("XADD", "votes", "IDMP", "ana", "n", "*", "option", "happy"), str)
    assert (before[0] + 1, before[1] + 1) == (votes(client, "mood", "happy"), votes(client, NFC, "happy"))


def test_the_same_vote_by_http_is_another_one(node: RespNode, client: Client) -> None:
    """Ids of this door are hashes behind a word of their own: nobody meets one by chance."""
    before = votes(client, "mood", "happy")
    client.send(xadd("h"))
    client.reply()
    node.http.vote(option="happy", poll="mood", id="h")
    assert before + 2 == votes(client, "mood", "happy")


def test_many_votes_again_are_answered_again() -> None:
    """From a hundred on, the submitter looks for those that were counted before: it needs a task for that, and had
    none, so that a pipeline that was sent again never had an answer."""
    with running() as node, node.connect() as client:
        node.create()
        pipeline = b"".join(xadd(number) for number in range(300))
        for _ in range(3):
            client.send(pipeline)
            assert all(isinstance(reply, str) for reply in client.replies(300))
        assert {"happy": 300, "sad": 0} == node.tally()
