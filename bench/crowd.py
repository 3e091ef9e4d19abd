"""A crowd that follows one poll: thousands of event streams in one process, at some microseconds a message.

    python -m bench.crowd http|resp2|resp3 POLL HOST:PORT... [--subscribers 10000]

It says a line of JSON when all have their first tally. Then it answers the lines that it reads: "begin", and "end" with
what each subscriber saw since. A client of a library could not do that on the cores that the nodes need too. So there
is one call to the system a message here, and a search for the version in what came.
"""

from __future__ import annotations

import argparse
import gc
import select
import socket
import sys
import time
from array import array

import msgspec

AT_ONCE = 100  # subscribers without a tally while more connect: a server's backlog is no longer than some hundred
RECEIVED = 256 * 1024
ALL_THERE_S = 240.0
END = b"\r\n"  # of a chunk of HTTP, and of a message of RESP; JSON has none within
VERSION = b'"version":'  # the last field of a tally


class Seen(msgspec.Struct):
    """`versions` and `moments_s` have an item for each time that a subscriber got something."""

    cpu_s: float  # of this process
    messages: int
    lost: int  # connections that ended
    versions: list[list[int]]  # by subscriber, in their order
    moments_s: list[list[float]]  # on the machine's monotonic clock, which all processes share


class Crowd:
    def __init__(self, form: str, poll: str, places: list[tuple[str, int]], subscribers: int) -> None:
        self._form, self._poll, self._places, self._subscribers = form, poll, places, subscribers
        self._sockets: dict[int, socket.socket] = {}
        self._numbers: dict[int, int] = {}  # of the subscriber, by descriptor
        self._rest: dict[int, bytes] = {}  # of a message that is not complete
        self._epoll = select.epoll()
        self._newest = [0] * subscribers
        self._there = self._lost = 0
        self._refused = ""
        self._begin()

    def connect(self) -> None:
        """Connect all, some at a time, and wait until each has a tally."""
        until_s = time.monotonic() + ALL_THERE_S
        for number in range(self._subscribers):
            self._connect(number)
            self._wait_for(number - AT_ONCE, until_s)
        self._wait_for(self._subscribers, until_s)

    def answer(self) -> None:
        """Follow, and answer what is read, until there is no more to read."""
        stdin = sys.stdin.fileno()
        self._epoll.register(stdin, select.EPOLLIN)
        while True:
            if stdin not in self._look(1.0):
                continue
            order = sys.stdin.readline()
            if order == "begin\n":
                self._begin()
                said = b"{}"
            elif order == "end\n":
                said = msgspec.json.encode(self._seen())
            else:
                return
            sys.stdout.buffer.write(said + b"\n")
            sys.stdout.flush()

    def _begin(self) -> None:
        self._messages = 0
        self._versions = [array("q") for _ in range(self._subscribers)]
        self._moments_s = [array("d") for _ in range(self._subscribers)]
        self._cpu_s = time.process_time()

    def _seen(self) -> Seen:
        cpu_s = time.process_time() - self._cpu_s
        versions, moments_s = [*map(list, self._versions)], [*map(list, self._moments_s)]
        return Seen(cpu_s, self._messages, self._lost, versions, moments_s)

    def _connect(self, number: int) -> None:
        host, port = self._places[number % len(self._places)]
        connection = socket.create_connection((host, port), timeout=10.0)
        connection.sendall(self._request(f"{host}:{port}"))
        connection.setblocking(False)
        self._sockets[connection.fileno()], self._numbers[connection.fileno()] = connection, number
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _request(self, host: str) -> bytes:
        if self._form == "http":
            return f"GET /events?poll={self._poll} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        return f"HELLO {self._form[-1]}\r\nSUBSCRIBE poll:{self._poll}\r\n".encode()

    def _wait_for(self, many: int, until_s: float) -> None:
        while self._there < many:
            self._look(1.0)
            if self._refused or time.monotonic() > until_s:
                raise SystemExit(f"{self._there} of {self._subscribers} subscribers have a tally. {self._refused}")

    def _look(self, timeout_s: float) -> list[int]:
        """Take what has come. Returns the descriptors that had something."""
        ready = [descriptor for descriptor, _ in self._epoll.poll(timeout_s)]
        for descriptor in ready:
            if descriptor not in self._sockets:
                continue
            try:
                data = self._sockets[descriptor].recv(RECEIVED)
            except OSError:
                data = b""
            if data:
                self._take(descriptor, data, time.monotonic())
            else:
                self._lost += 1
                self._epoll.unregister(descriptor)
                self._sockets.pop(descriptor).close()
        return ready

    def _take(self, descriptor: int, data: bytes, now_s: float) -> None:
        if descriptor in self._rest:
            data = self._rest.pop(descriptor) + data
        if not data.endswith(END):
            self._rest[descriptor] = data
            return
        at = data.rfind(VERSION)
        if at < 0:  # a head, or a heartbeat
            if data.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"-")):
                self._refused = data[-300:].decode("utf-8", "replace")
            return
        version, number = int(data[at + len(VERSION) : data.find(b"}", at)]), self._numbers[descriptor]
        assert version >= self._newest[number], "an older tally came after a newer one"
        self._there += not self._newest[number]
        self._newest[number] = version
        self._messages += data.count(VERSION)
        self._versions[number].append(version)
        self._moments_s[number].append(now_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form", choices=("http", "resp2", "resp3"))
    parser.add_argument("poll")
    parser.add_argument("place", nargs="+")
    parser.add_argument("--subscribers", type=int, default=10_000)
    args = parser.parse_args()
    places = [(host, int(port)) for host, _, port in (place.rpartition(":") for place in args.place)]
    crowd = Crowd(args.form, args.poll, places, args.subscribers)
    crowd.connect()
    gc.freeze()
    gc.disable()
    sys.stdout.buffer.write(b"{}\n")
    sys.stdout.flush()
    crowd.answer()


if __name__ == "__main__":
    main()
