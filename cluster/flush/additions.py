"""Options that people added to the documents of polls in one sink, on their way into the polls.

A document of a poll is output, but for its options: what is added there is added to the poll. The leader proposes it in
its own leadership. A proposal that is lost, or comes late, does no harm: an option that is there is no change. Options
are never taken away or renamed: the next write puts them back. What cannot be an option is told once and stays where it
is.

On the flusher's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from quorate.cluster.entry import ChangePoll
from quorate.cluster.flush.imports import Import, Imported
from quorate.cluster.fsm import PollView
from quorate.errors import QuorateError
from quorate.sinks.added_options import added_options
from quorate.sinks.importable import ImportableSink
from quorate.vote import OPTION_BYTES_MAX, OPTION_TEXT_PER_POLL_BYTES_MAX, OPTIONS_PER_POLL_MAX, check_name
from quorate.words import count

Known = Callable[[Sequence[str]], Mapping[str, PollView]]  # those of these polls that the cluster has
Add = Callable[[Sequence[ChangePoll]], Sequence[Imported]]

log = logging.getLogger(__name__)


class Additions:
    """`known` and `add` ask the cluster, on the loop."""

    def __init__(self, sink: ImportableSink, known: Known, add: Add) -> None:
        self._sink, self._known, self._add = sink, known, add

    def take_in(
        self, sizes: Mapping[str, int], cluster_id: str, problems: dict[str, str], timeout_s: float
    ) -> Sequence[str]:
        """Add what was added there. `sizes` says how many options each poll has. Returns the polls whose documents
        have to be written again. Polls whose additions make no sense are put into `problems`.

        Raises what the sink and the proposals raise.
        """
        stored = self._sink.find_longer(sizes, cluster_id, timeout_s=timeout_s)
        known = self._known(list(stored)) if stored else {}
        again, changes = [], list[ChangePoll]()
        for id, poll in known.items():
            added = added_options(stored[id], poll.options)
            try:
                wanted = list(dict.fromkeys(check_name(text, "an added option", OPTION_BYTES_MAX) for text in added))
            except QuorateError as senseless:
                problems[id] = f"an option was added there that cannot be one: {senseless.detail}"
                continue
            if not wanted:
                again.append(id)  # it has other spellings, or things that are no texts
            elif problem := _obstacle(poll, wanted):
                problems[id] = problem
            else:
                changes.append(ChangePoll(id, None, wanted, False, None))
        return [*again, *self._propose(changes, problems)]

    def _propose(self, changes: Sequence[ChangePoll], problems: dict[str, str]) -> list[str]:
        again = []
        for change, added in zip(changes, self._add(changes) if changes else (), strict=True):
            if added.outcome is Import.REFUSED:
                problems[change.id] = f"options were added there, and the cluster refuses them: {added.detail}"
                continue
            again.append(change.id)
            if added.outcome is Import.CHANGED:
                names = ", ".join(map(repr, change.add_options[:5]))
                more = "" if len(change.add_options) <= 5 else f" and {len(change.add_options) - 5:,} more"
                log.info("poll %r has the options that were added in %s: %s%s", change.id, self._sink.name, names, more)
        return again


def _obstacle(poll: PollView, wanted: Sequence[str]) -> str | None:
    """Why a poll never takes these options. What stays there is found by every search, and is not proposed each time.

    An entry that is too long for the log would hold up the flush.
    """
    if poll.state == "archived":
        return "options were added there, and an archived poll changes no more"
    if len(poll.options) + len(wanted) > OPTIONS_PER_POLL_MAX:
        return f"{count(len(wanted), 'option')} were added there; a poll has at most {OPTIONS_PER_POLL_MAX:,}"
    if len("".join([*poll.options, *wanted]).encode()) > OPTION_TEXT_PER_POLL_BYTES_MAX:
        limit = f"{OPTION_TEXT_PER_POLL_BYTES_MAX:,} bytes of text together"
        return f"with the options that were added there, the poll's options are over {limit}"
    return None
