"""Commands of Redis' protocol and their replies, over a connection to one node that is kept open.

As over HTTP, whoever asks is told one of three things: the replies, `NeverSent`, or `LostAnswer`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from quorate.chaos.workload.exchange import ANSWER_S, CONNECT_S, AskedNode, LostAnswer, NeverSent
from quorate.chaos.workload.redis_replies import ReplyError, ReplyReader, command

PIECE_BYTES = 64 * 1024


class RedisConnection:
    """For one caller at a time. After a failure the next request opens it anew.

    As a `cluster_client` it speaks RESP3, and asks which nodes there are: so it is sent on to the leader.
    """

    def __init__(self, node: AskedNode, *, cluster_client: bool = False) -> None:
        self.node = node
        self._opening = _opening(node.token, cluster_client=cluster_client)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._replies = ReplyReader()

    async def ask(self, commands: bytes, replies: int, *, timeout_s: float = ANSWER_S) -> list[Any]:
        """As many replies, to commands that are sent together."""
        try:
            await self._open()
        except (OSError, TimeoutError, EOFError, ValueError) as error:
            self.close()
            raise NeverSent(_name(error)) from error
        except BaseException:
            self.close()
            raise
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(commands, replies)
        except TimeoutError:
            self.close()
            raise LostAnswer("timeout") from None
        except (OSError, EOFError, ValueError) as error:
            self.close()
            raise LostAnswer(_name(error)) from error
        except BaseException:
            self.close()
            raise

    async def _open(self) -> None:
        if self._reader is not None and not self._reader.at_eof():
            return
        self.close()
        assert self.node.redis is not None
        async with asyncio.timeout(CONNECT_S):
            host, port = self.node.redis
            self._reader, self._writer = await asyncio.open_connection(host, port, ssl=self.node.tls)
            self._replies = ReplyReader()
            for each in self._opening:
                (told,) = await self._exchange(each, 1)
                if isinstance(told, ReplyError):
                    raise ValueError(told.text)

    async def _exchange(self, commands: bytes, replies: int) -> list[Any]:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(commands)
        told: list[Any] = []
        while len(told) < replies:
            if (reply := self._replies.take()) is not None:
                told.append(reply.value)
            elif piece := await self._reader.read(PIECE_BYTES):
                self._replies.feed(piece)
            else:
                raise EOFError
        return told

    def close(self) -> None:
        """Idempotent."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _opening(token: str | None, *, cluster_client: bool) -> list[bytes]:
    """What is sent before the first command."""
    if cluster_client:
        auth = ("AUTH", "default", token) if token else ()
        return [command("HELLO", 3, *auth), command("CLUSTER", "SLOTS")]
    return [command("AUTH", token)] if token else []


def _name(error: BaseException) -> str:
    return str(error) if type(error) is ValueError else type(error).__name__
