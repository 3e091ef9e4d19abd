"""A URL that leads somewhere else: each network says so in words and ends, and hammers nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.network import Network
from quorate.ingest.social.networks.bluesky.network import Bluesky
from quorate.ingest.social.networks.mastodon.network import MastodonNetwork
from quorate.ingest.social.networks.nostr.network import Nostr
from quorate.ingest.social.networks.twitter.keys import TwitterKeys
from quorate.ingest.social.networks.twitter.network import Twitter
from quorate.ingest.social.networks.wikimedia.network import WikimediaNetwork
from quorate.ingest.social.networks.x.access import XKeys
from quorate.ingest.social.networks.x.network import X
from quorate.ingest.social.reading.lines import LineCutter, line_batches
from quorate.ingest.social.reading.sse import event_batches
from quorate.web.long_read import LongReadFailed
from quorate.web.sse import SseReader
from tests.support.raw_server import raw_server
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for
from tests.unit.web.sites import sends

Make = Callable[[str], Network]  # of a place, as 127.0.0.1:8000

NETWORKS: dict[str, Make] = {
    "bluesky": lambda at: Bluesky([f"ws://{at}"]),
    "nostr": lambda at: Nostr([f"ws://{at}"]),
    "mastodon": lambda at: MastodonNetwork(f"http://{at}", "secret"),
    "wikimedia": lambda at: WikimediaNetwork(f"http://{at}/v2/stream/recentchange"),
    "twitter": lambda at: Twitter(TwitterKeys("a", "b", "c", "d"), f"http://{at}/1.1/statuses/filter.json"),
    "x": lambda at: X(XKeys(bearer="secret"), f"http://{at}"),
}
OF_WEB_SOCKETS = ("bluesky", "nostr")
OF_TOKENS = ("mastodon", "x")
PAGE = b"<!doctype html><title>Hello</title>"


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "Connection: close", "\r\n"]).encode() + body


def said_at_the_end(make: Make, sent: bytes) -> str:
    inlet = SocialInlet("happy")
    with (
        raw_server(sends(sent)) as server,
        pytest.raises(ConfigError) as wrong,
        running(make(f"127.0.0.1:{server.port}"), inlet) as run,
    ):
        wait_for("it ends", lambda: run.is_over, seen=lambda: str(inlet.disconnects))
    return str(wrong.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_redirect_is_told_and_not_followed(name: str) -> None:
    sent = answer("301 Moved Permanently", location="https://elsewhere.example/api?token=secret")
    said = said_at_the_end(NETWORKS[name], sent)
    assert "redirects to https://elsewhere.example/api; give that URL" in said
    assert "secret" not in said


@pytest.mark.parametrize("name", OF_WEB_SOCKETS)
def test_a_redirect_to_another_web_socket_is_not_followed_either(name: str) -> None:
    with raw_server(sends(answer("404 Not Found"))) as other:
        said = said_at_the_end(NETWORKS[name], answer("302 Found", Location=f"ws://127.0.0.1:{other.port}/x"))
        assert f"redirects to ws://127.0.0.1:{other.port}/x" in said
        assert [] == other.requests


@pytest.mark.parametrize("name", OF_WEB_SOCKETS)
def test_a_redirect_to_what_is_no_url_is_none_of_our_faults(name: str) -> None:
    assert "it answers 302 and redirects" in said_at_the_end(NETWORKS[name], answer("302 Found", Location="ws://[x"))


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "twitter"])
def test_a_page_is_told(name: str) -> None:
    said = said_at_the_end(NETWORKS[name], answer("200 OK", PAGE, Content_Type="text/html"))
    words = {"bluesky": "no Jetstream", "nostr": "is it a relay", "x": "URL that of X's API"}
    assert words.get(name, "answers with text/html") in said


@pytest.mark.parametrize("name", NETWORKS)
def test_an_answer_that_breaks_off_among_its_headers_is_none(name: str) -> None:
    inlet = SocialInlet("happy")
    with (
        raw_server(sends(b"HTTP/1.1 200 OK\r\nDate: Fri, 27 Nov 2026 08:00:00 GMT\r\nContent-")) as server,
        running(NETWORKS[name](f"127.0.0.1:{server.port}"), inlet),
    ):
        wait_for("some tries", lambda: len(inlet.pauses) >= 3)
    assert [] == inlet.connects
    assert {"hung_up", "refused"} >= set(inlet.reasons)


@pytest.mark.parametrize("name", ["lines", "events"])
def test_a_line_that_only_grows_is_a_stall_but_not_while_we_do_not_read(name: str) -> None:
    now_s = 0.0
    sent, grown = b": alive\n", 0

    class Read:
        def pieces(self) -> Iterator[bytes]:
            nonlocal now_s, grown
            for _ in range(3):
                yield sent + b"a"
            while True:
                now_s, grown = now_s + 1, grown + 1
                yield b"a"

    read: Any = Read()
    if name == "events":
        reading: Any = event_batches(read, SseReader(), line_s=10, clock=lambda: now_s)
    else:
        cutter = LineCutter()
        reading = line_batches(read, cutter.cut, lambda: cutter.ended, line_s=10, clock=lambda: now_s)
    for _ in range(3):
        next(reading)
        now_s += 1_000
    with pytest.raises(LongReadFailed, match="no line ended"):
        list(reading)
    assert 11 == grown


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in OF_TOKENS])
@pytest.mark.parametrize("at", ["a..b", "a" * 70 + ".example"])
def test_a_name_that_can_be_none_is_told_and_no_bug(name: str, at: str) -> None:
    inlet = SocialInlet("happy")
    with running(NETWORKS[name](at), inlet):
        wait_for("it is told", lambda: inlet.disconnects)
    assert "it is no URL of" in inlet.disconnects[0][1]


@pytest.mark.parametrize("name", OF_TOKENS)
def test_a_token_goes_nowhere_in_the_clear(name: str) -> None:
    for at in ("social.example", "10.0.0.1:3000"):
        with pytest.raises(ConfigError, match="in the clear; give its https://"):
            NETWORKS[name](at)


@pytest.mark.parametrize("name", OF_WEB_SOCKETS)
def test_a_limit_is_waited_for_however_its_header_is_written(name: str) -> None:
    inlet = SocialInlet()
    with (
        raw_server(sends(answer("429 Too Many Requests", retry_after="1234"))) as server,
        running(NETWORKS[name](f"127.0.0.1:{server.port}"), inlet),
    ):
        wait_for("it is told", lambda: inlet.disconnects)
        wait_for("the pause", lambda: max(inlet.pauses, default=0) >= 1234)
    assert "rate_limited" == inlet.disconnects[0][0]


@pytest.mark.parametrize("body", [PAGE, json.dumps({"errors": [{"message": "Sorry"}]}).encode(), b"\r\n"])
@pytest.mark.parametrize("name", ["twitter", "x"])
def test_what_answers_at_once_with_no_post_is_asked_less_and_less_often(name: str, body: bytes) -> None:
    def script(sock: object) -> None:
        is_stream = "/statuses/filter" in server.requests[-1] or "/search/stream?" in server.requests[-1]
        sends(answer("200 OK", body if is_stream else b"{}"))(sock)  # type: ignore[arg-type]

    inlet = SocialInlet("happy")
    with raw_server(script) as server, running(NETWORKS[name](f"127.0.0.1:{server.port}"), inlet):
        wait_for("some tries", lambda: len(inlet.disconnects) >= 6, seen=lambda: str(inlet.disconnects))
        pauses = [pause_s for pause_s in inlet.pauses if pause_s < 70][:5]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= (30 if body == PAGE else 1)


@pytest.mark.parametrize("name", ["twitter", "x"])
def test_a_last_post_without_a_line_break_counts(name: str) -> None:
    post = {"id": "1", "id_str": "1", "text": "happy"}
    lines = json.dumps(post if name == "twitter" else {"data": post}).encode()

    def script(sock: object) -> None:
        is_stream = "/statuses/filter" in server.requests[-1] or "/search/stream?" in server.requests[-1]
        sends(answer("200 OK", lines if is_stream else b"{}"))(sock)  # type: ignore[arg-type]

    inlet = SocialInlet("happy")
    with raw_server(script) as server, running(NETWORKS[name](f"127.0.0.1:{server.port}"), inlet):
        wait_for("the post", lambda: inlet.posts, seen=lambda: str(inlet.disconnects))
    assert "nonsense" not in inlet.reasons


@pytest.mark.parametrize(
    "body", ["null", "[]", "5", '"x"', "{}", '{"access_token":null}', '{"access_token":["a"]}', "[" * 100_000]
)
def test_an_answer_without_a_token_is_told(body: str) -> None:
    def make(at: str) -> Network:
        return X(XKeys(key="key", secret="secret"), f"http://{at}")

    assert "answers no token" in said_at_the_end(make, answer("200 OK", body.encode()))
