"""Three processes of the stock PySyncObj 0.3.17 behind HTTP, to compare with ours.

    python -m bench.stock NAME HTTP_PORT n1=HOST:PORT,n2=HOST:PORT,n3=HOST:PORT

It is the shortest vote counter that one would write with the library: `POST /votes` with one vote and its id, and a set
of ids. It gets the best conditions: our HTTP server without a framework, and batching by period off. It syncs nothing
to disk, does not authenticate its peers, and remembers each id for ever.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated

from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.processes.waiting import wait_for
from quorate.web.fetch import fetch

TIMEOUT_S = 5.0  # as long as our nodes let a request wait


class Stock:
    def __init__(self, folder: Path, size: int = 3) -> None:
        ports = free_ports(2 * size)
        names = [f"s{i}" for i in range(1, size + 1)]
        self.urls = [f"http://127.0.0.1:{port}" for port in ports[:size]]
        peers = ",".join(f"{name}=127.0.0.1:{port}" for name, port in zip(names, ports[size:], strict=True))
        self.nodes = [
            Process(name, [sys.executable, "-m", "bench.stock", name, str(port), peers], folder / f"{name}.log")
            for name, port in zip(names, ports, strict=False)
        ]

    def __enter__(self) -> Stock:
        for node in self.nodes:
            node.start()
        for node, url in zip(self.nodes, self.urls, strict=True):
            wait_for(f"PySyncObj at {url} is ready", partial(ready, url), deadline_s=30, seen=node.tail)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.close()


def ready(url: str) -> bool:
    try:
        fetch(f"{url}/readyz", timeout_s=2)
    except OSError:
        return False
    return True


# ---- one of the three -----------------------------------------------------------------------------------------------

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Vote(msgspec.Struct):
    option: str
    id: str


class Votes(SyncObj):  # type: ignore[misc]  # PySyncObj has no annotations
    def __init__(self, me: str, others: list[str]) -> None:
        super().__init__(me, others, SyncObjConf(appendEntriesUseBatch=False))
        self.totals: Counter[str] = Counter()
        self.ids: set[str] = set()

    @replicated  # type: ignore[untyped-decorator]
    def cast(self, option: str, id: str) -> bool:
        if id in self.ids:
            return False
        self.ids.add(id)
        self.totals[option] += 1
        return True


class App:
    def __init__(self, node: Votes) -> None:
        self._node = node
        self._decode = msgspec.json.Decoder(Vote).decode

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["path"] == "/readyz":
            await answer(send, 200 if self._node.isReady() else 503, b"")
            return
        body, more = b"", True
        while more:
            part = await receive()
            body, more = body + part.get("body", b""), part.get("more_body", False)
        await answer(send, *await self._cast(self._decode(body)))

    async def _cast(self, vote: Vote) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[tuple[bool, int]] = loop.create_future()

        def tell(applied: bool, error: int) -> None:
            if not told.done():
                told.set_result((applied, error))

        def called(applied: bool, error: int) -> None:  # on PySyncObj's thread
            loop.call_soon_threadsafe(tell, applied, error)

        self._node.cast(vote.option, vote.id, callback=called)
        try:
            applied, error = await asyncio.wait_for(told, TIMEOUT_S)
        except TimeoutError:
            return 504, b"{}"
        if error != FAIL_REASON.SUCCESS:
            return 503, b"{}"
        return 200, b'{"applied":%d,"duplicates":%d}' % (applied, not applied)


async def answer(send: Send, status: int, body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    name, port, listed = sys.argv[1:]
    peers = dict(peer.split("=") for peer in listed.split(","))
    logging.getLogger("pysyncobj").setLevel(logging.CRITICAL + 1)  # see bench.in_process.stock
    node = Votes(peers.pop(name), list(peers.values()))
    config = uvicorn.Config(
        App(node), port=int(port), loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="error"
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
