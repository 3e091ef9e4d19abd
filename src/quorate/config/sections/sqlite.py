"""[sqlite]: the file that tallies are written to."""

from __future__ import annotations

from typing import Annotated

from quorate.config.section import Section, about


class Sqlite(Section, frozen=True):
    path: Annotated[
        str, about("the SQLite file, one for all nodes of this host", path=True, min_length=1, scope="alike")
    ] = "data/ballots.db"

    shared: Annotated[
        bool,
        about("all nodes have this very file, on one host, though their addresses differ, as those of containers"),
    ] = False
