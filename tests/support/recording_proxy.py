"""A proxy before a node's door for Redis clients, which keeps what clients send and what they are answered."""

from __future__ import annotations

import asyncio
import re
import threading

from quorate.processes.ports import free_ports

HOST = "127.0.0.1"
READ_BYTES = 65_536
ERROR = re.compile(rb"^-[A-Z]+ .*$", re.M)


class RecordingProxy:
    def __init__(self, target: int) -> None:
        self._target = target
        (self.port,) = free_ports(1)
        self.sent, self.answered = bytearray(), bytearray()
        self._server: asyncio.Server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> RecordingProxy:
        self._thread.start()
        starting = asyncio.start_server(self._serve, HOST, self.port)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        """A connection may still be open, and what passes its bytes on must not outlive the loop."""
        self._server.close()
        passing = asyncio.all_tasks() - {asyncio.current_task()}
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)

    @property
    def errors(self) -> list[str]:
        """The answers that are errors."""
        return [line.decode().strip() for line in ERROR.findall(self.answered)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_node, to_node = await asyncio.open_connection(HOST, self._target)
        await asyncio.gather(_pass(reader, to_node, self.sent), _pass(from_node, writer, self.answered))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: bytearray) -> None:
    try:
        while piece := await reader.read(READ_BYTES):
            record += piece
            writer.write(piece)
    except OSError:
        return
    finally:
        writer.close()
