"""From the bodies of POST /polls and PATCH /polls/ID to commands that can be proposed.

Texts are brought to their normal form here, and every limit is checked, in words. Times are RFC 3339 with an offset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import UNSET, UnsetType

from quorate.cluster.entry import ChangePoll, CreatePoll, State
from quorate.errors import Invalid, TooLarge
from quorate.http.json_body import reader
from quorate.http.vote_body import form_of
from quorate.vote import (
    ID_BYTES_MAX,
    OPTION_BYTES_MAX,
    OPTION_TEXT_PER_POLL_BYTES_MAX,
    OPTIONS_PER_POLL_MAX,
    TITLE_BYTES_MAX,
    YEAR_9999_MS,
    check_name,
)
from quorate.words import count

MERGE_PATCH = "application/merge-patch+json"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_IN_ADDRESSES = (".", "..")  # clients resolve these before they send the request

_REMOVING = "an option is never taken away, since its votes would be lost; close the poll, and create one without it"
_RENAMING = (
    "an option is never renamed, since its votes would count for what nobody chose; add the new one as an option"
)
NEVER_CHANGES = {  # what people try to change, and why it stays
    "id": "a poll keeps its id; create another poll",
    "options": "options are only added: give the new ones as add_options. Those that are there keep their votes",
    **dict.fromkeys(("remove", "remove_options", "delete_options"), _REMOVING),
    **dict.fromkeys(("rename", "rename_options"), _RENAMING),
    "write_ins": "whether any option counts is decided when the poll is created",
    "state": "POST /polls/ID/state moves a poll along",
    "results": "results are counted, never set",
}


class NewPoll(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    options: list[str] = []
    title: str = ""
    state: State = "open"
    closes_at: datetime | None = None
    write_ins: bool = False


class PollEdit(msgspec.Struct, forbid_unknown_fields=True):
    """A field that is not given stays. A `closes_at` of null takes the closing time away."""

    title: str | UnsetType = UNSET
    add_options: list[str] = []
    closes_at: datetime | UnsetType | None = UNSET


_decode_poll = reader(NewPoll)
_decode_edit = reader(PollEdit)
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def read_poll(body: bytes, content_type: str) -> CreatePoll:
    """The command of a new poll. Raises `Invalid` or `TooLarge`, which say what is wrong with the definition."""
    if form_of(content_type) != "json":
        raise Invalid("a poll is one JSON object; send application/json")
    try:
        poll = _decode_poll(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{error}. A poll has id, title, options, state, closes_at, write_ins") from None
    with _about("id"):
        id = check_name(poll.id, "id", ID_BYTES_MAX)
        if "/" in id or id in NOT_IN_ADDRESSES:
            raise Invalid("id stands in addresses: it cannot have a slash, nor be a dot or two")
    if poll.state == "archived":
        raise Invalid("a new poll cannot be archived; give draft, open or closed")
    title = _read_title(poll.title or id)
    return CreatePoll(id, title, _read_options(poll), poll.state, _read_time(poll.closes_at), poll.write_ins)


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Errors say which field they are about, for programs that show them there."""
    try:
        yield
    except (Invalid, TooLarge) as error:
        error.fields.setdefault("field", field)
        raise


def _read_title(title: str) -> str:
    with _about("title"):
        return check_name(title, "title", TITLE_BYTES_MAX)


@_about("options")
def _read_options(poll: NewPoll) -> list[str]:
    if len(poll.options) < 2 and not poll.write_ins:
        raise Invalid(f"{count(len(poll.options), 'option')}; a poll needs at least 2, or write_ins")
    return _check_options(poll.options)


def _check_options(texts: Sequence[str]) -> list[str]:
    """The options in their normal form."""
    if len(texts) > OPTIONS_PER_POLL_MAX:
        raise TooLarge(
            f"{count(len(texts), 'option')}; the limit is {OPTIONS_PER_POLL_MAX:,}", limit=OPTIONS_PER_POLL_MAX
        )
    options = [check_name(option, f"option {place}", OPTION_BYTES_MAX) for place, option in enumerate(texts)]
    if len(set(options)) < len(options):
        [(option, _)] = Counter(options).most_common(1)
        raise Invalid(f"option {option!r} stands there twice")
    size = sum(len(option.encode()) for option in options)
    if size > OPTION_TEXT_PER_POLL_BYTES_MAX:
        limit = OPTION_TEXT_PER_POLL_BYTES_MAX
        raise TooLarge(f"the options have {size:,} bytes of text together; the limit is {limit:,}", limit=limit)
    return options


def read_edit(poll_id: str, body: bytes, content_type: str) -> ChangePoll:
    """The command that changes a poll. Raises `Invalid` or `TooLarge`, which say what cannot be changed, and why."""
    # RFC 7396's type is fine too: a field that is not given stays, and null takes the closing time away.
    if MERGE_PATCH not in content_type.lower() and form_of(content_type) != "json":
        raise Invalid("a change is one JSON object; send application/json")
    try:
        for name in _decode_fields(body):
            if name in NEVER_CHANGES:
                raise Invalid(f"{name}: {NEVER_CHANGES[name]}", field=name)
        edit = _decode_edit(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"{error}. Of a poll, title and closes_at can be changed, and add_options adds to it") from None
    title = None if edit.title is UNSET else _read_title(edit.title)
    with _about("options"):
        options = _check_options(edit.add_options)
    if edit.closes_at is UNSET:
        if title is None and not options:
            raise Invalid("there is nothing to change; give title, add_options or closes_at")
        return ChangePoll(poll_id, title, options, False, None)
    return ChangePoll(poll_id, title, options, True, _read_time(edit.closes_at))


@_about("closes_at")
def _read_time(closes_at: datetime | None) -> int | None:
    if closes_at is None:
        return None
    if closes_at.tzinfo is None:
        raise Invalid("closes_at has no offset from UTC; write 2030-01-31T12:00:00Z")
    closes_at_ms = (closes_at - EPOCH) // timedelta(milliseconds=1)  # `timestamp` is a float, and may be one too low
    if closes_at_ms > YEAR_9999_MS:  # possible with an offset west of UTC
        raise Invalid("closes_at is after 9999-12-31T23:59:59Z; give an earlier time, or none")
    return closes_at_ms
