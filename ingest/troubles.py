"""The troubles of one source: each is logged once, when it begins or changes, and not again at every retry."""

from __future__ import annotations

import logging

log = logging.getLogger(__name__)


class Troubles:
    def __init__(self, source: str) -> None:
        self._source = source
        self._present: dict[str, str] = {}
        self.last = ""  # it stays when the trouble is over: `/status` shows it

    def note(self, subject: str, trouble: str) -> bool:
        """Say what troubles `subject`, or "" when nothing does any more. The answer is whether that is news."""
        before = self._present.pop(subject, "")
        if trouble:
            self._present[subject] = self.last = trouble
            if trouble != before:
                log.warning("%s: %s", self._source, trouble)
        return trouble != before
