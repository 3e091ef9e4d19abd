"""One attack, in a process of its own that takes a bounded share of one core.

    python -m bench.attackers NAME HOST:PORT... [--cpu 0.25] [--nice 19] [--ca FILE]

An attacker that burns the core that a node needs would show nothing about the node. So this process is as nice as can
be, and starts nothing new while it has used more than its share of the time. Each attack keeps a number of connections
at each address, all of which do the same; one that the node closes is opened again.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import socket
import ssl
import struct
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import uvloop

from bench.attack_list import ATTACKS, Attack
from bench.niceness import set_nice

RECEIVE_BYTES = 16 * 1024  # the system's buffer of somebody who reads nothing or slowly: the node is to hold the rest
DIAL_S = 10.0
DIAL_AGAIN_S = 0.05
RESET = struct.pack("ii", 1, 0)


class Share:
    """Of one core, which this process may take."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._one_waits = asyncio.Lock()
        self._began_s, self._used_s = time.monotonic(), time.process_time()

    async def turn(self) -> None:
        """Wait until this process has used less than its share. What it did not use is lost after a second."""
        async with self._one_waits:  # thousands that look at the clock would use up the share by that alone
            used_s = time.process_time() - self._used_s
            await asyncio.sleep(max(0.0, self._began_s + used_s / self._share - time.monotonic()))
            if time.monotonic() - self._began_s > 1.0:
                self._began_s, self._used_s = time.monotonic(), time.process_time()


class Hostile(asyncio.Protocol):
    """One connection, which does what its attack says until it is closed or leaves."""

    transport: asyncio.Transport

    def __init__(self, attack: Attack, share: Share) -> None:
        self._attack, self._share = attack, share
        self.closed = asyncio.get_running_loop().create_future()
        self._to_read = 0  # bytes that it may still read of an answer, if it reads slowly

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self._attack.reads == 0:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        if self._attack.reads is not None:
            self._to_read -= len(data)
            if self._to_read <= 0:
                self.transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    async def act(self) -> None:
        attack = self._attack
        self.transport.write(attack.first)
        if attack.ends:
            self.transport.write_eof()
        end_s = time.monotonic() + attack.stays_s
        while not self.closed.done() and (left_s := end_s - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.closed), min(attack.every_s, left_s))
            await self._share.turn()
            if not self.transport.is_closing():
                if attack.again and self.transport.get_write_buffer_size() <= len(attack.again):
                    self.transport.write(attack.again)
                if attack.reads:
                    self._to_read = int(attack.reads * attack.every_s)
                    self.transport.resume_reading()
        self.transport.abort()


async def keep_one(attack: Attack, place: tuple[str, int], share: Share, trusts: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await share.turn()
        sock = socket.socket()
        try:
            if attack.reads is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            if attack.resets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.setblocking(False)
            async with asyncio.timeout(DIAL_S):
                await loop.sock_connect(sock, place)
                _, hostile = await loop.create_connection(
                    lambda: Hostile(attack, share),
                    sock=sock,
                    ssl=trusts if attack.speaks_tls else None,
                    server_hostname="localhost" if trusts and attack.speaks_tls else None,
                )
            await hostile.act()
        except (OSError, TimeoutError):
            sock.close()
            await asyncio.sleep(DIAL_AGAIN_S)


async def attack_all(
    attack: Attack, places: Sequence[tuple[str, int]], cpu: float, trusts: ssl.SSLContext | None
) -> None:
    share = Share(cpu)
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait(), name="until this process is killed")
        for _ in range(attack.connections):
            for place in places:
                group.create_task(keep_one(attack, place, share, trusts))
            await asyncio.sleep(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=ATTACKS)
    parser.add_argument("place", nargs="+")
    parser.add_argument("--cpu", type=float, default=0.25, help="of one core")
    parser.add_argument("--nice", type=int, default=19)
    parser.add_argument("--ca", help="speak TLS, and trust this authority")
    args = parser.parse_args()
    set_nice(args.nice)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    places = [(host, int(port)) for host, _, port in (place.rpartition(":") for place in args.place)]
    trusts = ssl.create_default_context(cafile=args.ca) if args.ca else None
    uvloop.run(attack_all(ATTACKS[args.name], places, args.cpu, trusts))


if __name__ == "__main__":
    main()
