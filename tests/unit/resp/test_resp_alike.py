"""Votes that are alike are not parsed: they mean the same as if they were."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.resp.alike import TAILS_MAX, AlikeVotes, Form, Tails
from quorate.resp.parsing import RequestParser
from quorate.resp.votes import read_vote
from tests.support.http_node import MOOD
from tests.support.resp_client import Client, Error, command, xadd
from tests.support.resp_node import running
from tests.support.tokens import access_by, bearer, write_tokens
from tests.support.waiting import wait_for

KEY = b"k" * 16
FIRST = [b"XADD", b"poll:mood", b"IDMP", b"ana", b"1", b"*", b"option", b"happy"]
HEAD = command(*FIRST)[: command(*FIRST).index(b"ana") + len(b"ana\r\n$")]


def form_of(*learnt: list[bytes]) -> Form:
    tails = Tails()
    for words in learnt:
        tails.learn(words, read_vote(words, allow_unkeyed=False))
    return Form(FIRST, read_vote(FIRST, allow_unkeyed=False), KEY, tails)


def taken(pieces: list[bytes], form: Form | None, most: int) -> tuple[list[list[bytes]], int]:
    """The commands that come in these pieces, and how many of them were not parsed."""
    parser, alike = RequestParser(), 0
    commands: list[list[bytes]] = []
    for piece in pieces:
        parser.feed(piece)
        while parser.left_bytes and parser.failed is None:
            for each in parser.take(most, form):
                if isinstance(each, AlikeVotes):
                    alike += len(each)
                    assert said_by(each) == [by_parsing(words) for words in each.commands()]
                    commands += each.commands()
                else:
                    commands.append(each)
    return commands, alike


def asked(client: Client, data: bytes) -> object:
    client.send(data)
    return client.reply()


def said_by(votes: AlikeVotes) -> list[tuple[object, bytes | None]]:
    return list(zip(votes.keys, votes.hashes(), strict=True))


def by_parsing(words: list[bytes]) -> tuple[object, bytes | None]:
    vote = read_vote(words, allow_unkeyed=False)
    return vote.key, vote.id_hash(KEY)


iids = st.one_of(
    st.integers(0, 10**6).map(lambda number: b"%d" % number),
    st.sampled_from([b"\r\n", b"$1\r\n*\r\n", HEAD, HEAD + b"1\r\n2\r\n", b"a" * 99, b"a" * 100, b"5\r\n12345"]),
    st.binary(min_size=1, max_size=5),
)
words_of_votes = st.builds(
    lambda iid, option, weight: [*FIRST[:4], iid, b"*", b"option", option, *weight],
    iids,
    st.sampled_from([b"happy", b"sad", b"\xc3\xa4\r\n", b"h" * 200]),
    st.sampled_from([(), (b"weight", b"2")]),
)
others = st.sampled_from([[b"PING"], [b"xadd", *FIRST[1:]], [*FIRST[:3], b"bob", *FIRST[4:]], FIRST[:5], [b"", HEAD]])


@given(st.lists(st.one_of(words_of_votes, words_of_votes, others), max_size=12), st.lists(st.integers(0)), st.data())
def test_they_are_the_same_commands_however_they_come(
    stream: list[list[bytes]], places: list[int], data: st.DataObject
) -> None:
    whole = b"".join(command(*words) for words in stream)
    ends = sorted({place % (len(whole) + 1) for place in places} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in itertools.pairwise(ends)]
    form = form_of(FIRST, [*FIRST[:7], b"sad"], [*FIRST, b"weight", b"2"])
    commands, _ = taken(pieces, form, data.draw(st.integers(1, 20)))
    assert stream == commands


def test_a_pipeline_of_votes_that_are_alike_is_not_parsed() -> None:
    votes = [[*FIRST[:4], b"%d" % number, *FIRST[5:]] for number in range(1_000)]
    assert (votes, 1_000) == taken([b"".join(command(*words) for words in votes)], form_of(FIRST), 2_000)


@pytest.mark.parametrize(
    "changed",
    [
        command(*FIRST)[:-3],  # the end is missing
        command(*FIRST).replace(b"$1\r\n1\r\n", b"$2\r\n1\r\n"),
        command(*FIRST).replace(b"$1\r\n1\r\n", b"$01\r\n1\r\n"),
        command(*FIRST).replace(b"*8", b"*08", 1),
        command(*FIRST).replace(b"happy", b"Happy"),
        command(*FIRST).replace(b"$5\r\nhappy", b"$4\r\nhappy"),
        command(*FIRST).replace(b"\r\n*\r\n", b"\n*\r\n"),
    ],
)
def test_what_differs_is_parsed(changed: bytes) -> None:
    parser = RequestParser()
    parser.feed(command(*FIRST) + changed)
    assert sum(len(each) for each in parser.take(10, form_of(FIRST)) if isinstance(each, AlikeVotes)) <= 1


def test_tails_of_all_clients_together_have_a_bound() -> None:
    tails = Tails()
    form = Form(FIRST, read_vote(FIRST, allow_unkeyed=False), KEY, tails)
    for number in range(3 * TAILS_MAX):
        words = [*FIRST[:7], b"%d" % number]
        tails.learn(words, read_vote(words, allow_unkeyed=False))
        assert len(form.tails) <= TAILS_MAX
    assert tails.of(len(FIRST)) is form.tails


def test_replies_keep_their_order_among_other_commands_and_refusals() -> None:
    with running() as node, node.connect() as client:
        node.create()
        client.ask("XADD", *["poll:mood", "IDMP", "f", "first", "*", "option", "happy"])
        client.send(xadd(1) + xadd(2) + command("PING") + xadd(3, "nothing") + xadd(1) + xadd(2, "sad") + xadd(4))
        replies = client.replies(7)
        told = [reply.code if isinstance(reply, Error) else reply.partition("-")[2] for reply in replies]
        assert ["0", "1", "", "NOOPTION", "1", "CONFLICT", "3"] == told
        assert "PONG" == replies[2]
        assert {"happy": 4, "sad": 0} == node.tally()


def test_a_transaction_holds_them_too() -> None:
    with running() as node, node.connect() as client:
        node.create()
        for number in range(3):
            assert isinstance(asked(client, xadd(number)), str)
        assert "OK" == client.ask("MULTI")
        client.send(xadd(3) + xadd(4) + xadd(5))
        assert ["QUEUED", "QUEUED", "QUEUED"] == client.replies(3)
        assert {"happy": 3, "sad": 0} == node.tally()
        assert 3 == len(client.ask("EXEC"))
        assert {"happy": 6, "sad": 0} == node.tally()


def test_a_token_is_asked_for_each_vote(tmp_path: Path) -> None:
    """What is known of votes says nothing of who may send them."""
    tokens = {"all": "vote", "bound": "vote", "manage": "manage"}
    file = write_tokens(tmp_path / "tokens.toml", tokens, bounds={"bound": 'polls = ["lunch"]'})
    with running(access=partial(access_by, file)) as node, node.connect() as client:
        node.http.ask("POST", "/polls", MOOD, bearer("manage"))
        client.ask("AUTH", "all")
        assert isinstance(asked(client, xadd(1)), str)
        assert isinstance(asked(client, xadd(2)), str)
        client.ask("AUTH", "bound")
        client.send(xadd(3) + xadd(4))
        assert ["NOPERM", "NOPERM"] == [reply.code for reply in client.replies(2)]
        client.ask("RESET")
        client.send(xadd(5) + xadd(6))
        assert ["NOAUTH", "NOAUTH"] == [reply.code for reply in client.replies(2)]
        assert {"happy": 2, "sad": 0} == node.tally()


def test_who_leaves_what_is_sent_unread_has_no_vote_counted() -> None:
    with running() as node, node.connect() as client:
        node.create()
        for number in range(2):
            assert isinstance(asked(client, xadd(number)), str)
        (connection,) = node.connections()
        node.http.call(connection.pause_writing)
        client.send(xadd(2))
        wait_for("the vote has come", lambda: connection._parser.left_bytes > 0)
        node.http.call(connection.resume_writing)
        assert isinstance(client.reply(), str)
        assert {"happy": 3, "sad": 0} == node.tally()
