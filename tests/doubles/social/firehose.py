"""A Jetstream of version 2 that has very much to say: so many posts a second, whether its client keeps up or not.

    python -m tests.doubles.social.firehose

It is loaded with a file of posts, as `quorate stream generate` writes it, and begins when it is told to. All messages
are made before. A client that was up to date and falls far behind is sent away as `ConsumerTooSlow`, as Jetstream does
it; one that comes back is sent what it missed from its cursor on, as fast as it takes that.
"""

from __future__ import annotations

import contextlib
import time
from array import array
from pathlib import Path
from typing import Any

import msgspec
from websockets.frames import Frame, Opcode

from tests.doubles.social.double import Double, Request, arguments, serve_for_ever
from tests.doubles.social.jetstream import EVENTS, POSTS, TIMES_FROM, Said, frame_of
from tests.doubles.social.web_socket_answer import ClientGone, WebSocketAnswer

FIRST_SEQ = 1_000
BEHIND_MAX = 200_000  # posts
AT_ONCE = 500
LOOK_S = 0.005


class FirehoseDouble(Double):
    orders = ("load", "begin")

    def __init__(self, *, port: int = 0, behind_max: int = BEHIND_MAX) -> None:
        super().__init__(port=port)
        self._behind_max = behind_max
        self._messages, self._ends = bytearray(), array("Q", [0])
        self._rate, self._began_s = 0.0, 0.0
        self.connections = self.sent_away = 0

    @property
    def url(self) -> str:
        return self.base.replace("http", "ws", 1)

    # ---- what it is told --------------------------------------------------------------------------------------------

    def load(self, file: str, rate: float) -> int:
        """The posts are said so many a second."""
        self._rate, now_us = rate, int(time.time() * 1e6)
        for at, line in enumerate(Path(file).read_bytes().splitlines()):
            post = msgspec.json.decode(line)
            record = {"$type": POSTS, "text": post["text"], "tags": list(post["tags"])}
            did, operation = f"did:plc:{post['author']}", "update" if post["is_edit"] else "create"
            said = Said(FIRST_SEQ + at, now_us + int(at / rate * 1e6), did, post["id"], record, operation)
            data = msgspec.json.encode(frame_of(said))
            self._messages += Frame(Opcode.TEXT, data).serialize(mask=False)
            self._ends.append(len(self._messages))
        return len(self._ends) - 1

    def begin(self) -> None:
        self._began_s = self.clock()

    def seen(self) -> dict[str, Any]:
        numbers = {"said": self._said(), "connections": self.connections, "sent_away": self.sent_away}
        return super().seen() | numbers

    def _said(self) -> int:
        passed_s = self.clock() - self._began_s if self._began_s else 0.0
        return min(len(self._ends) - 1, int(passed_s * self._rate))

    # ---- what a client asks -----------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        if request.path != EVENTS:
            request.reply(404, {"error": "NotFound"})
            return
        cursor = int(request.params.get("cursor", TIMES_FROM))
        with contextlib.suppress(OSError, ClientGone):
            self._serve(request, max(0, cursor - FIRST_SEQ) if cursor < TIMES_FROM else 0)

    def _serve(self, request: Request, at: int) -> None:
        answer, is_live = WebSocketAnswer(request), False
        self.connections += 1
        while True:
            said = self._said()
            if is_live and said - at > self._behind_max:
                self.sent_away += 1
                answer.send('{"$type":"error","error":"ConsumerTooSlow","message":"behind"}')
                answer.close(1008)
                return
            end = min(said, at + AT_ONCE)
            if at < end:
                request.handler.connection.sendall(self._messages[self._ends[at] : self._ends[end]])
            is_live = is_live or end == said
            at = end
            if answer.received(LOOK_S if at == said else 0.0):
                self.blame("it sent a message")


def main() -> None:
    given = arguments(__doc__).parse_args()
    serve_for_ever(FirehoseDouble(port=given.port))


if __name__ == "__main__":
    main()
