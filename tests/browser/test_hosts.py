"""By which names a browser gets at a node: by no stranger's name and from no stranger's page, but through a proxy that
rewrites Host, and over HTTPS."""

from __future__ import annotations

import contextlib
import http.client
import http.server
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from quorate.security.tls import server_tls
from tests.browser import chromium
from tests.browser.conftest import Pages
from tests.browser.polls import counts, option
from tests.support.certificates import Authority
from tests.support.http_handler import serving
from tests.support.http_node import Node, running

MOOD = {"id": "mood", "title": "mood", "options": ["happy", "sad"], "state": "open"}
LEAD_HERE = "--host-resolver-rules=MAP *.example 127.0.0.1"  # as their owners' name servers would


@pytest.fixture(scope="module")
def led_here(browser: Browser) -> Iterator[Browser]:
    arguments = [*chromium.FLAGS, LEAD_HERE]
    started = browser.browser_type.launch(executable_path=chromium.find(), args=arguments, chromium_sandbox=False)
    yield started
    started.close()


@pytest.fixture
def pages(led_here: Browser) -> Iterator[Pages]:
    made = Pages(led_here)
    yield made
    made.close()
    assert [] == made.errors


@pytest.fixture
def node() -> Iterator[Node]:
    with running(hosts=frozenset({"votes.example"})) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


def proxy_before(node: Node) -> type[http.server.BaseHTTPRequestHandler]:
    """One that asks with the node's own address as Host, as nginx does by default."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._pass_on(None)

        def do_POST(self) -> None:
            self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

        def _pass_on(self, body: bytes | None) -> None:
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            with contextlib.closing(node.connect()) as connection, contextlib.suppress(ConnectionError):
                connection.request(self.command, self.path, body, headers)
                self._answer(connection.getresponse())

        def _answer(self, answer: http.client.HTTPResponse) -> None:
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            while piece := answer.read1(65_536):
                self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            pass

    return Proxy


class EmptyPage(http.server.SimpleHTTPRequestHandler):
    """Of another site, which runs what a test has it run."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_name_that_a_stranger_leads_to_a_node_shows_no_page(node: Node, led_here: Browser) -> None:
    with contextlib.closing(led_here.new_context()) as context:
        page = context.new_page()
        answer = page.goto(f"http://evil.example:{node.port}/")
        assert answer is not None
        assert 421 == answer.status
        assert "http.hosts" in page.content()


def test_a_page_of_another_site_changes_and_reads_nothing(node: Node, led_here: Browser) -> None:
    script = """async (url) => {
        const vote = { method: "POST", mode: "no-cors", body: '{"option": "happy"}' };
        await fetch(url + "/votes", vote);
        try { return (await fetch(url + "/polls/mood/results")).status } catch { return "refused" }
    }"""
    with serving(EmptyPage) as port, contextlib.closing(led_here.new_context()) as context:
        page = context.new_page()
        for name in ("evil.example", "127.0.0.1", "localhost"):  # a page at an address is no page of ours either
            page.goto(f"http://{name}:{port}/")
            assert "refused" == page.evaluate(script, f"http://127.0.0.1:{node.port}")
    counted = node.api.counts.requests
    assert 3 == counted["/votes", 403]
    assert 0 == node.tally()["happy"]


def test_a_page_of_another_site_takes_in_nothing_and_holds_nothing(node: Node, led_here: Browser) -> None:
    """It learned which polls there are, and a script that never ends held an event stream."""

    script = """async (url) => {
        const taken = (tag, name, path) => new Promise((done) => {
            const element = document.createElement(tag);
            element.onload = () => done(true);
            element.onerror = () => done(false);
            element[name] = url + path;
            document.body.append(element);
        });
        return [
            await taken("object", "data", "/polls/mood"), await taken("script", "src", "/livez"),
            await taken("script", "src", "/events"), await taken("img", "src", "/static/mark.svg"),
        ];
    }"""
    with serving(EmptyPage) as port, contextlib.closing(led_here.new_context()) as context:
        page = context.new_page()
        for name in ("evil.example", "localhost"):  # another port of one host is one site to browsers, and not to us
            page.goto(f"http://{name}:{port}/")
            assert [False] * 4 == page.evaluate(script, f"http://localhost:{node.port}")
            assert 0 == len(node.api.events)
        page.set_content(f'<a href="http://localhost:{node.port}/">the votes</a>')
        page.get_by_role("link").click()
        expect(page.locator("#link")).to_have_text("live")


def test_the_page_votes_through_a_proxy_that_rewrites_host(node: Node, pages: Pages) -> None:
    with serving(proxy_before(node)) as port:
        page = pages.open(f"http://votes.example:{port}/")
        expect(page.locator("#link")).to_have_text("live")
        option(page, "mood", "happy").get_by_role("button").click()
        expect(page.locator("#toast")).to_have_text("counted: happy")
        expect(counts(page, "mood")).to_have_text(["1", "0"])
        pages.close()
        node.call(node.api.events.close)  # what the proxy still holds ends


def test_the_page_votes_over_https(browser: Browser, pages: Pages, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with running(tls=partial(server_tls, *authority.issue()), trusts=authority.client_context()) as node:
        node.ask("POST", "/polls", MOOD)
        page = pages.open(f"https://localhost:{node.port}/", ignore_https_errors=True)
        expect(page.locator("#link")).to_have_text("live")
        option(page, "mood", "sad").get_by_role("button").click()
        expect(page.locator("#toast")).to_have_text("counted: sad")
        pages.close()
