"""The client, against a server that gives prepared answers: which node it asks, what it repeats, what it raises."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from quorate import errors
from quorate.client.error_replies import answer_error
from quorate.client.http import JsonClient, base_url
from quorate.vote import Vote
from tests.support.scripted_node import COUNTED, Answer, ScriptedNode, nowhere, problem
from tests.support.timed import Timed

Start = Callable[..., ScriptedNode]


def ids_in(node: ScriptedNode) -> list[str]:
    return [json.loads(body)["id"] for _, _, body, _ in node.requests]


def test_a_vote_without_an_id_gets_one_of_its_own(node: Start) -> None:
    n1 = node((200, COUNTED))
    with JsonClient([n1.url]) as client:
        client.vote(Vote("happy"))
        client.vote(Vote("happy"))
    assert 2 == len(set(ids_in(n1)))


@pytest.mark.parametrize(
    ("change", "title", "asked"),
    [
        (lambda c: c.vote(Vote("happy")), "It may or may not have been counted", "/votes"),
        (lambda c: c.create_poll("mood", ["happy"]), "The poll may or may not have changed", "/polls"),
        (lambda c: c.change_members("remove", "n2"), "The members may or may not have changed", "/members"),
        (lambda c: c.transfer_leadership(), "Leadership may or may not have moved", "/leader/transfer"),
        (lambda c: c.open_producer("p1"), "The session may or may not have been opened", "/producers"),
    ],
)
def test_a_doubt_speaks_of_what_was_asked(
    node: Start, timed: Timed, change: Callable[[JsonClient], Any], title: str, asked: str
) -> None:
    with JsonClient([node("break").url], timeout_s=2.0) as client, pytest.raises(errors.OutcomeUnknown) as doubt:
        change(client)
    assert (title, asked) == (doubt.value.title, doubt.value.asked)


def test_a_refused_connection_goes_on_to_the_next_node_and_stays_there(node: Start) -> None:
    n2 = node((200, COUNTED))
    with JsonClient([nowhere(), n2.url]) as client:
        assert 7 == client.vote(Vote("happy")).version
        client.vote(Vote("happy"))
    assert (2, 1) == (len(n2.requests), n2.connections)


@pytest.mark.parametrize("trouble", [problem("no-leader", 503), problem("overloaded", 429), "break"])
def test_trouble_is_tried_again_elsewhere_with_the_same_id(node: Start, trouble: Answer) -> None:
    n1, n2 = node(trouble), node((200, COUNTED))
    with JsonClient([n1.url, n2.url]) as client:
        assert 1 == client.vote(Vote("happy")).applied
    assert ids_in(n1) == ids_in(n2)


def test_a_node_that_hangs_leaves_time_for_the_next(node: Start) -> None:
    n1, n2 = node("hang"), node((200, COUNTED))
    with JsonClient([n1.url, n2.url], timeout_s=3) as client:
        client.vote(Vote("happy"))
    assert ids_in(n1) == ids_in(n2)


def test_one_node_is_asked_again_until_it_has_a_leader(node: Start) -> None:
    n1 = node(problem("no-leader", 503), problem("no-leader", 503), (200, COUNTED))
    with JsonClient([n1.url]) as client:
        client.vote(Vote("happy"))
    assert (3, 1) == (len(n1.requests), len(set(ids_in(n1))))


def test_nothing_reachable_is_surely_not_counted_and_all_are_named(timed: Timed) -> None:
    n1, n2 = nowhere(), nowhere()
    with JsonClient([n1, n2], timeout_s=2.0) as client, pytest.raises(errors.NoLeader) as caught:
        client.vote(Vote("happy"))
    assert (True, f"none of {n1}, {n2} can be reached") == (caught.value.definite, caught.value.detail)


def test_a_broken_connection_then_no_leader_is_unknown_not_no(node: Start, timed: Timed) -> None:
    n1 = node("break", problem("no-leader", 503))
    with JsonClient([n1.url], timeout_s=2.0) as client, pytest.raises(errors.OutcomeUnknown):
        client.vote(Vote("happy"))
    assert len(n1.requests) > 1


def test_a_read_that_gets_no_answer_is_never_in_doubt(node: Start, timed: Timed) -> None:
    n1 = node("break")
    with JsonClient([n1.url], timeout_s=2.0) as client, pytest.raises(errors.NoLeader):
        client.polls()
    assert len(n1.requests) > 1


@pytest.mark.parametrize(
    ("kind", "status", "raised"),
    [
        ("unknown-option", 404, errors.UnknownOption),
        ("unknown-poll", 404, errors.UnknownPoll),
        ("closed", 410, errors.PollClosed),
        ("conflict", 409, errors.Conflict),
        ("bad-transition", 409, errors.BadTransition),
        ("invalid", 400, errors.Invalid),
        ("too-large", 413, errors.TooLarge),
        ("expired-id", 409, errors.ExpiredId),
        ("unknown_option", 404, errors.UnknownOption),  # as nodes of 0.1.0 spell it
        ("unknown_poll", 404, errors.UnknownPoll),
        ("too_large", 413, errors.TooLarge),
        ("expired_id", 409, errors.ExpiredId),
        ("internal", 500, errors.QuorateError),
    ],
)
def test_a_refusal_is_raised_as_its_class_at_once(
    node: Start, kind: str, status: int, raised: type[errors.QuorateError]
) -> None:
    n1, n2 = node(problem(kind, status, poll="mood")), node((200, COUNTED))
    with JsonClient([n1.url, n2.url]) as client, pytest.raises(raised) as caught:
        client.vote(Vote("happy"))
    assert (raised, "what to do", {"poll": "mood"}) == (type(caught.value), caught.value.detail, caught.value.fields)
    assert (1, 0) == (len(n1.requests), len(n2.requests))


def test_a_failure_that_a_node_calls_indefinite_is_sent_again_with_the_same_id(node: Start) -> None:
    n1, n2 = node(problem("internal", 500, definite=False)), node((200, COUNTED))
    with JsonClient([n1.url, n2.url]) as client:
        client.vote(Vote("happy"))
    assert ids_in(n1) == ids_in(n2)


def test_an_error_of_a_newer_node_keeps_its_kind_and_its_words(node: Start) -> None:
    n1 = node((418, {"type": "teapot", "title": "I am a teapot", "status": 418, "detail": "use the other one"}))
    with JsonClient([n1.url]) as client, pytest.raises(errors.QuorateError) as caught:
        client.polls()
    error = caught.value
    assert (418, "teapot", "I am a teapot", "use the other one") == (
        error.status,
        error.kind,
        error.title,
        error.detail,
    )
    assert (500, "internal") == (errors.QuorateError.status, errors.QuorateError.kind)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 524])
def test_a_gateway_in_between_leaves_the_outcome_unknown(node: Start, timed: Timed, status: int) -> None:
    """Also by 503: Envoy says that of a request that it had passed on. A read is in no doubt."""
    n1 = node((status, b"<html>upstream connect error or disconnect/reset before headers</html>"))
    with JsonClient([n1.url], timeout_s=2.0) as client:
        with pytest.raises(errors.OutcomeUnknown, match=f"answered {status}"):
            client.vote(Vote("happy"))
        with pytest.raises(errors.NoLeader, match=f"answered {status}"):
            client.polls()


def test_a_gateway_that_wants_a_password_passed_nothing_on(node: Start, timed: Timed) -> None:
    n1 = node((407, b"<html>"))
    with JsonClient([n1.url], timeout_s=2.0) as client, pytest.raises(errors.NoLeader) as caught:
        client.vote(Vote("happy"))
    assert f"{n1.url} cannot be reached: the proxy wants a name and a password" in caught.value.detail


def test_an_answer_of_no_node_is_not_said_to_be_a_nodes(node: Start) -> None:
    n1 = node((403, b"<html>access denied</html>"))
    with JsonClient([n1.url]) as client, pytest.raises(errors.QuorateError) as caught:
        client.vote(Vote("happy"))
    assert "This is no answer of a node" == caught.value.title


@pytest.mark.parametrize("answer", [(200, b"<html>"), (404, b"<html>"), (301, b"", {"Location": "http://x"})])
def test_something_that_is_no_node_is_said_in_words(node: Start, answer: Answer) -> None:
    n1 = node(answer)
    with JsonClient([n1.url]) as client, pytest.raises(errors.QuorateError, match="as a Quorate node does"):
        client.polls()


def test_retry_after_of_an_overloaded_node_is_kept(node: Start) -> None:
    n1 = node((*problem("overloaded", 429), {"Retry-After": "30"}))
    with JsonClient([n1.url], timeout_s=2) as client, pytest.raises(errors.Overloaded):
        client.vote(Vote("happy"))
    assert 1 == len(n1.requests)


def test_the_other_nodes_are_asked_before_an_overloaded_one_is_waited_for(node: Start) -> None:
    n1, n2 = node((*problem("overloaded", 429), {"Retry-After": "30"})), node((200, COUNTED))
    with JsonClient([n1.url, n2.url], timeout_s=20) as client:
        assert 1 == client.vote(Vote("happy")).applied


def test_a_session_moves_on_only_when_its_batch_was_counted(node: Start) -> None:
    n1 = node(
        (200, {"producer": "p", "epoch": 3, "sequence": 4}),
        (200, COUNTED),
        problem("rejected", 400, rejected=[{"index": 0, "id": None, "reason": "unknown_option"}]),
    )
    with JsonClient([n1.url]) as client:
        session = client.open_producer("p")
        client.cast_session(session, [Vote("happy")])
        with pytest.raises(errors.Rejected):
            client.cast_session(session, [Vote("sad")])
    assert 5 == session.sequence
    sent = [headers["X-Quorate-Producer"] for _, _, _, headers in n1.requests[1:]]
    assert ["p;epoch=3;sequence=5", "p;epoch=3;sequence=6"] == sent


def test_poll_ids_are_quoted(node: Start) -> None:
    n1 = node((200, {}))
    with JsonClient([n1.url]) as client:
        client.results("a/b ü", level="none", min_version=3)
    assert "/polls/a%2Fb%20%C3%BC/results?level=none&min_version=3" == n1.requests[0][1]


def test_proxies_of_the_environment_are_not_asked(node: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", nowhere())
    n1 = node((200, COUNTED))
    with JsonClient([n1.url]) as client:
        client.vote(Vote("happy"))


@pytest.mark.parametrize("text", ["", "ftp://x", "http://", "a b"])
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(errors.Invalid):
        base_url(text)


def test_host_and_port_are_enough_for_a_url() -> None:
    assert "http://n1:8001" == base_url("n1:8001")


@pytest.mark.parametrize(
    ("status", "kind", "detail"),
    [
        (405, "method-not-allowed", "/polls/mood answers GET, not PATCH"),
        (404, "not-found", "there is nothing at /settings; GET /openapi.json lists what there is"),
    ],
)
def test_a_node_that_does_not_know_what_the_client_asks_may_be_an_older_one(
    status: int, kind: str, detail: str
) -> None:
    """As node by node is upgraded: the command is of the new version already."""
    body = msgspec.json.encode({"type": kind, "detail": detail})
    error = answer_error(status, body, {}, "http://n1.example:8001")
    assert f"{detail}. Does that node run an older version of Quorate?" == error.detail
