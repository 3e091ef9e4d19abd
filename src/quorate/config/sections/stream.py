"""[stream]: how `quorate stream` reads social networks. Nodes do not use it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from quorate.config.section import Section, about


class Stream(Section, frozen=True):
    to: Annotated[
        Literal["", "nsq", "cluster"], about("where votes go; empty: to NSQ if [nsq] names one, else to the cluster")
    ] = ""
    both: Annotated[bool, about("publish to two nsqds, to survive the loss of one")] = False
    state: Annotated[str, about("folder of the positions; empty: quorate/stream in ~/.local/state", path=True)] = ""
    listen: Annotated[
        str, about("host:port for /status, /metrics and /healthz; a port alone is of this host alone; empty: none")
    ] = ""
    hosts: Annotated[list[str], about("further names that stream.listen is asked by, as streams.example")] = (
        msgspec.field(default_factory=list)
    )
    options_from: Annotated[
        Literal["cluster", "mongo"], about("from where the polls' options are read: the cluster, or [mongo]")
    ] = "cluster"
    polls: Annotated[
        list[str],
        about("how posts vote in polls: `mood: substring, one-per-author, no-reposts`, one text a poll, some of these"),
    ] = msgspec.field(default_factory=list)
    contact: Annotated[str, about("how Wikimedia can reach you: a URL or a mail address; its policy asks for it")] = ""
    shard: Annotated[str, about("the share of the options that is read here, as 2/3; empty: all")] = ""
    shards: Annotated[
        int,
        about("instead: take a free one of so many shares in Consul, or wait for one; 0: no shares", ge=0, le=1_000),
    ] = 0
