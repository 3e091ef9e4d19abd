"""One file for whoever helps: what was found, what the nodes say of themselves, settings, and the end of a log.

No secret is in it: nodes show their settings without them, our own are shown the same way, and log lines never have
any. It is for the eyes of its owner alone at first (mode 0600), because names of hosts, polls and producers are in it.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from quorate import __version__
from quorate.doctor.finding import Finding
from quorate.doctor.nodes import NodeAnswers
from quorate.own_files import open_own

LOG_END_BYTES = 1024 * 1024


def write_bundle(
    file: Path,
    findings: Sequence[Finding],
    answers: Sequence[NodeAnswers],
    settings: Mapping[str, Any],
    log: Path | None,
) -> None:
    """Write a tar.gz. `file` must not be there yet (`FileExistsError`); if it cannot be whole, it is removed again."""
    opened = os.fdopen(open_own(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    try:
        with opened, tarfile.open(fileobj=opened, mode="w:gz") as tar:
            for name, data in _contents(findings, answers, settings, log):
                about = tarfile.TarInfo(f"quorate-doctor/{name}")
                about.size, about.mtime, about.mode = len(data), int(time.time()), 0o600
                tar.addfile(about, io.BytesIO(data))
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def _contents(
    findings: Sequence[Finding], answers: Sequence[NodeAnswers], settings: Mapping[str, Any], log: Path | None
) -> Iterator[tuple[str, bytes]]:
    yield "findings.json", _json({"quorate": __version__, "time": time.time(), "findings": findings})
    if settings:
        yield "settings.json", _json(settings)
    if log is not None and log.is_file():
        yield "node.log", _end_of(log)
    for number, each in enumerate(answers, 1):
        folder = f"nodes/{number}"
        yield f"{folder}/status.json", _json({"url": each.url, "failed": each.failed, **each.status})
        yield f"{folder}/nodes.json", _json(list(each.nodes))
        yield f"{folder}/readyz.txt", each.ready.encode()
        yield f"{folder}/metrics.txt", each.metrics.encode()


def _json(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2)


def _end_of(log: Path) -> bytes:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_END_BYTES))
        return file.read(LOG_END_BYTES)
