"""Wikimedia's EventStreams: all changes to all wikis, as server-sent events. It needs no account.

It is exact: the server keeps a week or more, and an event's id says where to go on (`place.py`). What it asks of its
clients: a User-Agent with a way to reach whoever runs it, at most two connections from an address (this has one), and
to wait as long as `Retry-After` says. It hangs up every quarter of an hour, so a hang-up is nothing special.
"""

from __future__ import annotations

from typing import Literal

from quorate.errors import ConfigError
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.networks.defaults import WIKIMEDIA_SILENCE_S, WIKIMEDIA_URL
from quorate.ingest.social.networks.wikimedia.place import StreamPlace
from quorate.ingest.social.networks.wikimedia.reading import ChangeReading
from quorate.ingest.social.reading.kept_position import position_in_words
from quorate.shown import without_userinfo

CONTACT_MAX = 200


class WikimediaNetwork:
    """`since_ms`: from when on, if no place is known. `contact`: a URL or an address of whoever runs this."""

    name = "wikimedia"
    promise: Literal["exact"] = "exact"
    keeps = "a week or more"

    def __init__(
        self, url: str = WIKIMEDIA_URL, *, contact: str = "", since_ms: int = 0, silence_s: float = WIKIMEDIA_SILENCE_S
    ) -> None:
        if not contact.isascii() or not contact.isprintable() or len(contact) > CONTACT_MAX or set(contact) & set("()"):
            raise ConfigError(
                f"stream.contact is a URL or a mail address of at most {CONTACT_MAX} characters, without brackets: it"
                " goes into the User-Agent"
            )
        self._url, self._contact, self._since_ms, self._silence_s = url, contact, since_ms, silence_s
        self.source = without_userinfo(url)

    def run(self, inlet: Inlet, positions: Positions) -> None:
        with position_in_words():
            place = StreamPlace.read(positions[""]) if positions.get("") else StreamPlace(self._since_ms)
        reading = ChangeReading(inlet, self._url, self._contact, self._silence_s, place)
        while True:
            reading.read_once()
