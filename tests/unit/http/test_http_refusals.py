"""A rejection names what was asked for: the state of the poll, or the names that are near."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from quorate.cluster.entry import State
from quorate.cluster.fsm import PollView, StateMachine
from quorate.http import refusals
from quorate.http.refusals import REFUSALS_A_REQUEST, REFUSALS_A_SECOND, RefusalWords
from quorate.vote import Vote
from quorate.words import near_names
from tests.support.http_node import Node, running


@pytest.fixture(params=[True, False], ids=["loop", "Flask"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    with running(hot=request.param) as node:
        make(node, "mood", "happy", "sad")
        yield node


def make(node: Node, id: str, *options: str, **fields: Any) -> None:
    answer = node.ask("POST", "/polls", {"id": id, "options": list(options), **fields})
    assert 201 == answer.status, answer.json


def move(node: Node, id: str, state: str) -> None:
    assert 200 == node.ask("POST", f"/polls/{id}/state", {"state": state}).status


def refusal(node: Node, **vote: Any) -> tuple[int, str]:
    answer = node.ask("POST", "/votes", vote)
    return answer.status, answer.json["detail"]


def test_a_late_vote_hears_the_state_of_its_poll(node: Node) -> None:
    make(node, "colour", "red", "blue", state="draft")
    assert (410, "the poll colour is a draft and not open yet") == refusal(node, option="red", poll="colour")
    move(node, "mood", "closed")
    assert (410, "the poll mood is closed") == refusal(node, option="happy", poll="mood")
    move(node, "mood", "archived")
    assert (410, "the poll mood is archived") == refusal(node, option="happy", poll="mood")


def test_a_vote_for_polls_that_are_all_closed_hears_which_they_are(node: Node) -> None:
    for number in range(4):
        make(node, f"more-{number}", "happy", "glad")
        move(node, f"more-{number}", "closed")
    move(node, "mood", "closed")
    assert (
        410,
        "no poll with the option 'happy' is open: mood is closed, more-0 is closed, more-1 is closed, "
        "and 2 other polls with it",
    ) == refusal(node, option="happy")


class StateOf(StateMachine):
    """A state with one poll."""

    def __init__(self, poll: PollView, time_ms: int) -> None:
        super().__init__()
        self._one, self.time_ms = poll, time_ms

    def poll(self, id: str) -> PollView | None:
        return self._one if id == self._one.id else None


def poll_of(*, state: State, closes_at_ms: int | None = None) -> PollView:
    return PollView("mood", "", ("happy", "sad"), state, closes_at_ms, False, 0, 1, False)


def test_a_poll_that_closed_by_itself_tells_when() -> None:
    poll, vote = poll_of(closes_at_ms=1_790_000_000_000, state="closed"), Vote("happy", poll="mood")
    told = RefusalWords().of(StateOf(poll, time_ms=1_790_000_000_001), vote, "closed")
    assert "the poll mood is closed; its closing time was 2026-09-21T14:13:20Z" == told
    early = RefusalWords().of(StateOf(poll, time_ms=1_789_999_999_999), vote, "closed")
    assert "the poll mood is closed" == early, "by hand, before its closing time"


@pytest.mark.parametrize(
    ("vote", "said"),
    [
        ({"option": "hapy"}, "no open poll has the option 'hapy'; did you mean happy?"),
        ({"option": "HAPPY"}, "no open poll has the option 'HAPPY'; did you mean happy?"),
        ({"option": "zzz"}, "no open poll has the option 'zzz'; there are happy, sad"),
        ({"option": "sat", "poll": "mood"}, "the poll mood has no option 'sat'; did you mean sad?"),
        ({"option": "happy", "poll": "mod"}, "there is no poll 'mod'; did you mean mood?"),
        ({"option": "x" * 200}, f"no open poll has the option '{'x' * 100}…'; there are happy, sad"),
    ],
)
def test_a_misspelt_name_is_named_with_those_that_are_near(node: Node, vote: dict[str, Any], said: str) -> None:
    assert (404, said) == refusal(node, **vote)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/polls/mod", b""),
        ("GET", "/polls/mod/results", b""),
        ("GET", "/polls/mod/results?level=none", b""),
        ("POST", "/polls/mod/state", {"state": "closed"}),
        ("GET", "/events?poll=mod", b""),
    ],
)
def test_an_address_of_no_poll_is_answered_with_those_that_are_near(
    node: Node, method: str, path: str, body: Any
) -> None:
    answer = node.ask(method, path, body)
    assert (404, "unknown-poll") == (answer.status, answer.json["type"])
    assert "there is no poll 'mod'; did you mean mood?" == answer.json["detail"]


def test_the_first_votes_of_many_are_explained_and_all_have_a_reason(node: Node) -> None:
    sent = [{"option": "hapy", "id": f"u{n}"} for n in range(REFUSALS_A_REQUEST + 5)]
    rejected = node.ask("POST", "/votes", sent).json["rejected"]
    explained = [each for each in rejected if each["detail"].endswith("did you mean happy?")]
    assert (REFUSALS_A_REQUEST, len(sent)) == (len(explained), len(rejected))
    assert {"unknown_option"} == {each["reason"] for each in rejected}


def test_a_request_that_counts_as_a_whole_is_explained_too(node: Node) -> None:
    answer = node.ask("POST", "/votes", [{"option": "happy"}, {"option": "hapy"}], {"Idempotency-Key": "k1"})
    assert (400, "rejected") == (answer.status, answer.json["type"])
    [rejected] = answer.json["rejected"]
    assert (1, "no open poll has the option 'hapy'; did you mean happy?") == (rejected["index"], rejected["detail"])


def test_looking_for_names_is_bounded() -> None:
    now = [0.0]
    words, state, vote = RefusalWords(lambda: now[0]), StateMachine(), Vote("hapy")
    told = [words.of(state, vote, "unknown_option") for _ in range(REFUSALS_A_SECOND + 3)]
    assert (REFUSALS_A_SECOND, [None] * 3) == (sum(each is not None for each in told), told[-3:])
    now[0] += 0.5
    assert words.of(state, vote, "unknown_option") is not None


def test_a_node_that_is_behind_its_leader_keeps_the_plain_words() -> None:
    """It has not applied yet that the poll closed, that the poll is gone or what else was refused."""
    words = RefusalWords()
    state = StateOf(poll_of(state="open"), time_ms=0)
    assert None is words.of(state, Vote("happy", poll="mood"), "closed")
    assert None is words.of(state, Vote("happy", poll="mood"), "unknown_poll")
    assert None is words.of(state, Vote("happy", poll="mood"), "unknown_option")
    assert None is words.of(state, Vote("happy", poll="mood"), "conflict")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/vote", "there is nothing at /vote; did you mean /votes?"),
        ("/poll/mood", "there is nothing at /poll/mood; did you mean /polls?"),
        ("/healthz", "there is nothing at /healthz; GET /openapi.json lists what there is"),
    ],
)
def test_a_misspelt_address_is_answered_with_those_that_are_near(node: Node, path: str, said: str) -> None:
    answer = node.ask("GET", path)
    assert (404, "not-found") == (answer.status, answer.json["type"])
    assert said == answer.json["detail"]


def test_long_names_that_are_all_alike_are_not_all_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hundred of 128 letters took the loop 150 ms, and twenty a second may be asked for."""
    compared: list[int] = []

    def noted(word: str, names: Sequence[str]) -> list[str]:
        compared.append(sum(len(word) * len(name) for name in names))
        return near_names(word, names)

    monkeypatch.setattr(refusals, "near_names", noted)
    draw = random.Random(1)
    names = ["".join(draw.choices("abcd", k=128)) for _ in range(2_000)]
    near = names[1_000][:-1] + "x"
    refusals._near(near, names)
    assert max(compared) <= refusals.CHARACTERS
    assert "; did you mean happy?" == refusals._near("hapy", [*names[:300], "happy"]), "the likeliest come first"


@pytest.mark.parametrize("unknown", ["no", "no" * 50], ids=["small", "big"])
def test_the_loop_does_other_things_between_two_refusals_of_a_request(
    unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, seen = [0], []

    async def count_turns() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    def of(state: StateMachine, vote: Vote, reason: str) -> str:
        seen.append(turns[0])
        return "no"

    with running() as node:
        make(node, "mood", "happy", "sad")
        monkeypatch.setattr(node.api.refusals, "of", of)
        counting = asyncio.run_coroutine_threadsafe(count_turns(), node.loop)
        answer = node.ask("POST", "/votes", [{"option": f"{unknown} {number}"} for number in range(30)])
        counting.cancel()
    assert 200 == answer.status
    assert REFUSALS_A_REQUEST == len(set(seen)) == len(seen)
