"""Bugs of what the leader writes into a sink."""

from __future__ import annotations

from quorate.cluster.flush.leadership import Leadership
from quorate.sinks import fencing, sqlite_rows
from tests.mutants.planting import Change, Mutant

ADD = """\
if verdict in MAY_WRITE:
    where = (id(db), db.execute("pragma database_list").fetchone()[2])
    told = globals().setdefault("_told", {}).setdefault(where, {})
    before = told.get(document.id, {})
    told[document.id] = dict(document.results)
    row_now = db.execute("select results from polls where id = ?", (document.id,)).fetchone()
    stored_now = _parse(row_now[0]) if row_now else {}
    added = {o: stored_now.get(o, 0) + n - before.get(o, 0) for o, n in document.results.items()}
    document = __import__("dataclasses").replace(document, results=added)"""

AGAIN = """\
late, self._late = getattr(self, "_late", ()), documents
outcomes = self._sink.write(documents, fence, self._cluster_id, timeout_s=self._left_s())
if late:
    self._sink.write(late, fence, self._cluster_id, timeout_s=self._left_s())"""

NO_VERSION = ("Fence(self.generation, self.term, copied.version)", "Fence(self.generation, self.term, 0)")

MUTANTS = (
    Mutant(
        "inc-flush",
        "A flush adds to the stored totals what came since the last one of this process, as `$inc` would.",
        (Change(sqlite_rows.write, "if verdict in MAY_WRITE:", ADD),),
    ),
    Mutant(
        "no-fence",
        "A leader that was deposed still writes over the tallies of its successor.",
        (Change(fencing.judge, "return WriteOutcome.NEWER", "return WriteOutcome.WRITTEN"),),
    ),
    Mutant(
        "older-totals-under-an-equal-fence",
        "A fence has no version, and a write that comes late puts older totals back under an equal one.",
        (
            Change(Leadership.flush, *NO_VERSION),
            Change(fencing.judge, "return WriteOutcome.SAME", "return WriteOutcome.WRITTEN"),
            Change(
                Leadership._write,
                "outcomes = self._sink.write(documents, fence, self._cluster_id, timeout_s=self._left_s())",
                AGAIN,
            ),
        ),
    ),
)
