"""The commands that clients send by themselves: who they are, what the node can do, which nodes there are."""

from __future__ import annotations

import time

from quorate.errors import Invalid, QuorateError
from quorate.resp import info
from quorate.resp.encoding import PONG, Failure, Raw, Simple, Value, Verbatim
from quorate.resp.keys import text_of
from quorate.resp.parsing import Command
from quorate.resp.session import NAME_BYTES_MAX, Session
from quorate.security.caller import Caller

OK = Simple("OK")
WRONG = Failure("WRONGPASS", "this token is not known here: it was revoked, or belongs to another cluster")
NO_TOKENS = Failure("ERR", "AUTH <token> called, and this node has no tokens (auth.file): nothing needs one here")


def hello(session: Session, caller: Caller, command: Command) -> Value:
    """HELLO [protocol [AUTH name token] [SETNAME name]]"""
    protocol, options = session.protocol, command[2:]
    if session.subscription.polls:
        raise Invalid("HELLO comes before SUBSCRIBE, because messages have the form that it chooses")
    if len(command) > 1:
        if command[1] not in (b"2", b"3"):
            return Failure("NOPROTO", "unsupported protocol version; this node speaks 2 and 3")
        protocol = int(command[1])
    name = session.name
    while options:
        word = options[0].upper()
        if word == b"AUTH" and len(options) >= 3:
            if (refused := _authenticate(session, options[2])) is not None:
                return refused
            options = options[3:]
        elif word == b"SETNAME" and len(options) >= 2:
            name, options = _name(options[1]), options[2:]
        else:
            raise Invalid(f"Syntax error in HELLO option {options[0][:40].decode('utf-8', 'replace')!r}")
    session.protocol, session.name = protocol, name
    return {
        "server": "quorate",
        "version": session.door.version,
        "proto": protocol,
        "id": session.number,
        "mode": "standalone",
        "role": "master",
        "modules": [],
    }


def auth(session: Session, caller: Caller, command: Command) -> Value:
    """AUTH [name] token. A token says whose it is, so the name is passed over."""
    if len(command) > 3:
        raise Invalid("AUTH takes a token, and before it a name, which is passed over")
    refused = _authenticate(session, command[-1])
    return OK if refused is None else refused


def _authenticate(session: Session, token: bytes) -> Failure | None:
    if not session.door.access.knows_tokens:
        return NO_TOKENS
    credentials = b"Bearer " + token
    if session.door.access.admit("public", session.address, credentials).token is None:
        return WRONG
    session.credentials = credentials
    return None


def ping(session: Session, caller: Caller, command: Command) -> Value:
    if len(command) > 2:
        raise Invalid("wrong number of arguments for 'ping' command")
    if session.only_subscribes:
        return ["pong", command[1] if len(command) == 2 else ""]
    return command[1] if len(command) == 2 else Raw(PONG)


def echo(session: Session, caller: Caller, command: Command) -> Value:
    return command[1]


def select(session: Session, caller: Caller, command: Command) -> Value:
    if command[1] != b"0":
        raise Invalid("DB index is out of range: there is one database, 0")
    return OK


def multi(session: Session, caller: Caller, command: Command) -> Value:
    session.begin()
    return OK


def without_multi(session: Session, caller: Caller, command: Command) -> Value:
    raise Invalid("EXEC without MULTI")


def discard(session: Session, caller: Caller, command: Command) -> Value:
    if session.queued is None:
        raise Invalid("DISCARD without MULTI")
    session.end()
    session.queued_bytes = 0
    return OK


def watch(session: Session, caller: Caller, command: Command) -> Value:
    if session.queued is not None:
        raise Invalid("WATCH inside MULTI is not allowed")
    raise Invalid("WATCH cannot be kept: others may vote until EXEC is run; a vote that was counted stays counted")


def unwatch(session: Session, caller: Caller, command: Command) -> Value:
    """Nothing is watched. Clients send it when they give a connection back."""
    return OK


def reset(session: Session, caller: Caller, command: Command) -> Value:
    session.reset()
    return Simple("RESET")


def quit_(session: Session, caller: Caller, command: Command) -> Value:
    session.closes = True
    return OK


def readonly(session: Session, caller: Caller, command: Command) -> Value:
    """From now on this node answers reads from its own state, however old that is."""
    session.level = "none"
    return OK


def readwrite(session: Session, caller: Caller, command: Command) -> Value:
    session.level = "weak"
    return OK


def wait(session: Session, caller: Caller, command: Command) -> Value:
    """A vote is answered when a majority has it on disk. All of the majority but the leader are its replicas."""
    _whole_number(command[1]), _whole_number(command[2])
    return session.door.majority - 1


def waitaof(session: Session, caller: Caller, command: Command) -> Value:
    """Whether this very node has what was answered is sure only where it leads."""
    local = _whole_number(command[1])
    _whole_number(command[2]), _whole_number(command[3])
    if local > 1:
        raise Invalid("numlocal is 0 or 1")
    leads = session.door.replica.is_leader
    return [int(leads), session.door.majority - leads]


def client(session: Session, caller: Caller, command: Command) -> Value:
    word, rest = command[1].upper(), command[2:]
    if word == b"SETNAME" and len(rest) == 1:
        session.name = _name(rest[0])
        return OK
    if word == b"SETINFO" and len(rest) == 2 and rest[0].upper() in (b"LIB-NAME", b"LIB-VER"):
        return OK
    if word in (b"NO-EVICT", b"NO-TOUCH") and len(rest) == 1:
        return OK
    if word == b"MAINT_NOTIFICATIONS" and rest:  # redis-py, go-redis: tell when an address moves. Here none ever does
        return OK
    if word == b"GETNAME" and not rest:
        return session.name or None
    if word == b"ID" and not rest:
        return session.number
    if word in (b"INFO", b"LIST") and not rest:
        return Verbatim(info.line_of(session) + "\n")
    raise Invalid("CLIENT takes SETNAME, GETNAME, SETINFO, ID, INFO, LIST, NO-EVICT and NO-TOUCH here")


def config(session: Session, caller: Caller, command: Command) -> Value:
    """What redis-benchmark and others ask before they begin. Settings of a node are set in its file."""
    if command[1].upper() != b"GET":
        raise Invalid("CONFIG takes GET here: settings stand in the node's file (quorate config show)")
    known = {"save": "", "appendonly": "yes", "appendfsync": "always", "databases": "1", "maxmemory": "0"}
    asked = [text_of(word, "the name").lower() for word in command[2:]]
    return {name: value for name, value in known.items() if name in asked or "*" in asked}


def time_(session: Session, caller: Caller, command: Command) -> Value:
    seconds, fraction = divmod(time.time_ns(), 1_000_000_000)
    return [str(seconds), str(fraction // 1_000)]


async def subscribe(session: Session, caller: Caller, command: Command) -> Value:
    return await session.subscription.add(caller, command, session.protocol)


async def unsubscribe(session: Session, caller: Caller, command: Command) -> Value:
    return await session.subscription.remove(caller, command, session.protocol)


async def cluster(session: Session, caller: Caller, command: Command) -> Value:
    session.in_cluster = True
    return await info.cluster(session, command[1:])


def info_(session: Session, caller: Caller, command: Command) -> Value:
    asked = [text_of(word, "the section").lower() for word in command[1:]]
    return Verbatim(info.sections(session, asked, lambda: _polls_seen(session)))


def _polls_seen(session: Session) -> int | None:
    """None: who asks may read no poll."""
    try:
        caller = session.admit("read")
    except QuorateError:
        return None
    return sum(caller.may_see(poll_id) for poll_id, _ in session.door.replica.state.poll_keys())


def _name(name: bytes) -> str:
    text = text_of(name, "the name")
    if len(name) > NAME_BYTES_MAX or not text.isascii() or not text.isprintable() or " " in text:
        raise Invalid(f"a name of a client has at most {NAME_BYTES_MAX} printable ASCII characters, without spaces")
    return text


def _whole_number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Invalid("value is not an integer or out of range")
    return int(text)
