"""The one table of commands."""

from __future__ import annotations

from collections.abc import Callable

from quorate.errors import Invalid
from quorate.resp import reading, serving, unkeyed
from quorate.resp.encoding import Simple, Value
from quorate.resp.parsing import Command
from quorate.resp.session import Session
from quorate.resp.table import Answer, Spec
from quorate.resp.votes import FORM
from quorate.security.caller import Caller
from quorate.security.roles import RouteRole

READ = ("readonly",)
WRITE = ("write",)
FAST = ("fast", "loading", "stale")
XADD = "XADD"


def _taken_apart(session: Session, caller: Caller, command: Command) -> Answer:
    raise AssertionError("the connection sends votes itself, many at once")


def _nameless(session: Session, caller: Caller, command: Command) -> Value:
    raise Invalid(f"it names no option: send {FORM}")


def _describe(session: Session, caller: Caller, command: Command) -> Value:
    """COMMAND [COUNT | INFO name … | DOCS name … | LIST]"""
    word = command[1].upper() if len(command) > 1 else b""
    named = [name.decode("utf-8", "replace").upper() for name in command[2:]]
    match word:
        case b"":
            return [_line(spec) for spec in COMMANDS.values()]
        case b"INFO":
            return [_line(COMMANDS[name]) if name in COMMANDS else None for name in named or COMMANDS]
        case b"COUNT":
            return len(COMMANDS)
        case b"LIST":
            return [name.lower() for name in COMMANDS]
        case b"DOCS":
            chosen = [COMMANDS[name] for name in named or COMMANDS if name in COMMANDS]
            return {spec.name.lower(): {"summary": spec.summary, "group": "generic"} for spec in chosen}
    raise Invalid("COMMAND takes COUNT, INFO, DOCS and LIST here")


def _line(spec: Spec) -> Value:
    flags = [Simple(flag) for flag in spec.flags]
    step = 1 if spec.first_key else 0
    return [spec.name.lower(), spec.arity, flags, spec.first_key, spec.last_key, step, [], [], [], []]


def _spec(
    name: str,
    arity: int,
    run: Callable[[Session, Caller, Command], Answer],
    summary: str,
    *,
    role: RouteRole = "public",
    flags: tuple[str, ...] = FAST,
    keys: tuple[int, int] = (0, 0),
    in_transaction: bool = True,
) -> Spec:
    return Spec(name, arity, role, run, summary, flags, *keys, in_transaction)


def _read(
    name: str, arity: int, run: Callable[[Session, Caller, Command], Answer], summary: str, last_key: int = 1
) -> Spec:
    keys = (1, last_key) if last_key else (0, 0)
    return _spec(name, arity, run, summary, role="read", flags=READ, keys=keys)


def _refused(name: str, arity: int) -> Spec:
    return _spec(name, arity, _nameless, f"refused: use {FORM}", role="vote", flags=WRITE, keys=(1, 1))


_ALL = (
    _spec(XADD, -5, _taken_apart, f"counts a vote once: {FORM}", role="vote", flags=WRITE, keys=(1, 1)),
    _spec(
        "HINCRBY",
        4,
        unkeyed.hincrby,
        f"counts a vote at each try, where resp.allow_unkeyed is set; use {FORM}",
        role="vote",
        flags=WRITE,
        keys=(1, 1),
    ),
    _refused("INCR", 2),
    _refused("INCRBY", 3),
    _read("HGETALL", 2, reading.hgetall, "the votes of each option of a poll"),
    _read("HGET", 3, reading.hget, "the votes of one option"),
    _read("HMGET", -3, reading.hmget, "the votes of some options"),
    _read("HEXISTS", 3, reading.hexists, "whether a poll has an option"),
    _read("HLEN", 2, reading.hlen, "how many options a poll has"),
    _read("HKEYS", 2, reading.hkeys, "the options of a poll"),
    _read("HVALS", 2, reading.hvals, "the votes of its options"),
    _read("XLEN", 2, reading.xlen, "the sum of all votes of a poll"),
    _read("EXISTS", -2, reading.exists, "how many of these polls there are", -1),
    _read("TYPE", 2, reading.type_of, "hash for a poll, none for anything else"),
    _read("KEYS", 2, reading.keys, "the polls whose key fits a pattern", 0),
    _read("SCAN", -2, reading.scan, "the polls, some at a time", 0),
    _read("DBSIZE", 1, reading.dbsize, "how many polls there are", 0),
    _spec("SUBSCRIBE", -2, serving.subscribe, "the tallies of polls as they change", role="read", in_transaction=False),
    _spec("UNSUBSCRIBE", -1, serving.unsubscribe, "ends SUBSCRIBE, of all polls or of some", in_transaction=False),
    _spec("WAIT", 3, serving.wait, "how many replicas have what was answered"),
    _spec("WAITAOF", 4, serving.waitaof, "how many disks have what was answered"),
    _spec("HELLO", -1, serving.hello, "chooses RESP2 or RESP3", in_transaction=False),
    _spec("AUTH", -2, serving.auth, "says who asks, by a token", in_transaction=False),
    _spec("PING", -1, serving.ping, "is answered by PONG"),
    _spec("ECHO", 2, serving.echo, "is answered by its argument"),
    _spec("SELECT", 2, serving.select, "chooses the only database, 0"),
    _spec("TIME", 1, serving.time_, "the time of this node"),
    _spec("CLIENT", -2, serving.client, "names this connection"),
    _spec("CONFIG", -2, serving.config, "tells settings that clients ask for"),
    _spec("COMMAND", -1, _describe, "tells which commands there are"),
    _spec("INFO", -1, serving.info_, "tells of this node"),
    _spec("CLUSTER", -2, serving.cluster, "tells which nodes there are", in_transaction=False),
    _spec("READONLY", 1, serving.readonly, "reads from this node alone"),
    _spec("READWRITE", 1, serving.readwrite, "reads from the leader"),
    _spec("MULTI", 1, serving.multi, "begins a transaction"),
    _spec("EXEC", 1, serving.without_multi, "runs the commands that were sent since MULTI"),
    _spec("DISCARD", 1, serving.discard, "forgets them"),
    _spec("WATCH", -2, serving.watch, "refused: a vote that was counted stays counted", keys=(1, -1)),
    _spec("UNWATCH", 1, serving.unwatch, "nothing is watched"),
    _spec("RESET", 1, serving.reset, "as a new connection"),
    _spec("QUIT", -1, serving.quit_, "closes the connection"),
)
COMMANDS: dict[str, Spec] = {spec.name: spec for spec in _ALL}
BY_BYTES: dict[bytes, Spec] = {spec.name.encode(): spec for spec in _ALL}
