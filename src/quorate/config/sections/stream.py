"""[stream]: how `quorate stream` reads social networks. Nodes do not use it."""

from __future__ import annotations

from typing import Annotated, Literal

from quorate.config.section import Section, about


class Stream(Section, frozen=True):
    to: Annotated[
        Literal["", "nsq", "cluster"], about("where votes go; empty: to NSQ if [nsq] names one, else to the cluster")
    ] = ""
    both: Annotated[bool, about("publish to two nsqds, to survive the loss of one")] = False
    state: Annotated[str, about("folder of the positions; empty: quorate/stream in ~/.local/state", path=True)] = ""
