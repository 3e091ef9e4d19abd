"""A client of the Consul agent, and what goes wrong when it is asked.

Every call carries the token and ends by the deadline of the settings (consul.timeout_ms).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from consul import std
from consul.exceptions import ConsulException

from quorate.config import Consul
from quorate.errors import ConfigError
from quorate.web.session import WebSession
from quorate.web.words import PLAIN, by_way_of, why_no_connection

# The errors of a call to an agent. py-consul asserts some arguments, and lets the errors of requests through.
TROUBLE = (ConsulException, requests.RequestException, AssertionError, OSError)

# What py-consul raises of an answer that is no agent's: no JSON, JSON that is nested without end, or of other types.
NONSENSE = (ValueError, RecursionError, TypeError, AttributeError, LookupError)

RETRY_S_MIN, RETRY_S_MAX = 0.25, 2.0  # the pause before the agent is asked again grows from one to the other


def connect(settings: Consul) -> Any:
    """A client of the agent. Raises `ConfigError` for an address that is none, or a proxy that cannot be used."""
    text = settings.address if "://" in settings.address else f"http://{settings.address}"
    try:
        url = urlsplit(text)
        port = url.port or (8501 if url.scheme == "https" else 8500)
    except ValueError:
        raise ConfigError(f"consul.address {settings.shown_address!r}: it is no address") from None
    if url.scheme not in ("http", "https") or not url.hostname or url.path.strip("/"):
        raise ConfigError(
            f"consul.address is {settings.shown_address!r}; give host:port, or a URL as https://consul:8501"
        )
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    timeout_s = settings.timeout_ms / 1000
    client = std.Consul(
        host, port, scheme=url.scheme, dc=settings.datacenter or None, verify=True, connections_timeout=timeout_s
    )
    # py-consul prefers CONSUL_HTTP_TOKEN to the token it is given, and leaves the token out of some calls.
    client.token = settings.token or client.token
    client.http.session.close()
    client.http.session = session = WebSession()
    client.http.get, client.http.put = _readable(client.http.get), _readable(client.http.put)
    session.proxy_for(client.http.base_uri)
    headers = {"X-Consul-Token": client.token, "X-Consul-Namespace": settings.namespace}
    session.headers.update({name: value for name, value in headers.items() if value})
    return client


def _readable(ask: Callable[..., Any]) -> Callable[..., Any]:
    """py-consul's own way to ask, with an error that callers expect for an answer of which it can make nothing."""

    def asked(read: Callable[[Any], Any], *arguments: Any, **more: Any) -> Any:
        def read_or_say(answer: Any) -> Any:
            try:
                return read(answer)
            except NONSENSE as error:
                raise ConsulException(f"it answers what cannot be read ({type(error).__name__})") from None
            except ConsulException as error:
                if isinstance(error.__cause__, NONSENSE):  # py-consul's own words quote the whole answer
                    raise ConsulException(f"it answers what cannot be read ({error.__cause__})") from None
                raise

        return ask(read_or_say, *arguments, **more)

    return asked


def in_words(error: BaseException) -> str:
    """One line for people. The texts of requests are long and name Python objects."""
    by = by_way_of(str(error.request.url)) if isinstance(error, requests.RequestException) and error.request else ""
    if isinstance(error, requests.Timeout):
        return f"no answer in time{by}"
    if isinstance(error, requests.ConnectionError):
        why = why_no_connection(error)
        return f"no connection{by}" if why == PLAIN else f"no connection: {why}{by}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
