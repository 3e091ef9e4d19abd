"""The adapters there are: for each name its settings section, and the modules of the sink and the source it offers.

To add a sink or a source: its module (`sinks/NAME.py` or `ingest/NAME.py`), its section (`config/sections/NAME.py`),
and one line here. The modules are named by text and are imported only by nodes that use them (`quorate/adapters.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.config.section import Section
from quorate.config.sections.mongo import Mongo
from quorate.config.sections.nsq import Nsq
from quorate.config.sections.sqlite import Sqlite


@dataclass(frozen=True, slots=True)
class Adapter:
    section: type[Section]
    sink: str | None = None  # the module whose `make_sink` makes the sink from the section
    source: str | None = None  # the module whose `make_source` makes the source, if the section is `enabled`
    one_host: bool = False  # the sink is for the nodes of one host only


ADAPTERS: dict[str, Adapter] = {
    "sqlite": Adapter(Sqlite, sink="quorate.sinks.sqlite", one_host=True),
    "mongo": Adapter(Mongo, sink="quorate.sinks.mongo.sink"),
    "nsq": Adapter(Nsq, source="quorate.ingest.nsq.source"),
}


def sink_names() -> list[str]:
    return [name for name, adapter in ADAPTERS.items() if adapter.sink is not None]
