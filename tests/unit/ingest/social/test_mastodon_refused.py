"""What Mastodon refuses, limits and breaks off."""

from __future__ import annotations

import random
import re
import socket
import threading

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.networks.mastodon.network import MastodonNetwork
from tests.doubles.social.mastodon import MastodonDouble
from tests.doubles.social.sse_answer import Fault
from tests.support.raw_server import raw_server, wait_for_end
from tests.support.social_inlet import RunningNetwork, SocialInlet, running
from tests.support.waiting import let_pass, wait_for
from tests.unit.ingest.social.mastodon_network import (
    network,
    uris,
    wait_for_connects,
    wait_for_posts,
    wait_for_posts_of_one,
)

OFF = {"local": "disabled", "remote": "disabled"}


# ---- refusals ------------------------------------------------------------------------------------------------------


def refusal_of(double: MastodonDouble, token: str = "secret", **others: object) -> str:
    run = RunningNetwork(MastodonNetwork(double.base, token, **others), SocialInlet("happy"), {})  # type: ignore[arg-type]
    wait_for("it ends", lambda: run.is_over)
    assert isinstance(run.error, ConfigError)
    assert "secret" not in str(run.error)
    return str(run.error)


def test_a_token_that_is_not_taken_is_said_with_what_is_needed() -> None:
    with MastodonDouble() as double:
        assert "does not take SP_MASTODON_TOKEN" in refusal_of(double, "wrong")
        double.scopes = ["write"]
        assert "required scopes" in refusal_of(double)


def test_a_feed_that_is_switched_off_is_said_though_it_is_no_error_to_the_instance() -> None:
    with MastodonDouble(access={"hashtag_feeds": OFF}) as double:
        assert "has switched this feed off (configuration.timelines_access.hashtag_feeds)" in refusal_of(double)
        inlet = SocialInlet("happy")
        with running(network(double, feed="public"), inlet):
            wait_for_connects(inlet, 1)
    with MastodonDouble(access={"live_feeds": {"local": "disabled", "remote": "public"}}) as double:
        assert "has switched this feed off" in refusal_of(double, feed="local")
        inlet = SocialInlet("happy")
        with running(network(double, feed="public"), inlet):
            wait_for_posts_of_both(double, inlet)
        assert "switched off local posts" in inlet.losses[0]


def wait_for_posts_of_both(double: MastodonDouble, inlet: SocialInlet) -> None:
    wait_for_connects(inlet, 1)
    double.post("local")
    wait_for_posts(inlet, double.post("remote", acct="bo@there.example"))
    assert ["remote"] == inlet.texts


def test_who_may_view_feeds_that_are_switched_off_reads_them() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble(access={"hashtag_feeds": OFF}, permissions=0x100000) as double, running(network(double), inlet):
        wait_for_connects(inlet, 1)
        wait_for_posts(inlet, double.post("seen", tags=("happy",)))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("status", status=404, body="Not found"), "404 .*is it an instance of Mastodon"),
        (Fault("status", status=422, body="needs a user"), "does not show this feed .*needs a user"),
        (Fault("status", status=302, headers={"Location": "https://other.example/"}), "redirects to https://other"),
        (Fault("status", status=200, headers={"Content-Type": "text/html"}), "answers with text/html"),
    ],
)
def test_a_wrong_url_is_said_in_words(fault: Fault, words: str) -> None:
    with MastodonDouble() as double:
        double.faults = [fault]
        assert re.search(words, refusal_of(double))


def test_it_waits_for_its_limits() -> None:
    """300 questions in five minutes, of which it leaves some to others with the same account."""
    inlet = SocialInlet("happy")
    with MastodonDouble(clock=inlet.clock, limit=20) as double:
        with running(network(double), inlet):
            wait_for_posts_of_one(double, inlet)
        missed = [double.post(f"missed {number}", tags=("happy",)) for number in range(40 * 25)]
        again = SocialInlet("happy")
        double.clock = again.clock
        with running(network(double), again, inlet.positions):
            wait_for_posts(again, *missed)
    assert ([], True) == (double.violations, max(again.pauses) > 200)


@pytest.mark.parametrize(
    ("status", "headers", "least_s", "reason"),
    [
        (429, {"Retry-After": "100"}, 100, "rate_limited"),
        (429, {}, 30, "rate_limited"),
        (503, {"Retry-After": "12"}, 12, "http_503"),
        (500, {}, 1, "http_500"),
    ],
)
def test_a_stream_waits_as_long_as_it_is_asked_to(
    status: int, headers: dict[str, str], least_s: float, reason: str
) -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble(clock=inlet.clock) as double:
        double.faults = [Fault("status", status=status, headers=headers)]
        with running(network(double), inlet):
            wait_for_connects(inlet, 1)
    assert ([reason], [], True) == (inlet.reasons, double.violations, least_s <= max(inlet.pauses) <= 1.1 * least_s)


def test_the_streams_may_be_at_another_place() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble() as streaming, MastodonDouble(streaming=streaming.base.replace("http", "ws")) as double:
        with running(network(double), inlet):
            wait_for_connects(inlet, 1)
        assert ({"#happy": 1}, {}) == (dict(streaming.streams), dict(double.streams))


# ---- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["hang_up", "reset", "stall", "end"])
def test_a_connection_that_ends_costs_nothing(kind: str) -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble(thump_s=0.2) as double:
        double.fail(kind=kind, after_bytes=5_003)
        with running(network(double, silence_s=1 if kind == "stall" else 30), inlet):
            wait_for_connects(inlet, 1)
            posts = [double.post(f"{number}", tags=("happy",)) for number in range(30)]
            wait_for_posts(inlet, *posts)
    assert ({"stalled" if kind == "stall" else "hung_up"}, []) == (set(inlet.reasons), inlet.losses)


def test_heartbeats_are_signs_of_life() -> None:
    inlet = SocialInlet("happy")
    with MastodonDouble(thump_s=0.1) as double, running(network(double, silence_s=4), inlet):
        wait_for_connects(inlet, 1)
        let_pass(4.5, because="this is longer than the silence that is allowed")
        wait_for_posts(inlet, double.post("one", tags=("happy",)))
    assert [] == inlet.reasons


def test_a_stop_ends_all_its_threads_at_once(caplog: pytest.LogCaptureFixture) -> None:
    for faults in ([Fault("silent")], [Fault("stall", 1)], []):
        with MastodonDouble() as double:
            double.faults = list(faults)
            inlet = SocialInlet("happy", "sad")
            with running(network(double), inlet):
                wait_for("it has asked", lambda: double.asked)
                let_pass(0.1, because="it is to wait for an answer, or for more of it")
        wait_for("its threads end", lambda: not [t for t in threading.enumerate() if t.name.startswith("mastodon")])
    assert [] == caplog.messages


def test_a_stop_while_it_asks_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    def never_answers(sock: socket.socket) -> None:
        wait_for_end(sock)

    with raw_server(never_answers) as server:
        inlet = SocialInlet("happy")
        with running(MastodonNetwork(f"http://127.0.0.1:{server.port}", "secret"), inlet):
            wait_for("it asks", lambda: server.requests)
    assert ([], []) == (caplog.messages, inlet.reasons)


def test_a_hundred_hang_ups_at_random_lose_nothing() -> None:
    """Posts come all the time, live and in gaps, and some feeds hang up while a gap is being filled."""
    random_ = random.Random(23)
    cuts = iter([random_.randint(0, 3_000) for _ in range(100)])
    inlet = SocialInlet("happy", "sad", "other")
    with MastodonDouble(clock=inlet.clock, cut=lambda: next(cuts, None)) as double, running(network(double), inlet):
        wait_for_connects(inlet, 3)
        for part in range(1_000):
            double.post_many(10, part)
            wait_for_some(inlet, 5 * part)
            if len(inlet.reasons) == 100:
                break
        wait_for_posts(inlet, *double.statuses)
    assert ([], [], 100) == (inlet.losses, double.violations, len(inlet.reasons))


def wait_for_some(inlet: SocialInlet, posts: int) -> None:
    wait_for("they are under way", lambda: len(uris(inlet)) >= posts)
