"""The attacks by name: what each connection sends, how it reads, and how long it stays."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from typing import Any, Literal

from bench.workloads import command, post
from quorate.vote import REQUEST_BYTES_MAX, VOTES_PER_REQUEST_MAX

HOST = b"Host: localhost\r\n"
KIB = 1024
Needs = Literal["", "big poll", "many polls"]
SLOW = 64 * KIB


@dataclass(frozen=True, slots=True)
class Attack:
    about: str
    first: bytes = b""
    connections: int = 300  # at each node
    again: bytes = b""  # what is sent every `every_s` after that
    every_s: float = 1.0
    reads: int | None = None  # bytes a second of what the node sends; None: all of it
    stays_s: float = math.inf  # then it leaves, and another one comes
    resets: bool = False  # it leaves without an end
    speaks_tls: bool = True  # where the node does
    ends: bool = False  # it says that it sends nothing more, and stays
    at: Literal["http", "raft", "resp"] = "http"
    needs: Needs = ""


def get(path: str, more: bytes = b"") -> bytes:
    return b"GET %b HTTP/1.1\r\n%b%b\r\n" % (path.encode(), HOST, more)


def votes(body: bytes) -> bytes:
    return post("localhost", "/votes", len(body)) + body


def _half_post(length: int, sent: int) -> bytes:
    return post("localhost", "/votes", length) + b"[" + b" " * sent


def repeated(about: str, request: bytes, connections: int, every_s: float, needs: Needs = "") -> Attack:
    """Each connection sends the same request again and again, and reads the answers."""
    return Attack(about, request, connections, request, every_s, needs=needs)


def at_resp(about: str, first: bytes = b"", connections: int = 300, **more: Any) -> Attack:
    return Attack(about, first, connections, at="resp", **more)


BIG = get("/polls/big/results")
BIG_HERE = get("/polls/big/results?level=none")
FAR = "/polls/bench/results?min_version=999999999999&wait=30s"
RUBBISH = b"[" + b",".join([b'{"option":{"a":[[[1e999]]]}}'] * 100_000) + b"]"
STRANGE = json.dumps([{"option": f"{'x' * 200}{n}"} for n in range(VOTES_PER_REQUEST_MAX)]).encode()
STRANGE_BELOW_64K = json.dumps([{"option": f"{'x' * 200}{n}"} for n in range(280)]).encode()
MANY_VOTES = json.dumps([{"option": f"option {n:06}"} for n in range(VOTES_PER_REQUEST_MAX)]).encode()
THOUSAND_VOTES = json.dumps([{"option": f"option {n:06}"} for n in range(1_000)]).encode()
FAT = b"".join(b"a:\r\n" for _ in range(15_000))
NOISE = random.Random(1).randbytes(4 * KIB)
CHUNKED = b"POST /votes HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
BODY_60K = b"Content-Length: 60000\r\n"

PING, MULTI = command(b"PING"), command(b"MULTI")
HALF_ECHO = b"*2\r\n$4\r\nECHO\r\n$16000\r\n"
FULL = b"$16000\r\n" + b"x" * 16_000 + b"\r\n"
QUEUED = command(b"ECHO", b"x" * 16_000)
HGETALL, SUBSCRIBE = command(b"HGETALL", b"poll:big"), command(b"SUBSCRIBE", b"poll:big")
SURE = command(b"HGET", b"linearizable:poll:bench", b"happy")
GUESS = command(b"AUTH", b"0123456789abcdef0123456789abcdef")
NO_OPTION = b"".join(
    command(b"XADD", b"poll:bench", b"IDMP", b"x", b"%d" % n, b"*", b"option", b"x" * 200) for n in range(500)
)
STARS = command(b"KEYS", b"*p*o*l*l*:*p*o*l*l* *1*x")
ABSENT = command(b"EXISTS", *(b"poll:%d" % n for n in range(9_000)))

ATTACKS = {
    "nothing": Attack(
        "the same connections, and nobody attacks: what this measurement itself varies by", connections=0
    ),
    # ---- connections and heads
    "idle": Attack("connections that send nothing", connections=4_000),
    "half-heads": Attack("heads of requests, a byte a second", b"GET / HTTP/1.1\r\nX: ", 2_000, b"x"),
    "fat-heads": Attack("heads of 60 KB of tiny headers that do not end", b"GET / HTTP/1.1\r\n" + FAT, 1_000, b"a"),
    "fat-waits": Attack("reads that wait, with heads of 60 KB", get(FAR, FAT), 1_000),
    "fat-streams": Attack("streams with heads of 60 KB", get("/events?poll=bench", FAT), 1_000, reads=0),
    "comers": Attack("connections that leave at once", stays_s=0.0, connections=100),
    "resets": Attack("a request, and a reset", get("/livez"), 100, stays_s=0.01, resets=True),
    # ---- bodies
    "endless-bodies": Attack(
        "4 MB announced, 64 KB sent, then a byte a second", _half_post(4_000_000, 65_536), again=b" "
    ),
    "big-half-bodies": Attack("all but the last byte of 4 MB", _half_post(REQUEST_BYTES_MAX, REQUEST_BYTES_MAX - 2)),
    "flask-bodies": Attack(
        "bodies of 4 MB for Flask's door",
        post("localhost", "/producers", 4_000_000) + b" " * 4_000_000,
        100,
        stays_s=1.0,
    ),
    "crumbs": Attack("bodies in chunks of one byte", CHUNKED + b"1\r\n \r\n" * 40_000, 20, stays_s=0.2),
    "trailers": Attack("trailers without end", CHUNKED + b"0\r\n", 20, b"a:\r\n" * 10_000, 0.05),
    "bodies-of-gets": Attack("reads that wait and have bodies of 60 KB", get(FAR, BODY_60K) + b" " * 59_000, 1_000),
    "stream-bodies": Attack("streams with bodies of 60 KB", get("/events?poll=bench", BODY_60K) + b" " * 59_000, 1_000),
    "rubbish": repeated("JSON of 3 MB that is no votes", votes(RUBBISH), 20, 0.2),
    "strange-votes": repeated("10,000 votes a request for options that are not there", votes(STRANGE), 20, 0.2),
    "strange-below-64k": repeated("280 such votes a request, in 62 KB", votes(STRANGE_BELOW_64K), 50, 0.05),
    "many-votes": repeated("10,000 votes a request that count", votes(MANY_VOTES), 20, 0.2, "big poll"),
    "thousand-votes": repeated("1,000 votes a request that count", votes(THOUSAND_VOTES), 100, 0.1, "big poll"),
    "unread-refusals": Attack(
        "the same as strange-votes, and the refusals are not read",
        votes(STRANGE),
        100,
        votes(STRANGE),
        reads=0,
        stays_s=4.0,
    ),
    # ---- answers
    "pipelined": Attack("10,000 requests at once, answers not read", get("/livez") * 10_000, 100, reads=0),
    "pipelined-read": Attack("10,000 requests at once, answers read", get("/livez") * 10_000, 20),
    "behind-a-stream": Attack(
        "a stream, and 10,000 requests behind it", get("/events?poll=bench") + get("/livez") * 10_000, 100, reads=0
    ),
    "streams-unread": Attack("streams of 100,000 options, not read", get("/events"), reads=0, needs="big poll"),
    "streams-slow": Attack("streams of 100,000 options, read slowly", get("/events"), reads=SLOW, needs="big poll"),
    "streams-brief": Attack(
        "streams of 100,000 options that leave at once", get("/events?poll=big"), 50, stays_s=0.05, needs="big poll"
    ),
    "streams-many": Attack("streams of small polls, by the thousand", get("/events"), 900),
    "results-unread": Attack("results of 100,000 options, not read", BIG, reads=0, stays_s=4.0, needs="big poll"),
    "results-slow": Attack("results of 100,000 options, read slowly", BIG, 100, reads=SLOW, needs="big poll"),
    "results-left": Attack("results of 100,000 options, asked for and left", BIG, 50, stays_s=0.05, needs="big poll"),
    "results-read": repeated("results of 100,000 options, read at once", BIG, 10, 0.1, "big poll"),
    "results-none": repeated("the same with level=none", BIG_HERE, 10, 0.1, "big poll"),
    "poll-unread": Attack(
        "a definition of 100,000 options, not read", get("/polls/big"), 100, reads=0, stays_s=4.0, needs="big poll"
    ),
    "poll-read": repeated("a definition of 100,000 options, read", get("/polls/big"), 10, 0.1, "big poll"),
    "listing-unread": Attack(
        "the list of all polls, not read", get("/polls"), 100, reads=0, stays_s=4.0, needs="many polls"
    ),
    "listing-read": repeated("the list of all polls, read", get("/polls"), 10, 0.1, "many polls"),
    "streams-listing": Attack("streams of all polls", get("/events"), 50, needs="many polls", stays_s=0.5),
    # ---- reads that cost or wait
    "waits": Attack("reads that wait for a version that never comes", get(FAR), 1_500),
    "waits-left": Attack("the same, from clients that leave", get(FAR), 500, stays_s=0.5),
    "waits-for-log": Attack(
        "reads that wait for an entry that never comes", get("/digest?index=999999999&wait=30s"), 500
    ),
    "wrong-hosts": repeated(
        "a name that is not this node's", b"GET /livez HTTP/1.1\r\nHost: x.example\r\n\r\n", 50, 0.02
    ),
    "wrong-tokens": repeated("tokens that do not exist", get("/livez", b"Authorization: Bearer x\r\n"), 50, 0.02),
    "linearizable": repeated("reads that ask a majority", get("/polls/bench/results?level=linearizable"), 50, 0.02),
    "unknown-polls": repeated(
        "a poll whose name is near to others", get("/polls/pol%207/results"), 50, 0.02, "many polls"
    ),
    "flask": Attack("routes that Flask answers", get("/status"), 50, get("/metrics") + get("/openapi.json"), 0.02),
    "digests": repeated("digests of a big state", get("/digest"), 8, 0.05, "big poll"),
    # ---- between nodes
    "raft-idle": Attack("connections to the port between nodes that say nothing", connections=500, at="raft"),
    "raft-noise": Attack("the same with noise", NOISE, 100, NOISE, 0.1, at="raft"),
    "raft-slow": Attack("frames that are announced and do not come", b"\x00\x00\x01\x00", 500, b"\x00", at="raft"),
    # ---- Redis' protocol
    "resp-idle": at_resp("connections that send nothing", connections=4_000),
    "resp-drops": at_resp("a command, a byte a second", HALF_ECHO, 2_000, again=b"x"),
    "resp-halves": at_resp("commands of a megabyte that do not end", b"*64\r\n" + FULL * 60, again=b"$"),
    "resp-claims": at_resp("heads that claim four billion", b"*4000000000\r\n" + b"$4000000000\r\n", 100),
    "resp-lines": at_resp("lines that do not end", b"x" * 8_000, 1_000, again=b"x"),
    "resp-comers": at_resp("connections that leave at once", connections=100, stays_s=0.0),
    "resp-resets": at_resp("a command, and a reset", PING, 100, stays_s=0.01, resets=True),
    "resp-ends": at_resp("reads that ask a majority, and the end of the client's side", SURE * 50, 200, ends=True),
    "resp-ends-unread": at_resp("the same with 10,000 commands, not read", PING * 10_000, 200, ends=True, reads=0),
    "resp-pipelined": at_resp("20,000 commands at once, replies not read", PING * 20_000, 100, reads=0),
    "resp-pipelined-read": at_resp("20,000 commands at once, replies read", PING * 20_000, 20, again=PING * 20_000),
    "resp-queues": at_resp("transactions of 7 MB that are not run", MULTI + QUEUED * 440),
    "resp-hashes": at_resp("100,000 options, not read", HGETALL * 20, 100, reads=0, stays_s=4.0, needs="big poll"),
    "resp-hashes-slow": at_resp("100,000 options, read slowly", HGETALL * 20, 100, reads=SLOW, needs="big poll"),
    "resp-hashes-read": at_resp("100,000 options, read", HGETALL, 10, again=HGETALL, every_s=0.1, needs="big poll"),
    "resp-follows": at_resp("SUBSCRIBE to 100,000 options, not read", SUBSCRIBE, reads=0, needs="big poll"),
    "resp-follows-slow": at_resp("the same, read slowly", SUBSCRIBE, reads=SLOW, needs="big poll"),
    "resp-follows-many": at_resp("SUBSCRIBE by the thousand", command(b"SUBSCRIBE", b"poll:bench"), 900),
    "resp-guesses": at_resp("tokens that are guessed", GUESS * 100, 50, again=GUESS * 100, every_s=0.02),
    "resp-no-options": at_resp("500 votes for no option at once", NO_OPTION, 20, again=NO_OPTION, every_s=0.05),
    "resp-majority": at_resp("reads that ask a majority", SURE, 50, again=SURE, every_s=0.02),
    "resp-patterns": at_resp("patterns that take long", STARS, 20, again=STARS, every_s=0.05, needs="many polls"),
    "resp-absent": at_resp("whether there are 9,000 polls", ABSENT, 20, again=ABSENT, every_s=0.05),
    "resp-noise": at_resp("noise", NOISE, 100, again=NOISE, every_s=0.1),
    # ---- TLS
    "tls-begun": Attack("handshakes of TLS that are begun and left", b"\x16\x03\x01", 1_000, speaks_tls=False),
}
