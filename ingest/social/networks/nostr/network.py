"""Nostr: the notes (kind 1) of several relays at once, over WebSockets. It needs no account.

It is lossy, though gaps are filled: relays keep what they like and send as much of it as they like, and when a note was
written is its author's word. The id of a note is the hash of it, so a note of several relays counts once. The author's
signature is not checked: a relay could make up notes, so ask relays that you trust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from quorate.errors import ConfigError
from quorate.ingest.social.network import Inlet, Positions
from quorate.ingest.social.networks.nostr.relay import NostrRelay, SeenNotes
from quorate.ingest.social.networks.nostr.subscriptions import left_out_of
from quorate.ingest.social.reading.companion import Companion
from quorate.ingest.social.reading.kept_position import position_in_words

LOOK_S = 0.2  # how soon a relay's thread that failed is noticed


class Nostr:
    """`urls`: relays. `by_tags`: only notes with the options' hashtags are asked for, and not all notes."""

    name = "nostr"
    source = ""  # each relay has a position of its own
    promise: Literal["lossy"] = "lossy"
    keeps = "gaps are filled from what the relays keep"

    def __init__(self, urls: Sequence[str], *, by_tags: bool = False) -> None:
        self._urls, self._by_tags = urls, by_tags
        self._relays: list[NostrRelay] = []
        self._seen, self._told = -1, ""

    @property
    def rests(self) -> str:
        """See `MayRest`. All relays are asked for the same."""
        return next(iter(relay.rest.why for relay in self._relays), "")

    def figures(self) -> Mapping[str, float]:
        return {"forged_notes": sum(relay.forged for relay in self._relays)}

    def run(self, inlet: Inlet, positions: Positions) -> None:
        seen = SeenNotes()
        with position_in_words():
            begins = [(url, int(positions.get(url) or 0)) for url in self._urls]
        self._relays = [NostrRelay(url, inlet, seen, begin, by_tags=self._by_tags) for url, begin in begins]
        companions = [Companion(relay.url, relay.run, lambda: None) for relay in self._relays]
        for companion in companions:
            companion.start()
        try:
            while True:
                inlet.pause(LOOK_S)
                for companion in companions:
                    companion.check()
                self._check_refusals()
                self._check_options(inlet)
        finally:
            for relay in self._relays:
                relay.close()
            for companion in companions:
                companion.join()

    def _check_options(self, inlet: Inlet) -> None:
        terms = inlet.terms
        if not self._by_tags or terms.version == self._seen:
            return
        self._seen = terms.version
        left_out = left_out_of(terms.texts)
        if left_out and left_out != self._told:
            inlet.lost(f"{left_out}; without --feed hashtags all notes are read")
        self._told = left_out

    def _check_refusals(self) -> None:
        """Where no relay lets us read, and none ever did, a person must choose others."""
        if all(relay.refusal and not relay.was_connected for relay in self._relays):
            why = "; ".join(f"{relay.url}: {relay.refusal}" for relay in self._relays)
            raise ConfigError(f"no relay can be read ({why}); give others by --url, or --feed hashtags")
