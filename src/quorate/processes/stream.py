"""`quorate stream` as a process, and what it says of itself at its own address."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from quorate.processes.node import QUORATE
from quorate.processes.ports import free_ports
from quorate.processes.process import Process

STATUS_S = 3.0


class StreamProcess(Process):
    """`arguments` are those after `quorate stream`; the address for its status is added. `command` runs it."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        *,
        command: Sequence[str] = QUORATE,
    ) -> None:
        (self.port,) = free_ports(1)
        listening = [*command, "stream", *arguments, "--listen", str(self.port)]
        super().__init__("stream", listening, log, env, cwd)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self) -> dict[str, Any] | None:
        """None if it does not answer."""
        if not self.running:
            return None
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=STATUS_S)) as connection:
            try:
                connection.request("GET", "/status")
                answer = connection.getresponse()
                found: dict[str, Any] = json.loads(answer.read())
                return found if answer.status == 200 else None
            except (OSError, http.client.HTTPException, ValueError):
                return None
