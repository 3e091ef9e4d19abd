"""A node as a process of its own: where it is, its settings file, and what it answers over HTTP."""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate import pidfile
from quorate.config import Address, to_toml
from quorate.own_files import open_anew
from quorate.processes.process import Lifeline, Process
from quorate.processes.waiting import wait_for

QUORATE = (sys.executable, "-P", "-m", "quorate")  # -P: a file in the working directory must not hide a module
ANSWER_S = 20.0
LOOK_S = 3.0  # for an answer of a node that is asked again if it does not answer, as one that is paused


class EndedAtStart(Exception):
    """A process that should have become ready ended. The text has the end of its output."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node is: its folder, and the addresses on which it listens."""

    id: str
    folder: Path
    http: Address
    raft: Address
    through: Sequence[str] = ()  # what its command is started by, if it is not on this network
    resp: Address | None = None  # for clients of Redis; None: no door is open for them

    @classmethod
    def local(cls, id: str, folder: Path, http_port: int, raft_port: int, resp_port: int | None = None) -> Place:
        resp = None if resp_port is None else Address("127.0.0.1", resp_port)
        return cls(id, folder, Address("127.0.0.1", http_port), Address("127.0.0.1", raft_port), resp=resp)

    @property
    def config(self) -> Path:
        return self.folder / "quorate.toml"

    @property
    def log(self) -> Path:
        return self.folder / "node.log"

    @property
    def url(self) -> str:
        return f"http://{self.http}"


class NodeProcess(Process):
    """`quorate node --config FILE`, with the file in the node's folder.

    With `settings`, each start writes the file from them; they may be changed between two starts. Without, the file is
    there already. `command` may be another program that takes the arguments of `quorate`.
    """

    def __init__(
        self,
        place: Place,
        settings: Mapping[str, Any] | None = None,
        *,
        command: Sequence[str] = QUORATE,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        lifeline: Lifeline | None = None,
        dies_with_us: bool = True,
        token: str | None = None,
        ca: str | None = None,
    ) -> None:
        self.place = place
        self.token = token  # that `ask` sends
        self.ca = ca  # the file of the authority that `ask` trusts; with it the node speaks TLS
        own = {"node.id": place.id, "node.data": str(place.folder), "log.format": "text"}  # people read its end
        listen = {"http.listen": str(place.http), "raft.listen": str(place.raft)}
        if place.resp is not None:
            listen["resp.listen"] = str(place.resp)
        self.settings: dict[str, Any] = {} if settings is None else {**own, **listen, **settings}
        super().__init__(
            place.id,
            [*command, "node", "--config", str(place.config)],
            place.log,
            env,
            cwd,
            lifeline=lifeline,
            dies_with_us=dies_with_us,
            through=place.through,
        )

    @property
    def id(self) -> str:
        return self.place.id

    @property
    def folder(self) -> Path:
        return self.place.folder

    @property
    def config(self) -> Path:
        return self.place.config

    @property
    def port(self) -> int:
        return self.place.http.port

    @property
    def url(self) -> str:
        return self.place.url if self.ca is None else f"https://{self.place.http}"

    def start(self, *arguments: str) -> None:
        if self.settings:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.write_config()
        super().start(*arguments)

    def write_config(self) -> None:
        with open_anew(self.config) as opened:  # it holds the cluster's key
            opened.write(to_toml(self.settings).encode())

    def holder(self) -> int | None:
        """The process that runs this node now, also if somebody started it by hand."""
        return self.pid or pidfile.running(self.folder)

    # ---- over HTTP --------------------------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, body: bytes = b"", timeout_s: float = ANSWER_S
    ) -> tuple[int, bytes, dict[str, str]]:
        """One request on a connection of its own: status, body, headers in lower case. OSError if nobody answers."""
        host, port = self.place.http.host, self.place.http.port
        with closing(self._connection(host, port, timeout_s)) as connection:
            try:
                headers = {"Content-Type": "application/json"} if body else {}
                if self.token is not None:
                    headers["Authorization"] = f"Bearer {self.token}"
                connection.request(method, path, body or None, headers)
                answer = connection.getresponse()
                return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
            except http.client.HTTPException as error:  # it died while it answered
                raise ConnectionError(f"{self.id}: {error!r}") from error

    def _connection(self, host: str, port: int, timeout_s: float) -> http.client.HTTPConnection:
        if self.ca is None:
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        context = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)

    def get(self, path: str) -> Any:
        """The JSON of a 200 answer; None for any other answer and for no answer."""
        if not self.running:
            return None
        try:
            status, body, _ = self.ask("GET", path, timeout_s=LOOK_S)
        except OSError:
            return None
        return json.loads(body) if status == 200 else None

    def is_ready(self) -> bool:
        if not self.running:
            raise EndedAtStart(f"{self.id} ended at its start\n{self.tail()}")
        try:
            return self.ask("GET", "/readyz", timeout_s=LOOK_S)[0] == 200
        except OSError:
            return False

    def wait_ready(self) -> None:
        wait_for(f"{self.id} is ready", self.is_ready, seen=self.tail)

    def leads(self) -> bool:
        return (self.get("/leader") or {}).get("id") == self.id
