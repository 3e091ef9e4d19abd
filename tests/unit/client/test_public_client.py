"""`Client` and `AsyncClient` against nodes with prepared answers: one set of rules, tried through both."""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import quorate
from quorate import AsyncClient, Client, TakenOver, Vote, errors, with_ids
from quorate.client import target
from quorate.client.async_asker import AT_ONCE
from quorate.client.followed import Followed
from tests.support.scripted_node import COUNTED, ScriptedNode, nowhere, problem

Start = Callable[..., ScriptedNode]
OPENED = (200, {"producer": "p", "epoch": 3, "sequence": 4})


class Both:
    """The async client, called as the other one is."""

    def __init__(self, runner: asyncio.Runner, made: AsyncClient) -> None:
        self._runner, self._made = runner, made

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._made, name)
        return self._waiting(found) if inspect.iscoroutinefunction(found) else found

    def _waiting(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        return lambda *given, **named: self._wrapped(self._runner.run(function(*given, **named)))

    def _wrapped(self, answer: Any) -> Any:
        return Both(self._runner, answer) if type(answer).__name__ == "AsyncProducerSession" else answer


Make = Callable[..., Any]


@pytest.fixture(params=["threads", "asyncio"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a client of either sort."""
    if request.param == "threads":
        clients: list[Client] = []

        def start(*nodes: str, **named: Any) -> Any:
            clients.append(Client(list(nodes), **named))
            return clients[-1]

        yield start
        for each in clients:
            each.close()
        return
    with asyncio.Runner() as runner:
        asynchronous: list[AsyncClient] = []

        def start_async(*nodes: str, **named: Any) -> Any:
            asynchronous.append(AsyncClient(list(nodes), **named))
            return Both(runner, asynchronous[-1])

        yield start_async
        for client in asynchronous:
            runner.run(client.close())


def sent(node: ScriptedNode) -> list[Any]:
    return [json.loads(body) for _, _, body, _ in node.requests if body]


# ---- votes ----------------------------------------------------------------------------------------------------------


def test_a_vote_in_doubt_is_sent_to_the_next_node_with_the_id_that_it_had(node: Start, make: Make) -> None:
    n1, n2 = node("break"), node((200, COUNTED))
    assert 7 == make(n1.url, n2.url).vote("happy", poll="mood", weight=2).version
    assert [sent(n1)[0]] == sent(n2)
    assert {"option": "happy", "poll": "mood", "weight": 2} == {k: v for k, v in sent(n1)[0].items() if k != "id"}


@pytest.mark.parametrize("answer", [problem("no-leader", 503), problem("overloaded", 429), "break"])
def test_the_other_nodes_are_asked_at_once(node: Start, make: Make, answer: Any) -> None:
    n1, n2 = node(answer), node((200, COUNTED))
    assert 1 == make(n1.url, nowhere(), n2.url).vote("happy").applied


def test_a_refusal_is_raised_at_once_with_its_fields(node: Start, make: Make) -> None:
    n1 = node(problem("closed", 410, poll="mood"))
    with pytest.raises(errors.PollClosed, match="what to do") as caught:
        make(n1.url).vote("happy", id="u1")
    assert ("mood", [Vote("happy", "u1")]) == (caught.value.fields["poll"], caught.value.fields["votes"])
    assert 1 == len(n1.requests)


def test_a_doubt_is_raised_only_when_the_time_is_over_and_has_what_is_to_be_sent_again(node: Start, make: Make) -> None:
    n1 = node("break")
    with pytest.raises(errors.OutcomeUnknown) as caught:
        make(n1.url, timeout_s=3.0).votes(["happy", Vote("sad", id="u2")])
    assert len(n1.requests) > 1
    again = caught.value.fields["votes"]
    assert sent(n1)[0] == [{"option": vote.option, "id": vote.id} for vote in again]


def test_nobody_reached_is_no_doubt(make: Make) -> None:
    with pytest.raises(errors.NoLeader, match=r"none of .* can be reached"):
        make(nowhere(), nowhere(), timeout_s=0.3).vote("happy")


def test_another_deadline_for_some_requests(node: Start, make: Make) -> None:
    n1 = node("hang")
    made = make(n1.url, timeout_s=60.0)
    within = made.within(0.2)
    with pytest.raises(errors.OutcomeUnknown):
        (Both(made._runner, within) if isinstance(made, Both) else within).vote("happy")


def test_many_votes_are_sent_in_several_requests_and_summed_up(node: Start, make: Make) -> None:
    def rejecting(index: int, applied: int) -> tuple[int, Any]:
        rejected = [{"index": index, "id": None, "reason": "closed", "detail": "no"}]
        return 200, {"applied": applied, "duplicates": 0, "rejected": rejected, "version": applied}

    n1 = node(rejecting(5, 9_999), rejecting(2, 2))
    tallied = make(n1.url).votes(["happy"] * 10_003)
    assert [10_000, 3] == [len(votes) for votes in sent(n1)]
    assert (10_001, [5, 10_002], 2) == (tallied.applied, [each.index for each in tallied.rejected], tallied.version)
    assert 10_003 == len({vote["id"] for votes in sent(n1) for vote in votes})


def test_no_request_is_over_the_limit_of_bytes(node: Start, make: Make) -> None:
    n1 = node((200, COUNTED))
    make(n1.url).votes(["ü" * 120] * 9_000 + ["\t" * 250] * 9_000)
    assert all(len(body) <= 4 * 1024 * 1024 for _, _, body, _ in n1.requests)
    assert 18_000 == sum(len(votes) for votes in sent(n1))


def test_after_a_failure_in_the_middle_the_error_has_the_rest(node: Start, make: Make) -> None:
    n1 = node((200, {**COUNTED, "applied": 10_000}), problem("unauthorized", 401))
    with pytest.raises(errors.Unauthorized) as caught:
        make(n1.url).votes(["happy"] * 10_003)
    assert (10_000, 3) == (caught.value.fields["tallied"].applied, len(caught.value.fields["votes"]))


def test_all_or_nothing_has_one_key_over_all_attempts(node: Start, make: Make) -> None:
    n1, n2 = node("break"), node((200, COUNTED))
    make(n1.url, n2.url).votes_once(["happy", "sad"], poll="mood")
    keys = {headers["Idempotency-Key"] for each in (n1, n2) for *_, headers in each.requests}
    assert 1 == len(keys)
    assert [{"option": "happy", "poll": "mood"}, {"option": "sad", "poll": "mood"}] == sent(n2)[0]


def test_ids_are_given_once() -> None:
    first, second = with_ids(["happy", Vote("sad", id="u2")], poll="mood")
    assert ("mood", "mood", "u2") == (first.poll, second.poll, second.id)
    assert [first, second] == with_ids([first, second])


# ---- sessions -------------------------------------------------------------------------------------------------------


def test_a_batch_in_doubt_is_settled_before_the_next_one(node: Start, make: Make) -> None:
    n1 = node(OPENED, "break")
    session = make(n1.url, timeout_s=2.0).session("p")
    with pytest.raises(errors.OutcomeUnknown):
        session.send(["happy"])
    assert (4, True) == (session.sequence, session.in_doubt)
    before = len(n1.requests)
    n1.answers = [(200, {**COUNTED, "applied": 0, "duplicates": 1}), (200, COUNTED)]
    session.send(["sad"])
    assert (6, False) == (session.sequence, session.in_doubt)
    headers = [headers["X-Quorate-Producer"] for *_, headers in n1.requests[1:]]
    assert {"p;epoch=3;sequence=5"} == set(headers[:before])
    assert "p;epoch=3;sequence=6" == headers[-1]
    assert [[{"option": "happy"}], [{"option": "sad"}]] == sent(n1)[before:]


def test_a_refused_batch_takes_no_number_and_a_taken_session_ends(node: Start, make: Make) -> None:
    n1 = node(OPENED, problem("rejected", 400), problem("expired-id", 409))
    session = make(n1.url).session("p")
    with pytest.raises(errors.Rejected):
        session.send(["nothing"])
    with pytest.raises(TakenOver) as caught:
        session.send(["happy"])
    assert ([Vote("happy")], False) == (caught.value.fields["votes"], caught.value.fields["in_doubt"])
    asked = len(n1.requests)
    with pytest.raises(TakenOver):
        session.send(["happy"])
    assert (4, asked) == (session.sequence, len(n1.requests))


# ---- reads ----------------------------------------------------------------------------------------------------------


def test_reads_are_never_from_before_what_the_client_was_told(node: Start, make: Make) -> None:
    tally = {"id": "mood", "state": "open", "results": {"happy": 1}, "total": 1, "version": 9, "level": "none"}
    n1 = node((200, COUNTED, {"X-Quorate-Version": "7"}), (200, tally, {"X-Quorate-Version": "9"}), (200, tally))
    client = make(n1.url)
    client.vote("happy")
    assert {"happy": 1} == client.results("mood", level="none").results
    client.results("mood")
    client.results("mood", min_version=3)
    queries = [path.partition("?")[2] for _, path, _, _ in n1.requests[1:]]
    assert ["level=none&min_version=7", "level=weak&min_version=9", "level=weak&min_version=3"] == queries
    assert 9 == client.version


def test_a_poll_is_deleted_by_its_creation(node: Start, make: Make) -> None:
    n1 = node((200, {"id": "a/b", "state": "draft", "creation": 5}), "break", problem("deleted", 410))
    assert make(n1.url).delete_poll("a/b") is False
    assert ["/polls/a%2Fb", *["/polls/a%2Fb?creation=5"] * 2] == [path for _, path, _, _ in n1.requests]


def test_polls_are_listed_in_one_answer_or_in_pages_if_they_are_too_many(node: Start, make: Make) -> None:
    polls = [{"id": id, "state": "open", "field_of_tomorrow": 1} for id in "abc"]
    n1 = node(
        (200, {"polls": polls}),
        problem("too-large", 413),
        (200, {"polls": polls[:2], "next": "7.b"}),
        (200, {"polls": polls[2:], "next": None}),
    )
    client = make(n1.url)
    assert [["a", "b", "c"]] * 2 == [[poll.id for poll in client.polls("open")] for _ in range(2)]
    assert "/polls?state=open" == n1.requests[0][1]
    assert "/polls?state=open&cursor=7.b&limit=1000" == n1.requests[3][1]


def test_an_answer_of_something_else_is_said_in_words(node: Start, make: Make) -> None:
    with pytest.raises(errors.QuorateError, match="does not answer as a Quorate node does"):
        make(node((200, b"<html>")).url).leader()


def test_events_are_never_older_than_those_before() -> None:
    followed = Followed(["mood"])

    def event(version: int, more: bytes = b"") -> bytes:
        data = b'{"id":"mood","title":"M","state":"open","results":{},"total":0,"version":%d}' % version
        return more + b"event: results\ndata: " + data + b"\n\n"

    followed.begin()
    assert [7] == [each.version for each in followed.feed(event(7, b"retry: 1000\n\nid: 7\n") + b"event: resu", "n1")]
    followed.begin()
    assert {"Last-Event-ID": "7"} == followed.call().headers
    shown = followed.feed(event(5) + event(7) + event(8) + b'event: deleted\ndata: {"id":"mood","version":9}\n\n', "n2")
    assert [8, 9] == [each.version for each in shown]


def test_events_that_no_node_serves_end_with_the_reason(node: Start) -> None:
    n1 = node(problem("not-ready", 503))
    with Client([n1.url], timeout_s=2.0) as client, client.events() as events, pytest.raises(errors.NotReady):
        next(events)
    assert len(n1.requests) > 1

    async def follow() -> None:
        async with AsyncClient([n1.url], timeout_s=2.0) as made, made.events() as stream:
            with pytest.raises(errors.NotReady):
                await anext(stream)

    asyncio.run(follow())


# ---- threads and tasks ----------------------------------------------------------------------------------------------


def test_threads_share_a_client(node: Start) -> None:
    n1, n2 = node("break"), node((200, COUNTED, {"X-Quorate-Version": "7"}))
    with Client([n1.url, n2.url]) as client, ThreadPoolExecutor(16) as pool:
        tallied = list(pool.map(lambda _: client.vote("happy"), range(100)))
        assert (100, 7) == (sum(each.applied for each in tallied), client.version)
    ids = [vote["id"] for vote in sent(n2)]
    assert 100 == len(set(ids)) == len(ids)


def test_a_session_is_shared_in_turns(node: Start) -> None:
    n1 = node(OPENED, (200, COUNTED))
    with Client([n1.url]) as client, ThreadPoolExecutor(8) as pool:
        session = client.session("p")
        list(pool.map(lambda _: session.send(["happy"]), range(20)))
    sequences = [int(headers["X-Quorate-Producer"].rpartition("=")[2]) for *_, headers in n1.requests[1:]]
    assert list(range(5, 25)) == sequences


def test_a_cancelled_request_leaves_nothing_behind(node: Start) -> None:
    n1 = node("hang")

    async def cancel() -> None:
        threads = threading.active_count()
        async with AsyncClient([n1.url], timeout_s=60) as client:
            tasks = [asyncio.ensure_future(each) for each in _requests(client)]
            while len(n1.requests) < len(tasks):
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
            assert all(
                isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
            )
            assert {asyncio.current_task()} == asyncio.all_tasks()
            n1.answers = [(200, COUNTED)]
            assert 1 == (await client.vote("happy")).applied
        assert threads >= threading.active_count() - len(tasks) - 1  # the prepared node's own
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(cancel())
    n1.release.set()


def _requests(client: AsyncClient) -> list[Awaitable[Any]]:
    return [client.vote("happy"), client.results("mood"), anext(client.events("mood"))]


def test_no_more_requests_than_places_are_on_their_way(node: Start) -> None:
    n1 = node("hang")

    async def crowd() -> None:
        async with AsyncClient([n1.url], timeout_s=60) as client:
            tasks = [asyncio.ensure_future(client.vote("happy")) for _ in range(AT_ONCE)]
            while len(n1.requests) < AT_ONCE:
                await asyncio.sleep(0.01)
            others = (client.within(0.2).vote("happy") for _ in range(6))
            ends = await asyncio.gather(*others, return_exceptions=True)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        assert [errors.Overloaded] * 6 == [type(each) for each in ends]
        assert AT_ONCE == len(n1.requests)

    asyncio.run(crowd())


def test_an_async_client_stays_in_its_loop(node: Start) -> None:
    client = AsyncClient([node((200, COUNTED)).url])
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(client.vote("happy"))
        with pytest.raises(RuntimeError, match="event loop"):
            second.run(client.vote("happy"))
        first.run(client.close())


# ---- whom to ask, and as whom ---------------------------------------------------------------------------------------


def test_the_environment_is_read_as_the_commands_read_it(node: Start, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret-word\n")
    env = {
        "QUORATE_NODES": "n1:8001, https://n2",
        "QUORATE_TOKEN_FILE": str(tmp_path / "token"),
        "QUORATE_CA": "ca.pem",
    }
    found = target.target_of(None, None, None, None, None, env)
    assert ("http://n1:8001", "https://n2") == found.nodes.urls
    assert ("secret-word", "ca.pem") == (found.token, found.ca)
    assert "other" == target.target_of("n3", None, "other", None, None, env).token
    assert 3 == len(target.target_of(None, None, None, None, None, {}).nodes.urls)


@pytest.mark.parametrize(
    "given",
    [{"nodes": "n1", "consul": "agent"}, {"token": "a", "token_file": "b"}, {"nodes": []}, {"nodes": "ftp://x"}],
)
def test_arguments_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(errors.Invalid):
        Client(**given)


def test_the_token_is_sent(node: Start, make: Make) -> None:
    n1 = node((200, COUNTED))
    make(n1.url, token="secret-word").vote("happy")
    assert "Bearer secret-word" == n1.requests[0][3]["Authorization"]


def test_importing_the_package_imports_no_client() -> None:
    late = ("quorate.", "requests", "aiohttp", "msgspec", "typing")
    program = f"import sys, quorate; print(sorted(each for each in sys.modules if each.startswith({late})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "[]" == done.stdout.strip()


def test_all_public_names_are_there() -> None:
    assert all(getattr(quorate, name).__name__ for name in quorate._PUBLIC)
    assert set(quorate._PUBLIC) <= set(dir(quorate))
    with pytest.raises(AttributeError):
        quorate.Nothing  # noqa: B018
