"""What a stream shows of itself: status, metrics, health, and lines for a terminal."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quorate.errors import ConfigError
from quorate.ingest.social import listen, stream_metrics
from quorate.ingest.social.counts import OPTIONS_MAX, PARTS_MAX, REASONS_MAX, StreamCounts
from quorate.ingest.social.listen import StreamListener, listen_address
from quorate.ingest.social.options.live_polls import LivePolls
from quorate.ingest.social.options.polls_reader import PollsRead
from quorate.ingest.social.pipeline import Pipeline
from quorate.ingest.social.places import Places, PlacesFile
from quorate.ingest.social.post import Post
from quorate.ingest.social.progress import StreamProgress
from quorate.ingest.social.shard import Shard
from quorate.ingest.social.stream_status import QUIET_S, StreamStatus
from quorate.vote import Rejection, Tallied, Vote
from tests.support.waiting import wait_for
from tests.unit.ingest.social.test_pipeline import MemoryOutlet, OnePoll, Posts

NOW_S = 1_800_000_000.0


class Metered(Posts):
    def figures(self) -> dict[str, float]:
        return {"budget_posts_left": 41}


class Shown:
    """A stream that is made and does not run, with a clock that stands."""

    def __init__(self, folder: Path, network: Posts | None = None, polls: LivePolls | None = None) -> None:
        self.now_s, outlet = NOW_S, MemoryOutlet()
        self.counts, self.places = StreamCounts(lambda: self.now_s), Places(PlacesFile("test", folder / "places.json"))
        self.network, polls = network or Posts(0), polls or LivePolls(OnePoll())
        self.pipeline = Pipeline(
            self.network,  # type: ignore[arg-type]  # its promise is a text
            polls,
            outlet,
            self.places,
            self.counts,
            lambda: False,
        )
        self.pipeline.ticked_at_s = NOW_S
        self.status = StreamStatus(
            self.network,  # type: ignore[arg-type]
            polls,
            self.places,
            self.counts,
            self.pipeline,
            outlet,
            Shard(),
            clock=lambda: self.now_s,
        )

    def busy(self) -> None:
        """Something of everything has happened."""
        posts = [Post(str(n), "my secret", "ana", created_ms=int(NOW_S * 1000) - 5_000 + n) for n in range(10)]
        votes = [Vote("happy", f"id{n}", "mood") for n in range(3)] + [Vote("sad", "id", "mood")]
        self.counts.connected("")
        self.counts.disconnected("stalled", "nothing came within 30 s", "")
        self.counts.connected("")
        self.counts.lost("the position is older than 36 hours", "")
        self.counts.matched(posts, votes, 4)
        self.counts.answered(4, Tallied(2, 1, [Rejection(0, "id0", "closed", "")], 7))
        self.counts.confirmed(posts)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path, Metered(0))


@pytest.fixture
def port(shown: Shown) -> Iterator[int]:
    with contextlib.closing(StreamListener("127.0.0.1:0", shown.status, ["streams.example"])) as listener:
        yield listener.port


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()


def is_answered(port: int) -> bool:
    with contextlib.suppress(http.client.RemoteDisconnected):
        return ask(port, "/healthz")[0] == 200
    return False


def test_status_says_all_of_it(shown: Shown, port: int) -> None:
    shown.busy()
    shown.places.confirmed({"": "7"})
    shown.places.write()
    shown.now_s += 2
    status, text = ask(port, "/status")
    report = json.loads(text)
    assert 200 == status
    assert "exact" == report["promise"]
    assert "everything" == report["keeps"]
    assert report["connected"]
    assert {"stalled": 1} == report["disconnects"]
    assert 1 == report["losses"]
    assert "the position is older than 36 hours" == report["lost"][0]["why"]
    assert 7.0 == pytest.approx(report["lag_s"], abs=0.1)
    assert {"read": 10, "matched": 4, "confirmed": 10, "under_way": 0, "passed_over": {}} == report["posts"]
    assert {"closed": 1} == report["votes"]["rejected"]
    assert [("happy", 3), ("sad", 1)] == [(each["option"], each["votes"]) for each in report["options"]]
    assert 2 == report["polls"]["options"]
    assert report["positions"]["written_at"] is not None
    assert {"budget_posts_left": 41} == report["figures"]


def test_nothing_that_is_shown_has_a_text_or_a_name_of_a_person(shown: Shown, port: int) -> None:
    shown.busy()
    everything = "".join(ask(port, path)[1] for path in ("/status", "/metrics", "/healthz"))
    everything += "".join(StreamProgress(shown.status).lines(0.0))
    assert "secret" not in everything
    assert "ana" not in everything


def test_prometheus_reads_the_metrics(shown: Shown, port: int) -> None:
    shown.busy()
    status, text = ask(port, "/metrics")
    assert 200 == status
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert {name for name in families if not name.startswith("quorate_stream_")} == set()
    assert 10 == samples["quorate_stream_posts_confirmed_total",]
    assert 3 == samples["quorate_stream_option_votes_total", "happy", "mood"]
    assert 1 == samples["quorate_stream_disconnects_total", "stalled"]
    assert 1 == samples["quorate_stream_votes_rejected_total", "closed"]
    assert 1 == samples["quorate_stream_connected",]
    assert 41 == samples["quorate_stream_budget_posts_left",]
    assert 5.0 == pytest.approx(samples["quorate_stream_lag_seconds",], abs=0.1)


def test_labels_are_bounded_and_no_vote_is_missing_in_them(shown: Shown) -> None:
    shown.counts.matched([], [Vote(f"option {n}", "id", "mood") for n in range(500)], 0)
    for number in range(500):
        shown.counts.disconnected(f"reason {number}", "", "")
    labels = [
        sample
        for family in text_string_to_metric_families(stream_metrics.as_text(shown.status).decode())
        for sample in family.samples
        if sample.labels
    ]
    by_option = [sample.value for sample in labels if "option" in sample.labels]
    assert (201, 500) == (len(by_option), sum(by_option))
    by_reason = [sample.value for sample in labels if "reason" in sample.labels]
    assert (REASONS_MAX + 1, 500) == (len(by_reason), sum(by_reason))


def test_what_is_kept_by_name_is_bounded() -> None:
    counts = StreamCounts()
    for number in range(2 * PARTS_MAX):
        counts.connected(f"part {number}")
    counts.matched([], [Vote(str(number), "id", "mood") for number in range(OPTIONS_MAX + 10)], 0)
    assert PARTS_MAX == len(counts.numbers.connected)
    assert OPTIONS_MAX + 1 == len(counts.numbers.by_option)
    assert OPTIONS_MAX + 10 == sum(counts.numbers.by_option.values())


def test_it_is_healthy_until_something_lasts(shown: Shown, port: int) -> None:
    shown.pipeline.connected_at_s = NOW_S
    assert (200, "ok\n") == ask(port, "/healthz")
    shown.counts.disconnected("hung_up", "it hung up\nok", "")
    shown.pipeline.sender.trouble, shown.pipeline.sender.trouble_since_s = "no leader", NOW_S
    assert (200, "ok\n") == ask(port, "/healthz")
    shown.now_s += QUIET_S + 1
    status, text = ask(port, "/healthz")
    assert 503 == status
    assert r"no connection to posts since 61 s (it hung up\nok)" in text
    assert "no votes are taken since 61 s: no leader" in text
    assert "the main thread hangs since 61 s" in text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:99", "[::1]", "10.1.2.3", "streams.example", "Streams.example:9"]
)
def test_our_names_are_answered(port: int, host: str) -> None:
    assert 200 == ask(port, "/status", Host=host)[0]


def test_a_name_that_a_stranger_leads_here_is_not(port: int) -> None:
    assert 421 == ask(port, "/status", Host="attacker.example")[0]
    assert 400 == ask(port, "/status", Host="a b")[0]


def test_other_addresses_and_methods_are_refused(port: int) -> None:
    assert 404 == ask(port, "/polls")[0]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert b" 501 " in connection.recv(100)


def test_who_says_nothing_is_let_go_and_too_many_are_not_taken(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen._Requests, "timeout", 0.2)
    monkeypatch.setattr(listen, "CONNECTIONS_MAX", 2)
    with contextlib.closing(StreamListener("127.0.0.1:0", shown.status)) as listener, contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=10)) for _ in range(5)
        ]
        assert [b""] * 5 == [connection.recv(1) for connection in silent]
        wait_for("their places are free", lambda: is_answered(listener.port))


def test_who_sends_byte_after_byte_is_let_go_too(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "IN_ALL_S", 0.3)
    with (
        contextlib.closing(StreamListener("127.0.0.1:0", shown.status)) as listener,
        socket.create_connection(("127.0.0.1", listener.port), timeout=0.05) as connection,
    ):

        def is_let_go() -> bool:
            with contextlib.suppress(TimeoutError):
                connection.sendall(b"G")
                return not connection.recv(1)
            return False

        with contextlib.suppress(ConnectionError):
            wait_for("the connection ends", is_let_go)


@pytest.mark.parametrize(
    ("text", "address"),
    [("9100", ("127.0.0.1", 9100)), (":9100", ("127.0.0.1", 9100)), ("[::1]:1", ("::1", 1)), ("a.b:1", ("a.b", 1))],
)
def test_a_port_alone_is_of_this_host_alone(text: str, address: tuple[str, int]) -> None:
    assert address == listen_address(text)


def test_an_address_that_cannot_be_had_is_told_in_words(shown: Shown, port: int) -> None:
    with pytest.raises(ConfigError, match=r"in use; correct stream\.listen"):
        StreamListener(f"127.0.0.1:{port}", shown.status)
    with pytest.raises(ConfigError, match=r"stream.listen: .* is not host:port"):
        StreamListener("nonsense", shown.status)


def test_the_terminal_shows_speed_and_trouble(shown: Shown) -> None:
    progress = StreamProgress(shown.status)
    assert "posts: not connected, 0 posts/s, 0 votes/s, lag not known" == progress.lines(100.0)[0]
    shown.busy()
    shown.pipeline.sender.trouble = "no leader"
    lines = progress.lines(102.0)
    assert "posts: connected, 5 posts/s, 2 votes/s, 5.0 s behind" == lines[0]
    assert "10 posts, 4 votes to memory" == lines[1]
    assert "happy 3, sad 1" in lines
    assert "disconnects: stalled 1" in lines
    assert "rejected: closed 1" in lines
    assert "budget posts left 41" in lines
    assert "no votes are taken: no leader" == lines[-1]


class NoPoll:
    def read(self) -> PollsRead:
        return PollsRead([])


def test_without_options_nobody_need_be_connected(tmp_path: Path) -> None:
    """Mastodon, Twitter and X are asked for options, so there is nothing to ask them for."""
    shown = Shown(tmp_path, polls=LivePolls(NoPoll()))
    shown.now_s += 10 * QUIET_S
    shown.pipeline.ticked_at_s = shown.now_s
    assert [] == shown.status.troubles()


class Tired(Posts):
    rests = "the budget of the day is used up"


def test_a_network_that_waits_on_purpose_is_healthy_and_says_why(tmp_path: Path) -> None:
    """It is alive, and does what it was told: to start it again would change nothing."""
    shown = Shown(tmp_path, Tired(0))
    shown.counts.disconnected("budget", "", "")
    shown.now_s += 10 * QUIET_S
    shown.pipeline.ticked_at_s = shown.now_s
    with contextlib.closing(StreamListener("127.0.0.1:0", shown.status)) as listener:
        healthy = (200, "ok\nit waits on purpose: the budget of the day is used up\n")
        assert healthy == ask(listener.port, "/healthz")
        report = json.loads(ask(listener.port, "/status")[1])
        assert (False, Tired.rests) == (report["connected"], report["rests"])
        assert "quorate_stream_resting 1.0" in ask(listener.port, "/metrics")[1]
        assert Tired.rests in StreamProgress(shown.status).lines(0.0)[0]
        shown.pipeline.sender.trouble, shown.pipeline.sender.trouble_since_s = "no leader", NOW_S
        assert (503, "no votes are taken since 600 s: no leader\n") == ask(listener.port, "/healthz")
        shown.pipeline.sender.trouble = ""
        shown.counts.connected("")
        assert (200, "ok\n") == ask(listener.port, "/healthz")


def test_with_the_first_options_the_time_without_a_connection_begins(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.pipeline.connected_at_s = NOW_S
    shown.now_s += QUIET_S + 1
    assert ["no connection to posts since 61 s"] == shown.status.troubles()[:1]


@pytest.mark.parametrize("created_ms", [10**400, -(10**400), int(NOW_S * 1000) * 10])
def test_a_post_that_says_it_is_from_the_future_hides_no_lag(shown: Shown, created_ms: int) -> None:
    shown.counts.confirmed([Post("1", "text", created_ms=1_700_000_000_000), Post("2", "text", created_ms=created_ms)])
    shown.now_s += 1_000
    assert (1_000 if created_ms > 0 else NOW_S + 1_000 - 1_700_000_000) == shown.status.report()["lag_s"]


def test_a_request_for_which_there_is_no_thread_keeps_no_place(
    shown: Shown, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(timer: threading.Timer) -> None:
        raise OSError("no thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Timer, "start", none)
        patched.setattr(threading, "excepthook", lambda told: None)
        for _ in range(2 * listen.CONNECTIONS_MAX):
            with pytest.raises((OSError, http.client.HTTPException)):
                ask(port, "/healthz")
    assert 200 == ask(port, "/metrics")[0]
