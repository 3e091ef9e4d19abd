"""What the documents tell a reader to type: shell blocks and their commands, in which world each block is run, and what
is not run, with the reason.

`tests/house/test_document_commands.py` reads all of them. Each world is a test file, which brings about what the
document speaks of (a cluster, servers beside it, networks) and then runs its blocks as `tests/support/reader.py` does.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.checkout import ROOT, tracked

SHELL = re.compile(r"^```(sh|bash|shell|console)\n(.*?)^```", re.S | re.M)
BETWEEN = {"|", "||", "&&", "&", ";"}
# The world of a block is the first one whose pattern one of its lines has.
WORLDS = {
    "tests/system/test_document_checkout.py": r"^\.venv/bin/|^make ",
    "tests/system/test_document_chaos.py": r"quorate (chaos|check) ",
    "tests/system/test_document_operators.py": r"quorate (restore|recover) |^quorate log \w+ --data",
    "tests/services/system/test_document_queues.py": r"nsqd|nsq_to_file|to_nsq|:4151/|^mongosh ",
    "tests/services/system/test_document_hosts.py": r"/etc/quorate/|quorate\.toml|--consul |^consul |\bdig |Bearer …",
    "tests/system/test_document_commands.py": r"",
}
# Commands that no world runs, because another test does: what they have in them, that test, and what stands there.
RUN_BY_OTHERS = {
    r"^scripts/bootstrap\.sh --story": ("tests/system/test_story.py", '"quorate", "dev", "--story"'),
    r"^scripts/bootstrap\.sh( |$)": ("tests/system/test_bootstrap.py", '"bootstrap.sh"'),
    r"quorate chaos --services": ("tests/services/test_chaos_services.py", '"--services"'),
    r"quorate chaos --network namespaces": ("tests/system/test_namespaces.py", '"--network", "namespaces"'),
    r"^quorate chaos --faults none": ("tests/system/test_chaos.py", '"--faults", "none"'),
    r"^quorate chaos --mixed-with ": ("tests/system/test_chaos.py", '"--mixed-with"'),
    r"^quorate chaos --against ": ("tests/system/test_chaos_elsewhere.py", '"--against"'),
    r"^quorate chaos --mutant older-": (
        "tests/system/test_chaos.py",
        '"--mutant", "older-totals-under-an-equal-fence"',
    ),
    r"^quorate node --config three-hosts/": ("tests/services/test_consul_deploy.py", '"three-hosts/quorate.toml"'),
}
# Commands that no test runs: what they have in them, and why. NOT_RUN_LINES is how many there are.
NOT_RUN = {
    r"^scripts/test\.sh|^scripts/coverage\.sh|^\.venv/bin/mypy": "it runs this test, or what runs beside it",
    r"^\.venv/bin/python -m bench\.|^make elsewhere": "a bench of ten minutes or more, for a quiet machine",
    r"\bCOMMIT\b|/tmp/then |^PYTHONPATH=src:": "a recipe with a commit of the reader's choice",
}
NOT_RUN_LINES = 16
# Commands of other programs, which are run where these are installed.
WHERE_INSTALLED = ("age", "nsq_to_file")


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
    def to_run(self) -> list[str]:
        return [line for line in self.lines if is_run(line)]

    @property
    def is_program(self) -> bool:
        """An example of a client: test_client_examples.py and test_redis_examples.py run these (tests/system)."""
        return self.kind == "bash"


def documents() -> Iterator[Path]:
    yield from (path for path in tracked() if path.suffix == ".md" and path.parts[0] in ("docs", "deploy", path.name))


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks() -> Iterator[Block]:
    for path in documents():
        yield from (Block(path, kind, text) for kind, text in SHELL.findall(text_of(path)))


def world_of(block: Block) -> str:
    """The test file that runs it."""
    return next(file for file, pattern in WORLDS.items() if any(re.search(pattern, line) for line in block.lines))


def blocks_of(file: str) -> list[Block]:
    """Those of a world that have anything to run."""
    return [block for block in blocks() if not block.is_program and world_of(block) == file and block.to_run]


def is_run(line: str) -> bool:
    """Whether its world runs it, on this machine."""
    missing = (name for name in WHERE_INSTALLED if re.search(rf"\b{name} ", line) and shutil.which(name) is None)
    return not any(re.search(pattern, line) for pattern in (*RUN_BY_OTHERS, *NOT_RUN)) and next(missing, None) is None


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line, each as its words: without redirections and without variables before it."""
    reader = shlex.shlex(re.sub(r"\$\([^)]*\)", "VALUE", line), posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    found: list[str] = []
    words = iter(reader)
    for word in words:
        if word == "quorate" and found[:1] in (["sudo"], ["unshare"]):  # they start it
            found = []
        if word in BETWEEN:
            yield found
            found = []
        elif word in (">", ">>", "<"):
            next(words)
        elif found or not re.match(r"[A-Z_]+=", word):
            found.append(word)
    if found:
        yield found
