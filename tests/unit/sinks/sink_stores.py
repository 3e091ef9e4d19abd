"""The database behind a sink, as people use it: what conformance tests insert, edit and delete there by hand."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from quorate.sinks.checkable import CheckableSink
from quorate.sinks.deletable import DeletableSink
from quorate.sinks.importable import ImportableSink
from quorate.sinks.sqlite import SqliteSink


class DocumentSink(ImportableSink, CheckableSink, DeletableSink, Protocol):
    """A sink that keeps documents: it can do all that a sink can."""


class Store(Protocol):
    def sink(self) -> DocumentSink:
        """A sink on this store, as another process would open it."""
        ...

    def insert(self, id: str, **fields: Any) -> None: ...

    def edit(self, id: str, **fields: Any) -> None: ...

    def add_field(self, id: str, name: str, value: str) -> None:
        """Add a field that is not one of a poll's, as people do."""
        ...

    def delete(self, id: str) -> None: ...

    def empty(self) -> None:
        """Remove everything, as people do who want to start anew. The store stays usable."""
        ...

    def stored(self, id: str) -> dict[str, Any] | None:
        """The stored document: every field that people would see, with options and results as values."""
        ...

    def close(self) -> None: ...


class SqliteStore:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._sinks: list[SqliteSink] = []

    def sink(self) -> SqliteSink:
        self._sinks.append(SqliteSink(self.path))
        return self._sinks[-1]

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self.path, timeout=10)) as db, db:
            db.row_factory = sqlite3.Row
            return db.execute(statement, values).fetchall()

    def insert(self, id: str, **fields: Any) -> None:
        self.sink().read(timeout_s=10)  # makes the tables
        row = {"id": id, **_as_json(fields)}
        self.run(f"insert into polls ({', '.join(row)}) values ({', '.join('?' * len(row))})", list(row.values()))

    def edit(self, id: str, **fields: Any) -> None:
        row = _as_json(fields)
        self.run(f"update polls set {', '.join(f'{name} = ?' for name in row)} where id = ?", [*row.values(), id])

    def add_field(self, id: str, name: str, value: str) -> None:
        self.run(f"alter table polls add column {name} text")
        self.edit(id, **{name: value})

    def delete(self, id: str) -> None:
        self.run("delete from polls where id = ?", [id])

    def empty(self) -> None:
        self.run("delete from polls")
        self.run("delete from written")
        self.run("delete from creations")

    def stored(self, id: str) -> dict[str, Any] | None:
        for row in self.run("select * from polls where id = ?", [id]):
            fields = dict(row)
            return {**fields, "options": json.loads(fields["options"]), "results": json.loads(fields["results"])}
        return None

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def _as_json(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: json.dumps(v) if k in ("options", "results") else v for k, v in fields.items()}
