"""Options that people add to the document of a poll which the cluster writes: the one thing that is input there.

What a document says else is output, and is written over. So that an addition is not written over before anybody has
seen it, each write keeps the texts that stand among the stored options and are none of the poll's. The leader finds
them, and proposes them; then they are the poll's. So of an option that is renamed there, the old name comes back and
the new one is added. Whatever is no text is no option, and is written over.

A write-in poll counts every option anyway, so nothing is kept there. Neither is it in a document that this cluster took
over from another one and has not written yet: those options were never added to anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.vote import normal_form


def texts_in(stored: object) -> list[str]:
    """The texts of a stored list, each once; of anything else, none."""
    return list(dict.fromkeys(o for o in stored if isinstance(o, str))) if isinstance(stored, list) else []


def added_options(stored: object, known: Sequence[str]) -> list[str]:
    """The texts among the stored options that are none of the known ones in any spelling, in their order."""
    texts = texts_in(stored)
    if texts == known:
        return []
    ours = set(known)
    return [text for text in texts if normal_form(text) not in ours]
