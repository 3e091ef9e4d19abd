"""Jetstream's compression: each message is a frame of zstd, made with a dictionary that the server gives to everybody.

It takes a third of the bytes. Whoever asks with a number that the server does not know any more is refused, and fetches
the new one. (Lexicon of getZstdDictionary; the form of a dictionary: RFC 8878, section 5.)
"""

from __future__ import annotations

from quorate.ingest.social.reading.compressed import zstd
from quorate.web.exchange import Closing, exchange
from quorate.web.long_read import LongReadFailed

PATH = "/xrpc/network.bsky.jetstream.getZstdDictionary"
BYTES_MAX = 4 * 1024 * 1024
TIMEOUT_S = 5.0  # the stream waits for it


class Dictionary:
    """`id` is its number."""

    def __init__(self, raw: bytes) -> None:
        """Raises `ValueError` if it is none."""
        try:
            self._dict = zstd.ZstdDict(raw)
        except (zstd.ZstdError, ValueError) as error:
            raise ValueError(str(error)) from None
        self.id = self._dict.dict_id

    def unpack(self, frame: bytes, bytes_max: int) -> bytes:
        """Raises `ValueError` if it is damaged, made with another dictionary, or longer than that."""
        decompressor = zstd.ZstdDecompressor(self._dict)
        try:
            data = decompressor.decompress(frame, bytes_max + 1)
        except zstd.ZstdError as error:
            raise ValueError(str(error)) from None
        if len(data) > bytes_max or not decompressor.eof:
            raise ValueError("longer than a message may be, or cut off")
        return data


def fetch_dictionary(server: str, closing: Closing) -> Dictionary | None:
    """None if the server has none: then messages come as they are. `server` begins with ws:// or wss://."""
    try:
        answer = exchange(
            "GET", server.replace("ws", "http", 1) + PATH, bytes_max=BYTES_MAX, timeout_s=TIMEOUT_S, closing=closing
        )
        return Dictionary(answer.body) if answer.status == 200 else None
    except (LongReadFailed, ValueError):
        return None
