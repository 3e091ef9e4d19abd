"""[mongo]: where the MongoDB is that tallies are written to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from quorate.config.section import Section, about


class Mongo(Section, frozen=True):
    url: Annotated[str, about("mongodb:// address, with the password if there is one", secret=True, scope="alike")] = (
        "mongodb://127.0.0.1:27017"
    )
    url_file: Annotated[str, about("file that holds mongo.url", path=True)] = ""
    database: Annotated[str, about("database of the polls", min_length=1, max_length=63, scope="alike")] = "ballots"
    collection: Annotated[str, about("collection of the polls", min_length=1, max_length=120, scope="alike")] = "polls"
    poll_refresh_s: Annotated[
        int, about("seconds between two looks for polls inserted by hand", ge=1, le=86_400, scope="alike")
    ] = 60

    def problems(self) -> Iterator[str]:
        if not self.url.startswith(("mongodb://", "mongodb+srv://")):
            yield "mongo.url must begin with mongodb:// or mongodb+srv://"
        authority, _, path = self.url.partition("://")[2].partition("?")[0].partition("/")
        if "@" in path or authority.count("@") > 1:
            yield "mongo.url: in the user's name and password write @ as %40, / as %2F and : as %3A"
