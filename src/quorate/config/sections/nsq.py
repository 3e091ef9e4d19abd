"""[nsq]: the queue that votes are taken from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec

from quorate.config.address import parse_address
from quorate.config.section import Section, about
from quorate.errors import ConfigError

NSQ_NAME = r"^[.a-zA-Z0-9_-]{1,64}(#ephemeral)?\Z"
NSQ_NAME_OR_NONE = rf"^\Z|{NSQ_NAME}"


class Nsq(Section, frozen=True):
    lookupd: Annotated[list[str], about("nsqlookupd HTTP addresses, host:port; votes are then taken from NSQ")] = (
        msgspec.field(default_factory=list)
    )
    nsqd: Annotated[list[str], about("nsqd TCP addresses, host:port, where there is no nsqlookupd")] = msgspec.field(
        default_factory=list
    )
    topic: Annotated[str, about("topic of the votes", pattern=NSQ_NAME, scope="alike")] = "votes"
    channel: Annotated[str, about("channel that all nodes share", pattern=NSQ_NAME, scope="alike")] = "counter"
    max_in_flight: Annotated[int, about("messages taken and not yet finished, a node", ge=1, le=100_000)] = 200
    dead_letter: Annotated[
        str,
        about("topic for messages that are no votes; empty: only logged", pattern=NSQ_NAME_OR_NONE, scope="alike"),
    ] = "votes_dead"
    unknown_wait_s: Annotated[
        int,
        about(
            "seconds that a vote waits for an option or poll that nobody knows; 0: none", ge=0, le=600, scope="alike"
        ),
    ] = 15
    lookupd_poll_s: Annotated[int, about("seconds between two questions to nsqlookupd", ge=1, le=3_600)] = 5
    auth_secret: Annotated[str, about("secret for an nsqd that asks for one", secret=True)] = ""
    auth_secret_file: Annotated[str, about("file that holds nsq.auth_secret", path=True)] = ""

    @property
    def enabled(self) -> bool:
        return bool(self.lookupd or self.nsqd)

    def problems(self) -> Iterator[str]:
        addresses = {"nsq.nsqd": self.nsqd, "nsq.lookupd": [text.removeprefix("http://") for text in self.lookupd]}
        for name, texts in addresses.items():
            for text in texts:
                try:
                    parse_address(text)
                except ConfigError as error:
                    yield f"{name}: {error.detail}"
        if self.dead_letter and self.dead_letter == self.topic:
            yield f"nsq.dead_letter is the topic of the votes itself, {self.topic}; give another, or leave it empty"
