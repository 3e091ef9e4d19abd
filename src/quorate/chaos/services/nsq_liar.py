"""Lies of an nsqd about messages: it delivers them twice, or does not hear that they are finished."""

from __future__ import annotations

import struct

from quorate.chaos.services.lying import FRAME_BYTES_MAX, Liar, LyingConnection

DOUBLES, REQUEUES, TIMES_OUT = "doubles messages", "requeues what is finished", "does not hear that it is finished"
MAGIC_BYTES = 4
NOTHING = b"-"  # no command of NSQ
WITH_BODY = frozenset((b"IDENTIFY", b"AUTH", b"PUB", b"DPUB", b"MPUB"))
MESSAGE = 2  # the kind of a frame
_size = struct.Struct(">i")
_frame_head = struct.Struct(">ii")


class NsqdConversation(LyingConnection):
    async def forth(self) -> None:
        await self.to_server(await self.client_reader.readexactly(MAGIC_BYTES))
        while True:
            line = await self.client_reader.readuntil(b"\n")
            command, *arguments = line.split()
            if command in WITH_BODY:
                head = await self.client_reader.readexactly(_size.size)
                line += head + await self.client_reader.readexactly(_checked(_size.unpack(head)[0]))
            elif command == b"FIN" and self.liar.lie in (REQUEUES, TIMES_OUT):
                line = _other_end(self.liar.lies_now(), arguments[0]) or line
                if line == NOTHING:
                    continue
            await self.to_server(line)

    async def back(self) -> None:
        while True:
            head = await self.server_reader.readexactly(_frame_head.size)
            size, kind = _frame_head.unpack(head)
            frame = head + await self.server_reader.readexactly(_checked(size - _size.size))
            doubled = kind == MESSAGE and self.liar.lie == DOUBLES and self.liar.lies_now()
            await self.to_client(frame * 2 if doubled else frame)


class NsqdLiar(Liar):
    lies = frozenset((DOUBLES, REQUEUES, TIMES_OUT))
    connection = NsqdConversation


def _other_end(lie: str, id: bytes) -> bytes:
    """What is sent in the place of FIN. Empty: FIN itself."""
    if lie == REQUEUES:
        return b"REQ %b 0\n" % id
    return NOTHING if lie == TIMES_OUT else b""


def _checked(size: int) -> int:
    if not 0 <= size <= FRAME_BYTES_MAX:
        raise ValueError("no frame of nsqd")
    return size
