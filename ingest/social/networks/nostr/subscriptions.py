"""What is asked of a relay: the live subscription, and the pages of what it had stored meanwhile.

A relay sends stored events newest first, and no more of them than it likes (NIP-01, NIP-67). So after the first ones
the next page is asked for, up to the oldest event that came, until a page brings nothing new. Only then is all of the
gap there, and the place may move.

`created_at` is the author's word, and events reach relays late. So more is asked for than the gap: `OVERLAP_S` before
it. What comes twice counts once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from quorate.ingest.social.networks.nostr.events import NOTE, NostrEvent, close, request
from quorate.shown import name
from quorate.words import count

LIVE, STORED = "live", "stored"
OVERLAP_S = 15 * 60
TAGS_A_FILTER = 200
TAGS_MAX = TAGS_A_FILTER * 10
PAGE_MAX = 100_000  # notes; relays send some hundreds or thousands


def hashtags_of(texts: Sequence[str]) -> list[str]:
    """As many as can be asked for. `New York` is looked for as `newyork`, as authors' programs write tags (NIP-24)."""
    return list(dict.fromkeys(filter(None, map(_hashtag, texts))))[:TAGS_MAX]


def left_out_of(texts: Sequence[str]) -> str:
    """Of which options no hashtag is asked for, for people; "" if there are none."""
    without = [text for text in texts if not _hashtag(text)]
    if without:
        return f"{count(len(without), 'option')} can be no hashtag, as {name(without[0])}"
    tags = len(set(map(_hashtag, texts)))
    return f"there are {count(tags, 'hashtag')}, and {TAGS_MAX:,} can be asked for" if tags > TAGS_MAX else ""


def _hashtag(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum() or char == "_")


class EndlessPage(Exception):
    """What the relay has stored does not end."""


class Subscriptions:
    """The messages to send, and what has come. `tags` None: all notes. `since_s`: from when on; 0: from now."""

    def __init__(self, tags: Sequence[str] | None, since_s: int, now_s: int) -> None:
        self._tags, self._since_s = tags, since_s or now_s
        self.is_caught_up = not since_s
        self._page: set[str] = set()  # ids
        self._known: set[str] = set()  # ids of all pages before it
        self._oldest_s = 2**62  # some notes are dated in the future
        self._is_behind_oldest = False  # the page is asked for what is older than the oldest

    def begin(self) -> str:
        return request(LIVE, list(self._filters()))

    def change_tags(self, tags: Sequence[str], now_s: int) -> str:
        """The same subscription, asked for anew: the relay replaces it (NIP-01)."""
        self._tags = tags
        if self.is_caught_up:
            self._since_s = now_s - OVERLAP_S
        return request(LIVE, list(self._filters()))

    def heard(self, event: NostrEvent) -> None:
        """Raises `EndlessPage`."""
        if not self.is_caught_up and event.created_at >= self._since_s:  # what is older was not asked for
            self._page.add(event.id)
            self._oldest_s = min(self._oldest_s, event.created_at)
            if len(self._page) > PAGE_MAX:
                raise EndlessPage

    def stored_ends(self, subscription: str, *, is_all: bool) -> tuple[list[str], bool]:
        """The messages to send now, and whether something may be missing: of more events of one second than a relay
        sends at once, the rest cannot be asked for."""
        if self.is_caught_up:
            return [], False
        fresh = self._page - self._known
        self._known |= self._page
        self._page = set()
        messages = [close(STORED)] if subscription == STORED else []
        is_cut = bool(fresh) and self._is_behind_oldest
        if is_all or not (fresh or self._known) or (not fresh and self._is_behind_oldest):
            self.is_caught_up = True
            self._known = set()
            return messages, False
        self._is_behind_oldest = not fresh
        until_s = self._oldest_s - self._is_behind_oldest
        return [*messages, request(STORED, list(self._filters(until_s)))], is_cut

    def _filters(self, until_s: int | None = None) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"kinds": [NOTE], "since": self._since_s}
        if until_s is not None:
            asked["until"] = until_s
        if self._tags is None:
            yield asked
            return
        for at in range(0, len(self._tags), TAGS_A_FILTER):
            yield {**asked, "#t": list(self._tags[at : at + TAGS_A_FILTER])}
