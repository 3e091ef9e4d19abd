"""A reader of the documents: types their commands into a shell, line by line, in a folder and with an environment of
its own.

A line has to end with exit code 0, or with one that its document speaks of, and to say what SAID has of it. A line that
goes on until Ctrl-C says something, and ends then.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from quorate.exit_code import DONE, INCONCLUSIVE
from quorate.processes.process import Process
from tests.support.checkout import ROOT
from tests.support.documents import Block
from tests.support.substitutions import substituted
from tests.support.waiting import wait_for

STAYS = re.compile(r"^(export|umask) ")  # it holds for the lines below it
ENDLESS = re.compile(r"^curl -N |--live |^quorate stream (?!replay |test |generate )")
ENDED_S = 120.0
# A run of chaos that lasts seconds may end with the verdict that too little happened.
INCONCLUSIVE_TOO = re.compile(r"quorate (chaos|check) ")
# What a line answers, as its document says it in words.
SAID = {
    r"^quorate vote tea --poll drinks .*duplicate": "counted before",
    r"^quorate audit( +#|$)": r"n1, n2, n3: the same state at version .*: \d+ documents of \d+ polls, .*All agree\.",
    r"^quorate backup --check ": "whole",
    r"^quorate log verify ": "the chain holds",
    r"^quorate stream test 'concatenate' .* dog( +#|$)": "No vote",
    r"^quorate stream test 'concatenate' .* substring'": "test +cat",
    r"quorate (chaos|check) (?!--mutant)": "no property is violated",
    r"^curl .*/readyz": "leader",
    r"^quorate members +#": "n1.*n2.*n3",
}
By = Mapping[str, Callable[[str], None]]


class Reader:
    """`places` are what `substituted` needs to know."""

    def __init__(
        self, folder: Path, places: Mapping[str, str], env: Mapping[str, str] | None = None, *, cwd: Path | None = None
    ) -> None:
        self.folder, self.cwd = folder, cwd or folder
        self.places = {**places, "folder": str(folder)}
        own = {name: value for name, value in os.environ.items() if not name.startswith("QUORATE_")}
        path = f"{folder / 'bin'}:{ROOT / '.venv' / 'bin'}:{own['PATH']}"
        self._numbers = itertools.count()
        self.env = {**own, "PATH": path, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), **(env or {})}
        (folder / ".curlrc").write_text("fail\nshow-error\n")  # otherwise a refusal is exit code 0

    def here(self, text: str) -> str:
        return substituted(text, self.places)

    def runs(self, block: Block, by: By | None = None) -> None:
        """Run its lines in order. `by` has lines that are run in another way, by a pattern."""
        stay: list[str] = []
        for line in block.to_run:
            command = "\n".join([*stay, self.here(line)])
            way = next((way for pattern, way in (by or {}).items() if re.search(pattern, line)), None)
            if way is not None:
                way(command)
            elif ENDLESS.search(line):
                self.follows(command)
            else:
                codes = (DONE, INCONCLUSIVE) if INCONCLUSIVE_TOO.search(line) else (DONE,)
                said = self.types(command, codes=codes)
                assert [] == [words for words in said_of(line) if not re.search(words, said, re.S)], f"{line}\n{said}"
            if STAYS.match(line):
                stay.append(self.here(line))

    def types(self, command: str, *, answers: str = "", cwd: Path | None = None, codes: Sequence[int] = (DONE,)) -> str:
        """What it says on its standard output. `answers` is what the reader says where the command asks, `codes` are
        the exit codes that its document speaks of."""
        argv = ["bash", "-euo", "pipefail", "-c", command]
        done = subprocess.run(
            argv,
            cwd=cwd or self.cwd,
            env=self.env,
            input=answers,
            capture_output=True,
            text=True,
            timeout=ENDED_S,
        )
        assert done.returncode in codes, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def follows(self, command: str, until: Callable[[], object] | None = None) -> None:
        """A command that does not end by itself says something, or does what `until` waits for, and ends on Ctrl-C."""
        with self.begins(command) as process:
            wait_for(f"{command} says something", until or process.output, deadline_s=ENDED_S, seen=process.tail)
            os.killpg(process.pid or 0, signal.SIGINT)
            assert process.ended() in (0, -signal.SIGINT), process.tail()  # curl knows no other way

    @contextlib.contextmanager
    def begins(self, command: str, cwd: Path | None = None) -> Iterator[Process]:
        """It runs while the block of code does, and is killed then, with all that it started."""
        log = self.folder / f"followed{next(self._numbers)}.txt"
        process = Process(command, ["bash", "-c", command], log, self.env, cwd or self.cwd)
        process.start()
        group = process.pid
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group or 0, signal.SIGKILL)
            process.close()


def said_of(line: str) -> list[str]:
    return [words for pattern, words in SAID.items() if re.search(pattern, line)]
