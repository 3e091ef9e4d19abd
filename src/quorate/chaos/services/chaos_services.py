"""The servers of one run: which are asked for, how each is had, and what the nodes are told of them.

Each is a server whose address is given, or a program on PATH that the run starts, or what a source checkout has for its
tests. Nodes and clients use names of the run's own in them, so that a server that others use as well keeps what is
theirs, and in the end these names are removed.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymongo
import requests
from pymongo.errors import PyMongoError

from quorate.chaos.services import servers
from quorate.chaos.services.checkout import ROOT, NotHad, ScriptedMongo, consul_program, double_of_nsqd
from quorate.chaos.services.consul_liar import ConsulLiar
from quorate.chaos.services.doors import ServiceDoors
from quorate.chaos.services.lying import HOST, Address, Liar
from quorate.chaos.services.mongo_liar import MongoLiar
from quorate.chaos.services.nsq_liar import NsqdLiar
from quorate.chaos.workload.queue_voter import QueuePlace
from quorate.chaos.workload.sink_looks import MongoRows, SinkRows, SqliteRows
from quorate.errors import Invalid
from quorate.processes.node import EndedAtStart
from quorate.processes.waiting import NeverHappened

MONGO, CONSUL, NSQD = SERVICES = ("mongo", "consul", "nsqd")
SHOWN = {MONGO: "MongoDB", CONSUL: "Consul", NSQD: "nsqd"}
PROGRAMS = {MONGO: "mongod", CONSUL: "consul", NSQD: "nsqd"}
ALL_OF_THEM = "all"
PORTS = {MONGO: 27017, CONSUL: 8500, NSQD: 4150}
CANNOT = (NotHad, EndedAtStart, NeverHappened, OSError)
MONGO_MS = 2_000
CHANNEL = "counter"


def read_services(asked: str) -> dict[str, str]:
    """Of `--services`: each server that is asked for, with its address or "". Raises `Invalid`."""
    if asked == ALL_OF_THEM:
        return dict.fromkeys(SERVICES, "")
    found = {}
    for word in filter(None, asked.split(",")):
        name, _, address = word.partition("=")
        if name not in SERVICES:
            raise Invalid(f"{name!r} is none of {', '.join(SERVICES)}")
        if address:
            address_of(name, address)
        found[name] = address
    if not found:
        raise Invalid(f"name some of {', '.join(SERVICES)}, or {ALL_OF_THEM}")
    return found


def address_of(name: str, given: str) -> Address:
    """Raises `Invalid`."""
    parts = urlsplit(given if "//" in given else f"//{given}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("", "mongodb" if name == MONGO else "http"):
        raise Invalid(f"{given!r} is no address of {SHOWN[name]}, as {name}=127.0.0.1:{PORTS[name]}")
    return host, port or PORTS[name]


class ChaosServices:
    """`start` has what can be had, then `missing` says of each other one why. `close` ends what was started."""

    def __init__(self, asked: Mapping[str, str], folder: Path, *, seed: int = 0, host: str = HOST) -> None:
        """`host`: the address of this machine at which the nodes find the doors."""
        self.asked, self._folder, self._host = asked, folder, host
        self.doors = ServiceDoors(seed, host)
        self.missing: dict[str, str] = {}
        self.had: dict[str, str] = {}  # name -> how, in words
        self.name = f"chaos_{secrets.token_hex(4)}"  # of what is ours in servers that others use
        self._settings: dict[str, Any] = {}
        self._mongo_url = ""
        self._consul: Address = ("", 0)
        self._nsqd_http: Address | None = None
        self._ends = ExitStack()

    def start(self) -> None:
        """Call it in the thread that starts the nodes. Raises `NotHad` if a server is not at the address given."""
        self._ends.callback(self.doors.close)
        for name, given in self.asked.items():
            have = {MONGO: self._have_mongo, CONSUL: self._have_consul, NSQD: self._have_nsqd}[name]
            try:
                self.had[name] = have(given)
            except CANNOT as error:
                words = (str(error) or type(error).__name__).splitlines()[0]
                if given:
                    raise NotHad(f"no {SHOWN[name]} answers at {given}") from error
                self.missing[name] = words

    def close(self) -> None:
        """Idempotent."""
        self._ends.close()

    def settings(self) -> dict[str, Any]:
        """What the nodes are told besides."""
        return dict(self._settings)

    def sinks(self, sqlite: Path) -> Sequence[SinkRows]:
        """What a run looks at. The database is asked directly, not through its door."""
        mongo = [MongoRows(self._mongo_url, self.name)] if MONGO in self.had else []
        return [SqliteRows(sqlite), *mongo]

    def queue(self) -> QueuePlace | None:
        if self._nsqd_http is None:
            return None
        return QueuePlace(*self._nsqd_http, topic=self.name, channel=CHANNEL)

    def heal(self) -> None:
        self.doors.heal()

    # ---- each server ------------------------------------------------------------------------------------------------

    def _have_mongo(self, given: str) -> str:
        url, how = given, "given"
        if not given and (program := shutil.which(PROGRAMS[MONGO])) is not None:
            process, (host, port) = servers.start_mongod(program, self._folder / MONGO)
            self._ends.callback(process.close)
            url, how = f"mongodb://{host}:{port}/", program
        elif not given:
            scripted = ScriptedMongo(self._folder / "services")
            self._ends.callback(scripted.close)
            url, how = scripted.start(), "as the tests of this checkout have it"
        parts = urlsplit(url if "//" in url else f"mongodb://{url}")
        address = address_of(MONGO, url)
        if not servers.mongo_answers(address):
            raise NotHad("it does not answer")
        port = self._door(MONGO, address, MongoLiar)
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        query = "&".join(filter(None, (parts.query, "directConnection=true")))
        self._mongo_url = f"mongodb://{parts.netloc}/?{query}"
        self._settings |= {
            "mongo.url": f"mongodb://{user}{self._host}:{port}/?{query}",
            "mongo.database": self.name,
            "flush.sinks": ["sqlite", "mongo"],
        }
        self._ends.callback(self._drop_database)
        return how

    def _have_consul(self, given: str) -> str:
        how, program = "given", shutil.which(PROGRAMS[CONSUL])
        if given:
            address = address_of(CONSUL, given)
        else:
            if (found := program or consul_program()) is None:
                raise NotHad("there is no consul on PATH")
            process, address = servers.start_consul(found, self._folder / CONSUL)
            self._ends.callback(process.close)
            how = found
        if not servers.consul_answers(address):
            raise NotHad("it does not answer")
        self._consul = address
        port = self._door(CONSUL, address, ConsulLiar)
        self._settings |= {
            "consul.address": f"{self._host}:{port}",
            "consul.service": self.name,
            "node.cluster": self.name,
        }
        self._ends.callback(self.forget_entries)
        return how

    def _have_nsqd(self, given: str) -> str:
        how = "given"
        if given:
            host, port = address_of(NSQD, given)
            tcp, http = (host, port), (host, port + 1)
        else:
            program = shutil.which(PROGRAMS[NSQD])
            command, how = ([program], program) if program else (double_of_nsqd(), "the double that the tests have")
            if command is None:
                raise NotHad("there is no nsqd on PATH")
            server = servers.start_nsqd(command, self._folder / NSQD, cwd=None if program else ROOT)
            self._ends.callback(server.close)
            tcp, http = server.address, address_of(CONSUL, server.http)
        if not servers.nsqd_answers(http):
            raise NotHad("it does not answer over HTTP, at the port behind that of TCP")
        self._nsqd_http = http
        port = self._door(NSQD, tcp, NsqdLiar)
        self._settings |= {
            "nsq.nsqd": [f"{self._host}:{port}"],
            "nsq.topic": self.name,
            "nsq.dead_letter": f"{self.name}_dead",
            "nsq.channel": CHANNEL,
        }
        self._ask("POST", http, f"/topic/create?topic={self.name}")
        for topic in (self.name, f"{self.name}_dead"):
            self._ends.callback(self._ask, "POST", http, f"/topic/delete?topic={topic}")
        return how

    def _door(self, name: str, address: Address, liar: Callable[[Address, random.Random], Liar]) -> int:
        return self.doors.add(name, lambda rng: liar(address, rng))

    # ---- what is ours in them ---------------------------------------------------------------------------------------

    def forget_entries(self) -> None:
        """The agent loses the entries of our nodes, as one whose data is lost."""
        entries = self._ask("GET", self._consul, "/v1/agent/services") or {}
        for id, entry in entries.items():
            if entry.get("Service") == self.name:
                self._ask("PUT", self._consul, f"/v1/agent/service/deregister/{id}")

    def _ask(self, method: str, address: Address, path: str) -> Any:
        host, port = address
        with contextlib.suppress(requests.RequestException, ValueError):
            answer = servers.directly().request(method, f"http://{host}:{port}{path}", timeout=servers.ASK_S)
            return answer.json() if answer.ok and answer.content else None
        return None

    def _drop_database(self) -> None:
        client: pymongo.MongoClient[Any] = pymongo.MongoClient(self._mongo_url, serverSelectionTimeoutMS=MONGO_MS)
        with contextlib.suppress(PyMongoError), client:
            client.drop_database(self.name)
