"""A double of a social network as a process of its own: what it is told to do, and what it has seen."""

from __future__ import annotations

import http.client
import json
import re
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quorate.processes.process import Process
from tests.support.checkout import ROOT
from tests.support.waiting import wait_for

ORDER_S = 300.0  # to publish all of a big file


class DoubleProcess(Process):
    """`name` is a module in tests/doubles/social."""

    def __init__(self, name: str, folder: Path) -> None:
        command = [sys.executable, "-m", f"tests.doubles.social.{name}"]
        super().__init__(name, command, folder / f"{name}.txt", cwd=ROOT)
        self.base = ""

    def start(self, *arguments: str) -> None:
        super().start(*arguments)
        found = wait_for("it listens", lambda: re.search(r"listening on (\S+)", self.output()), seen=self.tail)
        self.base = found[1]

    def order(self, name: str, **arguments: object) -> Any:
        return self._ask("POST", f"/double/{name}", json.dumps(arguments))

    def seen(self) -> dict[str, Any]:
        seen: dict[str, Any] = self._ask("GET", "/double")
        return seen

    def _ask(self, method: str, path: str, body: str | None = None) -> Any:
        address = urlsplit(self.base)
        assert address.port is not None
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=ORDER_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
            assert 200 == answer.status, content
            return json.loads(content)
        finally:
            connection.close()
