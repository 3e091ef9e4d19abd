"""One connection to `statuses/filter`: a signed request whose answer goes on for hours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import TracebackType

import quorate
from quorate.ingest.social.networks.twitter.keys import NAMES, TwitterKeys
from quorate.ingest.social.networks.twitter.messages import Message, MessageReader, Nonsense
from quorate.ingest.social.networks.twitter.track import Track
from quorate.ingest.social.reading.lines import LineCutter, line_batches
from quorate.ingest.social.reading.refusal import StreamRefused
from quorate.web.long_read import LongRead

WORDS = {
    401: f"it does not accept the credentials. Do the four belong together ({', '.join(NAMES)}), and is this machine's"
    " clock right?",
    403: "the account may not use this endpoint",
    404: "there is no statuses/filter at this URL",
    406: "it does not accept a phrase of the track list: too long, too short, or none",
    410: "there is no statuses/filter at this URL any more",
    413: "the track list is longer than this account may ask for; see --track-max",
    420: "too many connects, or more clients with the same credentials than it allows",
    429: "too many connects",
    503: "it is overloaded",
}
MENDABLE = (400, 401, 403, 404, 405, 406, 410, 413, 414, 416)


class FilterStream:
    """`wake` is for any thread, at any time. The request is sent when it is entered, which raises `StreamRefused` or
    `LongReadFailed`."""

    def __init__(self, url: str, keys: TwitterKeys, track: Track, silence_s: float) -> None:
        self.track = track
        self.opened_at_s = 0.0  # monotonic
        self._url, self._silence_s = url, silence_s
        self._read = LongRead(
            "POST",
            url,
            silence_s=silence_s,
            headers={"User-Agent": f"quorate/{quorate.__version__}"},
            data={"track": str(track), "stall_warnings": "true"},
            auth=keys.auth(),
        )

    def __enter__(self) -> FilterStream:
        self._read.__enter__()
        status = self._read.status
        if status != 200:
            headers = self._read.headers
            self.close()
            why = WORDS.get(status, "that is no success")
            raise StreamRefused(f"{self._url} answers {status}: {why}", status, headers, mendable=status in MENDABLE)
        self.opened_at_s = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def messages(self) -> Iterator[list[Message]]:
        """What has come at once, perhaps nothing but a sign of life. Half a message at the end is none; the last one
        may lack its line break."""
        lines, reader = LineCutter(), MessageReader()
        for cut in line_batches(self._read, lines.cut, lambda: lines.ended, line_s=self._silence_s):
            yield [message for line in cut for message in reader.read(line)]
        rest = lines.rest.strip()
        last = list(reader.read(rest + b"\r"))
        yield [] if rest.startswith(b"{") and Nonsense() in last else last

    def wake(self) -> None:
        self._read.wake()

    def close(self) -> None:
        self._read.close()
