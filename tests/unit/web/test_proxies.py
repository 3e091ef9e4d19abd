"""The one rule by which a proxy is chosen. It is that of Go's programs, so of Consul's and NSQ's own commands."""

from __future__ import annotations

import pytest

from quorate.errors import ConfigError
from quorate.web.proxies import proxy_for

PROXY = "http://proxy.example:3128"
BOTH = {"HTTP_PROXY": PROXY, "HTTPS_PROXY": PROXY}


@pytest.mark.parametrize(
    ("url", "env", "through"),
    [
        ("http://n1.example:8001/votes", {}, None),
        ("http://n1.example:port", BOTH, None),
        ("http://n1.example:8001/votes", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://n1.example:8001/votes", {"http_proxy": PROXY, "HTTP_PROXY": "http://other:1"}, PROXY),
        ("http://n1.example:8001/votes", {"HTTP_PROXY": "proxy.example:3128"}, PROXY),
        ("http://n1.example:8001/votes", {"HTTP_PROXY": ""}, None),
        ("http://n1.example:8001/votes", {"HTTPS_PROXY": PROXY}, None),
        ("http://n1.example:8001/votes", {"ALL_PROXY": PROXY}, None),
        ("http://n1.example:8001/votes", {"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, None),
        ("http://n1.example:8001/votes", {"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, PROXY),
        ("https://n1.example/votes", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://n1.example/votes", {"HTTP_PROXY": PROXY}, None),
        ("http://10.0.0.5:8001", BOTH, PROXY),
        ("http://[fd00::5]:8001", BOTH, PROXY),
    ],
)
def test_the_proxy_of_a_url(url: str, env: dict[str, str], through: str | None) -> None:
    assert through == url_of_proxy(url, env)


def url_of_proxy(url: str, env: dict[str, str]) -> str | None:
    proxy = proxy_for(url, env)
    return None if proxy is None else proxy.url


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.8.9.1", "127.1", "2130706433", "0.0.0.0", "0", "[::]"),
        *("[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"),
        *(
            "localhost",
            "LocalHost.",
            "n1.localhost",
            "localhost.localdomain",
            "localhost6",
            "ip6-localhost",
            "ip6-loopback",
        ),
    ],
)
def test_loopback_is_asked_directly(scheme: str, host: str) -> None:
    assert None is proxy_for(f"{scheme}://{host}:8001", BOTH)


@pytest.mark.parametrize(
    ("no_proxy", "direct", "through_it"),
    [
        ("*", ["n1.example", "10.0.0.5"], []),
        ("example", ["example", "n1.example", "N1.EXAMPLE."], ["n1.example.org", "anexample"]),
        (".example", ["n1.example"], ["example"]),
        ("*.example", ["n1.example"], ["example"]),
        ("n1.example:8001", ["n1.example"], ["n2.example"]),
        ("n1.example:8002", [], ["n1.example"]),
        ("10.0.0.0/8 , fd00::/8", ["10.0.0.5", "[fd00::5]"], ["11.0.0.5", "[fe00::5]", "n10.0.0.5"]),
        ("10.0.0.5,[fd00::5]:8001", ["10.0.0.5", "[fd00::5]"], ["10.0.0.50", "[fd00::50]"]),
        ("fd00::5", ["[fd00::5]"], ["[fd00::6]"]),
        ("10.0.0.0/8", ["[::ffff:10.0.0.5]", "10.5"], ["[::ffff:11.0.0.5]"]),
        ("n1.example. .other.", ["n1.example", "n2.other"], ["n3.example", "other"]),
        (",, ,", [], ["n1.example"]),
    ],
)
def test_what_no_proxy_names_is_asked_directly(no_proxy: str, direct: list[str], through_it: list[str]) -> None:
    env = {**BOTH, "NO_PROXY": no_proxy}
    assert dict.fromkeys(direct) == {host: url_of_proxy(f"http://{host}:8001", env) for host in direct}
    assert dict.fromkeys(through_it, PROXY) == {h: url_of_proxy(f"http://{h}:8001", env) for h in through_it}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("socks5://proxy:1080", "HTTP_PROXY is socks5://proxy:1080, and only proxies by http:// can be used"),
        ("https://me:secret@proxy:1", "HTTP_PROXY is https://…@proxy:1, and only"),
        ("http://proxy:port", "HTTP_PROXY is no proxy's URL; give one as http://proxy:3128"),
        ("http://", "HTTP_PROXY is no proxy's URL"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_by_its_variable(value: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        proxy_for("http://n1.example:8001", {"HTTP_PROXY": value})
    assert said in refused.value.detail
    assert "to ask n1.example without a proxy, add it to NO_PROXY" in refused.value.detail
    assert "secret" not in refused.value.detail
    assert None is proxy_for("http://127.0.0.1:8001", {"HTTP_PROXY": value})


def test_a_proxy_is_shown_without_its_password() -> None:
    env = {"http_proxy": "http://me:secret@proxy:3128"}
    assert "the proxy http://…@proxy:3128 (http_proxy)" == str(proxy_for("http://n1.example", env))
