"""[stream]: how `quorate stream` reads social networks. Nodes do not use it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from quorate.config.address import why_no_url
from quorate.config.section import Section, about
from quorate.ingest.social.networks.defaults import (
    BLUESKY_URLS,
    MASTODON_TAGS,
    NOSTR_URLS,
    TWITTER_PHRASE_BYTES,
    TWITTER_PHRASES,
    TWITTER_URL,
    WIKIMEDIA_URL,
    X_DOLLARS_PER_POST,
    X_POSTS_PER_DAY,
    X_RULE_CHARACTERS,
    X_RULES,
    X_TAG,
    X_URL,
)

HTTP, WEB_SOCKET = ("http", "https"), ("ws", "wss")


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
    silence_s: Annotated[
        float,
        about("connect anew when nothing came for so many seconds; 0: as long as suits the network", ge=0, le=86_400),
    ] = 0.0

    twitter_url: Annotated[str, about("a server that speaks Twitter's statuses/filter", min_length=1)] = TWITTER_URL
    twitter_track_max: Annotated[int, about("options that it takes on a connection", ge=1, le=1_000_000)] = (
        TWITTER_PHRASES
    )
    twitter_phrase_bytes_max: Annotated[
        int, about("how long each of them may be for it, in UTF-8", ge=1, le=1_000_000)
    ] = TWITTER_PHRASE_BYTES

    x_url: Annotated[str, about("a server that speaks X's API v2", min_length=1)] = X_URL
    x_posts_per_day: Annotated[
        int,
        about(
            "posts of X after which it stops until the next day (UTC);"
            f" 0: {X_POSTS_PER_DAY:,} if no money is named either",
            ge=0,
            le=1_000_000_000,
        ),
    ] = 0
    x_dollars_per_day: Annotated[
        float, about("the same by what they cost; of both the lower one; 0: not by money", ge=0, le=1_000_000)
    ] = 0.0
    x_dollars_per_post: Annotated[float, about("what X asks for a post that it sends", ge=0, le=1_000)] = (
        X_DOLLARS_PER_POST
    )
    x_reposts: Annotated[bool, about("ask X for reposts, which cost what posts cost")] = True
    x_rules_max: Annotated[int, about("rules of the account at X", ge=1, le=1_000_000)] = X_RULES
    x_rule_characters_max: Annotated[int, about("length of a rule at X", ge=64, le=1_000_000)] = X_RULE_CHARACTERS
    x_tag: Annotated[str, about("marks our rules at X; others are not touched", min_length=1, max_length=512)] = X_TAG

    bluesky_urls: Annotated[
        list[str], about("servers that speak Jetstream; another one is read when one does not answer")
    ] = msgspec.field(default_factory=lambda: [*BLUESKY_URLS])
    bluesky_compress: Annotated[bool, about("have messages packed, if the server offers it")] = True

    nostr_urls: Annotated[list[str], about("relays of Nostr; all are read at once")] = msgspec.field(
        default_factory=lambda: [*NOSTR_URLS]
    )
    nostr_feed: Annotated[
        Literal["all", "hashtags"], about("all notes, or those alone that have an option as a hashtag")
    ] = "all"

    wikimedia_url: Annotated[str, about("a server that speaks EventStreams", min_length=1)] = WIKIMEDIA_URL

    mastodon_url: Annotated[str, about("the instance of Mastodon, as https://mastodon.example")] = ""
    mastodon_feed: Annotated[
        Literal["hashtags", "public", "local", "remote"],
        about("each option's hashtag, or all posts that the instance knows (public), has (local) or gets (remote)"),
    ] = "hashtags"
    mastodon_tags_max: Annotated[int, about("how many hashtags are read, a connection each", ge=1, le=10_000)] = (
        MASTODON_TAGS
    )

    def problems(self) -> Iterator[str]:
        if 0 < self.silence_s < 1:
            yield f"stream.silence_s is {self.silence_s:g}; give 1 or more, or 0 for what suits the network"
        for name, kinds, example in URLS:
            value = getattr(self, name)
            for url in [value] if isinstance(value, str) else value:
                if url and (why := why_no_url(url, kinds, example)):
                    yield f"stream.{name}: {why}"


URLS = (
    *((f"{network}_url", HTTP, "https://social.example/path") for network in ("twitter", "x", "wikimedia", "mastodon")),
    *((f"{network}_urls", WEB_SOCKET, "wss://social.example") for network in ("bluesky", "nostr")),
)
