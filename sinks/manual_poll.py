"""Whether a document that people put into a sink by hand makes sense as a poll.

People write what databases allow: counts as doubles, options with stray spaces, no results at all. What can only have
one meaning is taken. Everything else is `Unreadable`, with the reason in words, and the document is left alone.
"""

from __future__ import annotations

from typing import Literal

from quorate.errors import QuorateError
from quorate.sinks.importable import ManualPoll, Unreadable
from quorate.vote import (
    ID_BYTES_MAX,
    OPTION_BYTES_MAX,
    OPTION_TEXT_PER_POLL_BYTES_MAX,
    OPTIONS_PER_POLL_MAX,
    TITLE_BYTES_MAX,
    TOTAL_MAX,
    check_name,
)
from quorate.words import count


class _Senseless(Exception):
    """Why it is no poll."""


def read_manual_poll(
    id: object, title: object, options: object, results: object, state: object
) -> ManualPoll | Unreadable:
    """Each field as the sink stores it; None for a field that is missing."""
    try:
        name = _id(id)
        texts = _options(options)
        return ManualPoll(name, _title(title, name), texts, _results(results, texts), _state(state))
    except (_Senseless, QuorateError) as senseless:
        return unreadable(id, str(senseless))


def unreadable(id: object, why: str) -> Unreadable:
    """An id may be of any type and length: people put it there."""
    return Unreadable(_short(id), why)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= ID_BYTES_MAX else f"{text[:ID_BYTES_MAX]}…"


def _id(id: object) -> str:
    if not isinstance(id, str):
        raise _Senseless(f"its id is of type {type(id).__name__}; give a text")
    if check_name(id, "its id", ID_BYTES_MAX) != id:
        raise _Senseless("its id is not in Unicode's normal form C, so it could never be asked for")
    return id


def _title(title: object, id: str) -> str:
    if title is None or title == "":
        return id
    if not isinstance(title, str):
        raise _Senseless(f"title is of type {type(title).__name__}; give a text")
    return check_name(title, "title", TITLE_BYTES_MAX)


def _state(state: object) -> Literal["draft", "open"]:
    if state is None or state == "open":
        return "open"
    if state == "draft":
        return "draft"
    raise _Senseless(f"state is {_short(state)!r}; a new poll is draft or open")


def _options(options: object) -> list[str]:
    if not isinstance(options, list):
        raise _Senseless("options is no list; give a list of texts")
    if not 2 <= len(options) <= OPTIONS_PER_POLL_MAX:
        raise _Senseless(f"it has {count(len(options), 'option')}; give 2 to {OPTIONS_PER_POLL_MAX:,}")
    texts = [_option(option) for option in options]
    if len(set(texts)) != len(texts):
        raise _Senseless("an option stands there twice")
    if sum(len(text.encode()) for text in texts) > OPTION_TEXT_PER_POLL_BYTES_MAX:
        raise _Senseless(f"its options are over {OPTION_TEXT_PER_POLL_BYTES_MAX:,} bytes of text together")
    return texts


def _option(option: object) -> str:
    if not isinstance(option, str):
        raise _Senseless(f"option {_short(option)!r} is of type {type(option).__name__}; give a text")
    return check_name(option, f"option {_short(option)!r}", OPTION_BYTES_MAX)


def _results(results: object, options: list[str]) -> dict[str, int]:
    counts = dict.fromkeys(options, 0)
    if results is None:
        return counts
    if not isinstance(results, dict):
        raise _Senseless("results is no object; give {option: number}, or leave it out")
    for key, value in results.items():
        option = _option(key)
        if option not in counts:
            raise _Senseless(f"results has {_short(key)!r}, which is no option")
        if counts[option]:
            raise _Senseless(f"results has {_short(key)!r} twice")
        counts[option] = _count(key, value)
    if sum(counts.values()) > TOTAL_MAX:
        raise _Senseless("its results together are above 2^63-1")
    return counts


def _count(option: str, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a shell writes every number as a double
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Senseless(f"the result of {_short(option)!r} is {_short(value)!r}; give a whole number")
    count = int(value)
    if not 0 <= count <= TOTAL_MAX:
        raise _Senseless(f"the result of {_short(option)!r} is {count}; give 0 to 2^63-1")
    return count
