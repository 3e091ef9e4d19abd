"""The settings that concern the whole cluster: shown from all nodes, and set in one place.

A setting of the cluster (`SETTABLE`) stands in the log: every node has it from there, at the same version. `set`
proposes it. A setting that all nodes should have alike is compared with the leader's, because the leader is who
flushes and who paces elections. Whatever differs is told and never refused: nodes are changed one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from quorate.cluster import entry
from quorate.cluster.entry import Command, Done
from quorate.cluster.fsm import StateMachine
from quorate.cluster.replica import Replica
from quorate.cluster.submit.submitter import Submitter
from quorate.config import SETTINGS, Config
from quorate.config.load import nearest_setting
from quorate.config.shared import SHARED, ToldSetting, told_settings
from quorate.config.window import small_window
from quorate.config.write import toml_value
from quorate.errors import Invalid, NotFound, NotReady, QuorateError, TooSoon
from quorate.security.tokens import Tokens
from quorate.unreadable import UNREADABLE
from quorate.words import count

ASK_S = 1.0
LEVEL = 1  # nodes of a program with a lower feature level do not know the question


class _Settable(NamedTuple):
    command: Callable[[Any], Command]
    held: Callable[[StateMachine], Any]


SETTABLE = {"votes.dedup_window": _Settable(entry.SetDedupWindow, lambda state: state.dedup_window)}

TOKENS = "auth.file"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, ToldSetting]).decode
Told = Mapping[str, ToldSetting]


class CallingReplica(Replica, Protocol):
    async def call(self, peer: str, kind: str, request: bytes, *, timeout_s: float | None = None) -> bytes:
        """Ask a peer to which there is a connection."""
        ...


class ClusterSettings:
    """Made on the node's loop. `members` gives the ids of all members, `levels` what the program of each can do."""

    def __init__(
        self,
        config: Config,
        given: Collection[str],
        replica: CallingReplica,
        submitter: Submitter,
        *,
        members: Callable[[], Sequence[str]],
        levels: Callable[[], Mapping[str, int | None]],
        tokens: Callable[[], Tokens] = Tokens,
    ) -> None:
        self._config, self._given = config, given
        self._replica, self._submitter = replica, submitter
        self._members, self._levels, self._tokens = members, levels, tokens
        replica.serve("settings", self._on_asked)

    # ---- what nodes tell --------------------------------------------------------------------------------------------

    def own(self) -> Told:
        key = self._replica.state.hash_key
        return {**told_settings(self._config, self._given, key), TOKENS: self._told_tokens(key)}

    def _told_tokens(self, key: bytes) -> ToldSetting:
        """What is in the file, and not where it is: that may differ."""
        tokens = self._tokens()
        digest = tokens.digest(key)
        words = f"{count(len(tokens), 'token')} ({digest[:8]})" if len(tokens) else "no tokens"
        return ToldSetting(words, TOKENS in self._given, digest)

    async def told_by(self, id: str) -> Told:
        """The settings of this member. Raises a `QuorateError` whose detail says why it did not tell them."""
        if id == self._replica.node_id:
            return self.own()
        answer = await self._ask(id)
        try:
            return _decode(answer)
        except UNREADABLE:
            raise NotReady("told what this version cannot read") from None

    async def _ask(self, id: str) -> bytes:
        if id == self._replica.leader and self._replica.leader_via is not None:  # a peer passes the question on
            return await self._replica.call_leader(id, "settings", b"", timeout_s=ASK_S)
        level = self._levels().get(id)
        if level is None:
            raise NotReady("not connected")
        if level < LEVEL:
            raise NotReady(f"runs {entry.LEVEL_VERSIONS[level]}, which cannot tell")
        return await self._replica.call(id, "settings", b"", timeout_s=ASK_S)

    async def _on_asked(self, peer: str, request: bytes) -> bytes:
        return _encode(self.own())

    def against_cluster(self) -> list[str]:
        """In words: what somebody set for this node, and the cluster has otherwise."""
        own, state = self.own(), self._replica.state
        return [
            f"{name} is {_words(own[name].value)} in this node's settings, and {_words(settable.held(state))} in the "
            f"cluster, which holds; `quorate settings set {name}` changes that"
            for name, settable in SETTABLE.items()
            if own[name].given and own[name].value != settable.held(state)
        ]

    def small_window(self) -> str | None:
        """In words: why the cluster's dedup window is small for this node's `http.timeout_ms`."""
        return small_window(self._replica.state.dedup_window, self._config.http.timeout_ms)

    async def against(self, id: str) -> list[str]:
        """In words: what should be alike, and differs between this node and another one."""
        own, others = self.own(), await self.told_by(id)
        return [
            f"{name} is {_words(own[name].value)} here and {_words(others[name].value)} on {id}"
            for name in _alike(own, others)
            if not own[name].is_same(others[name])
        ]

    # ---- what operators ask -----------------------------------------------------------------------------------------

    async def show(self) -> Mapping[str, Any]:
        if not self._replica.state.cluster_id:
            raise NotReady("this node has not joined its cluster yet; ask again in a moment, or another node")
        ids = self._members()
        answers = await asyncio.gather(*map(self.told_by, ids), return_exceptions=True)
        told, untold = dict[str, Told](), dict[str, str]()
        for id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, QuorateError):
                untold[id] = answer.detail
            elif isinstance(answer, BaseException):
                raise answer
            else:
                told[id] = answer
        return {"settings": [self._shown(name, told) for name in SHARED if _is_told(name, told)], "untold": untold}

    def _shown(self, name: str, told: Mapping[str, Told]) -> Mapping[str, Any]:
        nodes = {id: settings[name] for id, settings in told.items() if name in settings}
        if settable := SETTABLE.get(name):
            value = settable.held(self._replica.state)
            differ = [id for id, setting in nodes.items() if setting.given and setting.value != value]
        else:
            leader = self._replica.leader
            first = nodes[leader] if leader in nodes else next(iter(nodes.values()))
            value, differ = first.value, [id for id, setting in nodes.items() if not setting.is_same(first)]
        values = {id: setting.value for id, setting in nodes.items()}
        return {"name": name, "scope": SHARED[name].scope, "value": value, "nodes": values, "differ": differ}

    async def set(self, name: str, value: Any) -> Mapping[str, Any]:
        """Set a setting of the cluster. Raises `NotFound`, `Invalid`, `TooSoon`, or what a proposal raises."""
        setting = SETTINGS.get(name)
        if setting is None:
            raise NotFound(f"{name} is not a setting{nearest_setting(name)}")
        if name not in SETTABLE:
            raise Invalid(
                f"{name} is not held by the cluster: change it in each node's settings, and start the node again"
            )
        try:
            value = msgspec.convert(value, setting.annotated)
        except msgspec.ValidationError:
            raise Invalid(f"{name} cannot be {_words(value)}; give {setting.allowed()}") from None
        timeout_s = self._config.http.timeout_ms / 1000
        result, version = await self._submitter.command(SETTABLE[name].command(value), timeout_s=timeout_s)
        if not isinstance(result, Done):
            raise TooSoon(getattr(result, "detail", "the cluster refused it"))
        warning = small_window(result.value, self._config.http.timeout_ms)
        return {"name": name, "value": result.value, "version": version} | ({"warning": warning} if warning else {})


def _is_told(name: str, told: Mapping[str, Told]) -> bool:
    return any(name in settings for settings in told.values())


def _alike(own: Told, others: Told) -> list[str]:
    """The settings that both told and that should be alike."""
    return [name for name, setting in SHARED.items() if setting.scope == "alike" and name in own and name in others]


def _words(value: Any) -> str:
    return f"{value:,}" if type(value) is int else toml_value(value)[:200]
