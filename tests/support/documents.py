"""What the documents tell a reader to type: shell blocks and their commands, and which of those no test runs so.

`tests/house/test_document_commands.py` reads all of them, and `tests/system/test_document_commands.py` runs all that
NOT_RUN does not name.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.checkout import ROOT, tracked

SHELL = re.compile(r"^```(sh|bash|shell|console)\n(.*?)^```", re.S | re.M)
BETWEEN = {"|", "||", "&&", "&", ";"}
# Commands that the documents show and that are not run as they stand: what they have in them, and why.
NOT_RUN = {
    r"^scripts/|^\.venv/bin/(pytest|mypy|python) |\.venv/bin/pytest": "the tests and benches, or what starts them; "
    "tests/system/test_bootstrap.py and test_story.py run scripts/bootstrap.sh",
    r"^quorate bench ": "load for as long as it says; it asks before; tests/unit/cli/test_cli_bench.py has short runs",
    r"^quorate doctor ": "it judges the machine of the test as well; tests/system/test_doctor.py has its own",
    r"^quorate dev$": "the cluster that all others are run on is one",
    r"^\.venv/bin/quorate chaos ": "five minutes long; tests/system/test_chaos.py has shorter runs",
    r"quorate node |\bdig |/v1/health/": "nodes on hosts of other names, or Consul's port; "
    "all system tests start nodes, and tests/services/test_consul_deploy.py has Consul",
    r"--consul ": "a Consul on its usual port; tests/services/test_consul_discovery.py has one",
    r"nsqd|to_nsq|nsq_to_file|:4151/": "an NSQ on its usual ports; tests/services/nsq has one",
    r"^mongosh ": "MongoDB's shell; tests/services/test_mongo_stream_polls.py does the same by a driver",
    r"quorate stream (wikimedia|bluesky|mastodon|nostr|x|twitter)\b|SP_[A-Z_]+=": "a network outside; "
    "tests/system/test_stream_networks.py has doubles of them",
    r"\.example(:\d+)?\b": "a host that does not exist",
    r"quorate (restore|recover|members (add|replace|update|remove)) ": "other clusters than the one of the test; "
    "tests/system/test_restore.py, test_members.py and tests/unit/raft run them",
    r"\| age ": "age is not installed everywhere",
    r"Bearer …": "a token of the reader's; tests/system/test_backups.py takes backups over HTTP",
}


class Block(NamedTuple):
    """A block of shell commands. `lines` are those that a reader types, with continued ones put together."""

    path: Path
    kind: str
    text: str

    @property
    def lines(self) -> list[str]:
        joined = self.text.replace("\\\n", " ").splitlines()
        if self.kind == "console":
            joined = [line.removeprefix("$ ") for line in joined if line.startswith("$ ")]
        return [line for line in joined if line.strip() and not line.startswith("#")]

    @property
    def is_program(self) -> bool:
        """Its lines mean nothing alone. tests/system/test_client_examples.py runs these."""
        return self.kind == "bash"


def documents() -> Iterator[Path]:
    yield from (path for path in tracked() if path.suffix == ".md" and path.parts[0] in ("docs", "deploy", path.name))


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks() -> Iterator[Block]:
    for path in documents():
        yield from (Block(path, kind, text) for kind, text in SHELL.findall(text_of(path)))


def why_not_run(line: str) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if re.search(pattern, line)), None)


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line, each as its words: without redirections and without variables before it."""
    reader = shlex.shlex(re.sub(r"\$\([^)]*\)", "VALUE", line), posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    found: list[str] = []
    words = iter(reader)
    for word in words:
        if word in BETWEEN:
            yield found
            found = []
        elif word in (">", ">>", "<"):
            next(words)
        elif found or not re.match(r"[A-Z_]+=", word):
            found.append(word)
    if found:
        yield found
