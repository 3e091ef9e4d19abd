"""A cluster that somebody else runs, and perhaps breaks: the run sends votes and reads, and judges what it is told."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from quorate.chaos.faulting import BrokenNow
from quorate.chaos.history import Fault
from quorate.chaos.run import Facts
from quorate.chaos.workload.exchange import AskedNode, KeptConnection, LostAnswer, NeverSent
from quorate.chaos.workload.node_looks import KnownState
from quorate.chaos.workload.queue_voter import QueuePlace
from quorate.chaos.workload.sink_looks import SinkRows
from quorate.client.http import JsonClient
from quorate.config import Address
from quorate.errors import ConfigError, Forbidden, Invalid, NoLeader, QuorateError, Unauthorized
from quorate.vote import SHARE_WINDOW

WINDOW_IF_HIDDEN = 100_000  # a node tells its settings only to who may know them
PORTS = {"http": 80, "https": 443}
ASK_S = 3.0
NEEDED = "quorate chaos makes polls and votes in them, which needs the role manage: --token-file FILE"


class Elsewhere:
    sinks: Sequence[SinkRows] = ()
    queue: QueuePlace | None = None

    def __init__(
        self,
        nodes: Sequence[AskedNode],
        urls: Mapping[str, str],
        window: int,
        *,
        has_token: bool = False,
        stopping: threading.Event,
    ) -> None:
        """A token may have a share of the window for itself, which protects fewer ids."""
        self.nodes, self._stopping = nodes, stopping
        protected = min(window, SHARE_WINDOW) if has_token else window
        self.facts = Facts(urls, protected, is_ours=False, table=window)

    def known(self, node: str) -> KnownState:
        return KnownState()

    def is_network(self, fault: str) -> bool:
        return False

    def broken(self) -> Sequence[BrokenNow]:
        return ()

    def troubles(self) -> Sequence[str]:
        return ()

    def disturb(self, told: Callable[[Fault], None], now: Callable[[], float], until: float) -> None:
        self._stopping.wait(max(0.0, until - now()))

    def mend(self) -> None:
        """Whoever broke it mends it. The end of the run waits for that, as long as it waits for answers."""


def elsewhere(
    urls: Sequence[str],
    redis: Sequence[Address] = (),
    *,
    token: str | None,
    ca: str | None,
    stopping: threading.Event,
) -> Elsewhere:
    """Ask each URL which node answers there. `redis`: their doors for Redis clients, in the same order, or none.

    Raises `NoLeader` if none of them answers, `Invalid` for a wrong URL, `ConfigError` if the token may make no polls.
    """
    trust = ssl.create_default_context(cafile=ca) if any(url.startswith("https:") for url in urls) else None
    places = [_place(url, trust, token) for url in urls]
    _check_that_polls_may_be_made(urls, token, ca)
    told = asyncio.run(_ask_all(places))
    if not any(told):
        raise NoLeader(f"no node answers at {', '.join(urls)}")
    nodes: dict[str, AskedNode] = {}
    for place, status in zip(places, told, strict=True):
        id = str(status.get("node") or place.id)
        nodes[id if id not in nodes else place.id] = place
    window = max((_window(status) for status in told), default=0) or WINDOW_IF_HIDDEN
    doors: Sequence[Address | None] = redis or [None] * len(urls)
    named = [
        AskedNode(id, node.host, node.port, node.tls, node.token, door)
        for (id, node), door in zip(nodes.items(), doors, strict=True)
    ]
    by_id = dict(zip(nodes, urls, strict=True))
    return Elsewhere(named, by_id, window, has_token=token is not None, stopping=stopping)


def _check_that_polls_may_be_made(urls: Sequence[str], token: str | None, ca: str | None) -> None:
    """Ask for a poll that cannot be: who may make none is refused for that first. One node that answers is enough."""
    unreached: QuorateError | None = None
    for url in urls:
        with JsonClient([url], timeout_s=ASK_S, unreached_s=ASK_S, token=token, ca=ca) as client:
            try:
                client.request("POST", "/polls", body=b"{}")
            except (Unauthorized, Forbidden) as error:
                raise ConfigError(f"{url}: {error.detail or error.title}. {NEEDED}") from None
            except NoLeader as error:
                unreached = unreached or error
            except QuorateError:
                return
    if unreached is not None:
        raise unreached


def _place(url: str, trust: ssl.SSLContext | None, token: str | None) -> AskedNode:
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/"):
        raise Invalid(f"{url} is no address of a node, as http://127.0.0.1:8001")
    tls = trust if parts.scheme == "https" else None
    return AskedNode(url, parts.hostname, parts.port or PORTS[parts.scheme], tls, token)


async def _ask_all(places: Sequence[AskedNode]) -> list[Mapping[str, Any]]:
    return list(await asyncio.gather(*(_status(place) for place in places)))


async def _status(place: AskedNode) -> Mapping[str, Any]:
    """Empty if it does not answer."""
    connection = KeptConnection(place)
    try:
        answer = await connection.ask("GET", "/status")
    except (NeverSent, LostAnswer):
        return {}
    finally:
        connection.close()
    return answer.json() or {"node": answer.served_by}


def _window(status: Mapping[str, Any]) -> int:
    return int(status.get("state", {}).get("dedup", {}).get("size", 0))
