"""Three ways to count votes in etcd 3.4, over its gateway of HTTP and JSON (the same as over gRPC: one request each).

- `CompareAndSwap`: read the counter, and write one more if nobody has written it since. Whoever gets no answer does the
  same again: what a program does that has ported `INCR`.
- `KeyedById`: the same, and the transaction also writes a key with the vote's id, if that key does not exist yet. So a
  vote that is sent again finds its id, and is known to be counted.
- `KeyOfEach`: a key for each vote, and a tally is the number of keys. Writing a key again changes no number.

Reads are linearizable, which is etcd's default.
"""

from __future__ import annotations

import base64
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import msgspec

from bench.elsewhere.doors import OPTIONS, ToldOfPoll, ToldOfVote
from bench.elsewhere.etcd_cluster import EtcdCluster
from bench.elsewhere.kept_door import KeptDoor
from quorate.chaos.history import SentVote
from quorate.chaos.workload.exchange import AskedNode, LostAnswer, NeverSent, NodeAnswer

TURNS_MAX = 200  # of compare and swap, within one attempt

_encode = msgspec.json.Encoder().encode


class NoAnswerFromEtcd(Exception):
    """What was asked is known not to have happened if `surely_not`."""

    def __init__(self, why: str, *, surely_not: bool) -> None:
        super().__init__(why)
        self.surely_not = surely_not


class EtcdDoor(KeptDoor, ABC):
    """What the three ways have in common."""

    def __init__(self, cluster: EtcdCluster, home: int, chance: random.Random) -> None:
        places = [node.url.removeprefix("http://").split(":") for node in cluster.nodes]
        nodes = [AskedNode(node.id, host, int(port)) for node, (host, port) in zip(cluster.nodes, places, strict=True)]
        super().__init__(nodes, home, chance)

    async def cast(self, vote: SentVote) -> ToldOfVote:
        try:
            return await self._cast(vote)
        except NoAnswerFromEtcd as error:
            return ToldOfVote("fail" if error.surely_not else "unknown", str(error))

    async def read(self, poll: str) -> ToldOfPoll:
        try:
            return await self._read(poll)
        except NoAnswerFromEtcd as error:
            return ToldOfPoll("fail", str(error))

    @abstractmethod
    async def _cast(self, vote: SentVote) -> ToldOfVote: ...

    async def _read(self, poll: str) -> ToldOfPoll:
        """The counters of a poll, in one range."""
        prefix = f"votes/{poll}/"
        told = await self._ask("/v3/kv/range", {"key": _text(prefix), "range_end": _text(f"votes/{poll}0")})
        results = {_plain(each["key"]).removeprefix(prefix): int(_plain(each["value"])) for each in told.get("kvs", [])}
        return ToldOfPoll("ok", "", _revision(told), results)

    async def _counter(self, key: str) -> tuple[int, int]:
        """Its value, and the revision at which it was written; 0 and 0 if it does not exist."""
        found = (await self._ask("/v3/kv/range", {"key": _text(key)})).get("kvs", [])
        return (int(_plain(found[0]["value"])), int(found[0]["mod_revision"])) if found else (0, 0)

    async def _txn(self, compare: Sequence[Any], success: Sequence[Any], failure: Sequence[Any] = ()) -> dict[str, Any]:
        return await self._ask("/v3/kv/txn", {"compare": compare, "success": success, "failure": failure})

    async def _ask(self, path: str, body: object) -> dict[str, Any]:
        try:
            answer: NodeAnswer = await self._connection.ask("POST", path, _encode(body))
        except NeverSent as error:
            raise NoAnswerFromEtcd(f"not sent: {error}", surely_not=True) from None
        except LostAnswer as error:
            raise NoAnswerFromEtcd(str(error), surely_not=False) from None
        if answer.status != 200 or not answer.json():
            raise NoAnswerFromEtcd(answer.body[:200].decode(errors="replace"), surely_not=False)
        return answer.json()


class CompareAndSwap(EtcdDoor):
    async def _cast(self, vote: SentVote) -> ToldOfVote:
        key = f"votes/{vote.poll}/{vote.option}"
        for _ in range(TURNS_MAX):
            value, written = await self._read_first(key)
            told = await self._txn([_written_at(key, written)], [_put(key, str(value + 1))])
            if told.get("succeeded"):
                return ToldOfVote("ok", version=_revision(told))
        return ToldOfVote("fail", "others were always faster")

    async def _read_first(self, key: str) -> tuple[int, int]:
        try:
            return await self._counter(key)
        except NoAnswerFromEtcd as error:  # nothing was written by this attempt
            raise NoAnswerFromEtcd(str(error), surely_not=True) from None


class KeyedById(CompareAndSwap):
    async def _cast(self, vote: SentVote) -> ToldOfVote:
        key, id_key = f"votes/{vote.poll}/{vote.option}", f"ids/{vote.id}"
        for _ in range(TURNS_MAX):
            value, written = await self._read_first(key)
            told = await self._txn(
                [_written_at(id_key, 0), _written_at(key, written)],
                [_put(key, str(value + 1)), _put(id_key, "")],
                [{"request_range": {"key": _text(id_key), "count_only": True}}],
            )
            if told.get("succeeded"):
                return ToldOfVote("ok", version=_revision(told))
            if _count(told["responses"][0]):
                return ToldOfVote("ok", duplicate=True)  # counted at some revision that this answer does not tell
        return ToldOfVote("fail", "others were always faster")


class KeyOfEach(EtcdDoor):
    async def _cast(self, vote: SentVote) -> ToldOfVote:
        key = f"votes/{vote.poll}/{vote.option}/{vote.id}"
        told = await self._txn([_written_at(key, 0)], [_put(key, "")])
        if told.get("succeeded"):
            return ToldOfVote("ok", version=_revision(told))
        return ToldOfVote("ok", duplicate=True)

    async def _read(self, poll: str) -> ToldOfPoll:
        keys = [(f"votes/{poll}/{option}/", f"votes/{poll}/{option}0") for option in OPTIONS]
        ranges = [{"key": _text(first), "range_end": _text(last), "count_only": True} for first, last in keys]
        told = await self._txn([], [{"request_range": each} for each in ranges])
        counts = {option: _count(each) for option, each in zip(OPTIONS, told["responses"], strict=True)}
        return ToldOfPoll("ok", "", _revision(told), {option: count for option, count in counts.items() if count})


def _text(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def _plain(text: str) -> str:
    return base64.b64decode(text).decode()


def _put(key: str, value: str) -> dict[str, Any]:
    return {"request_put": {"key": _text(key), "value": _text(value)}}


def _written_at(key: str, revision: int) -> dict[str, Any]:
    return {"target": "MOD", "result": "EQUAL", "key": _text(key), "mod_revision": str(revision)}


def _revision(told: dict[str, Any]) -> int:
    return int(told["header"]["revision"])


def _count(response: dict[str, Any]) -> int:
    return int(response["response_range"].get("count", 0))
