"""Which nsqds have the topic, and how many messages wait in them: asked of nsqlookupd and of the nsqds, by HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard
from urllib.parse import quote

import msgspec

from quorate.config import Address
from quorate.host_port import why_unreachable
from quorate.ingest.nsq.settings import NsqSettings
from quorate.shown import line
from quorate.web.fetch import FetchFailed, fetch_json

TIMEOUT_S = 2.0
NSQDS_MAX = 256  # that nsqlookupds may name: whoever can write to one may name any number, and a node dials each
ASKED_AT_ONCE = 16
HEALTH_MAX = 200  # characters of what an nsqd says of it

log = logging.getLogger(__name__)


class NsqdAddress(msgspec.Struct, frozen=True):
    """An nsqd, as nsqlookupd tells of it."""

    broadcast_address: str
    tcp_port: int
    http_port: int

    @property
    def tcp(self) -> str:
        return str(Address(self.broadcast_address, self.tcp_port))

    @property
    def http(self) -> str:
        return str(Address(self.broadcast_address, self.http_port))


class Lookup:
    """`nsqds` are the TCP addresses found last. `depth` is the number of waiting messages, None while unknown."""

    def __init__(self, settings: NsqSettings, note_trouble: Callable[[str, str], bool]) -> None:
        self._settings, self._note_trouble = settings, note_trouble
        self._stats_urls: set[str] = set()
        self.nsqds: set[str] = set()
        self.depth: int | None = None

    async def find_nsqds(self) -> None:
        """Ask all nsqlookupds. If none of them answers, the nsqds that are known already stay."""
        answers = await asyncio.gather(*(self._ask(address) for address in self._settings.lookupd))
        if any(answer is not None for answer in answers):
            nsqds = self._bounded({nsqd.tcp: nsqd for answer in answers for nsqd in answer or ()})
            self.nsqds = set(nsqds)
            self._stats_urls = {f"http://{nsqd.http}/stats" for nsqd in nsqds.values()}

    def _bounded(self, named: dict[str, NsqdAddress]) -> dict[str, NsqdAddress]:
        """Of very many, those that are known already, and then the first."""
        if len(named) <= NSQDS_MAX:
            self._note_trouble("nsqlookupd", "")
            return named
        self._note_trouble("nsqlookupd", f"{len(named):,} nsqds are named, and {NSQDS_MAX} of them are used")
        first = sorted(named, key=lambda address: address not in self.nsqds)  # stable: in the order they were named
        return {address: named[address] for address in first[:NSQDS_MAX]}

    async def _ask(self, address: str) -> list[NsqdAddress] | None:
        """The topic's nsqds by one nsqlookupd; None if it does not answer."""
        server = f"nsqlookupd {address}"
        base = address if "://" in address else f"http://{address}"
        try:
            answer = await _get(f"{base.rstrip('/')}/lookup?topic={quote(self._settings.topic)}")
            nsqds = nsqds_in(answer)
        except FetchFailed as error:
            if b"TOPIC_NOT_FOUND" not in error.body:
                more = "; is this nsqlookupd's HTTP address?" if error.status else ""
                self._note_trouble(server, f"{server}: {error}{more}")
                return None
            nsqds = []  # nobody has published to this topic yet
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._note_trouble(server, f"{server}: {error}")
            return None
        if self._note_trouble(server, ""):
            log.info("%s answers again", server)
        return nsqds

    async def measure_depth(self) -> None:
        """Ask the nsqds that were found. The depth is the sum over those that answer. One that is not well is told."""
        query = f"format=json&topic={quote(self._settings.topic)}&channel={quote(self._settings.channel)}"
        urls = [f"{url}?{query}&include_clients=false&include_mem=false" for url in self._stats_urls]
        at_once = asyncio.Semaphore(ASKED_AT_ONCE)
        answers = await asyncio.gather(*(_stats(url, at_once) for url in urls))
        depths = [answer.depth for answer in answers if isinstance(answer, _NsqdStats)]
        self.depth = sum(depths) if depths else None
        asked = [(url.partition("?")[0], answer) for url, answer in zip(urls, answers, strict=True)]
        wrong = [f"{url}: {answer}" for url, answer in asked if isinstance(answer, str)]
        self._note_trouble("the depth", f"asking nsqds for their depth: {wrong[0]}" if wrong else "")
        self._note_trouble("the health", next((_ill(url, answer) for url, answer in asked if _is_ill(answer)), ""))


def nsqds_in(answer: Any) -> list[NsqdAddress]:
    """The nsqds that can be asked: what nsqlookupd tells is what anybody told it.

    Raises `ValueError`, `TypeError` or `KeyError` if it is no answer of an nsqlookupd.
    """
    nsqds = msgspec.convert(answer["producers"], list[NsqdAddress])
    return [nsqd for nsqd in nsqds if why_unreachable(nsqd.tcp) is why_unreachable(nsqd.http) is None]


class _NsqdChannel(msgspec.Struct):
    depth: int


class _NsqdTopic(msgspec.Struct):
    channels: list[_NsqdChannel]


class _NsqdStats(msgspec.Struct):
    """`health`: nsqd's own words: `OK`, or `NOK` and why its last message could not be written to its disk."""

    topics: list[_NsqdTopic] | None = None
    health: str = ""

    @property
    def depth(self) -> int:
        return sum(channel.depth for topic in self.topics or () for channel in topic.channels)


def _is_ill(answer: _NsqdStats | str | None) -> TypeGuard[_NsqdStats]:
    return isinstance(answer, _NsqdStats) and answer.health.startswith("NOK")


def _ill(url: str, stats: _NsqdStats) -> str:
    where, why = url.removesuffix("/stats"), line(stats.health, HEALTH_MAX)
    return f"the nsqd at {where} is not well and may drop messages that it has confirmed: {why}"


async def _stats(url: str, at_once: asyncio.Semaphore) -> _NsqdStats | str | None:
    """What one nsqd has in the channel, and its health; None if it does not answer, words if it makes no sense."""
    async with at_once:
        try:
            return msgspec.convert(await _get(url), _NsqdStats)
        except FetchFailed as error:
            return str(error) if error.status == 200 else None
        except OSError:
            return None
        except ValueError as error:
            return str(error)


async def _get(url: str) -> Any:
    """Ask on a thread of its own, which nobody waits for at a stop: a request ends by its own deadline."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Any] = loop.create_future()

    def ask() -> None:
        try:
            tell = partial(_set, answered.set_result, answered, fetch_json(url, timeout_s=TIMEOUT_S))
        except Exception as error:  # whatever it is, who waits is to know
            tell = partial(_set, answered.set_exception, answered, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell)

    threading.Thread(target=ask, name="nsqlookupd", daemon=True).start()
    return await answered


def _set(how: Callable[[Any], None], answered: asyncio.Future[Any], what: Any) -> None:
    if not answered.done():  # it was cancelled
        how(what)
