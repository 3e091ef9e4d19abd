"""Who else on this host may read or change a file with a secret in it, and the command that ends that.

A file that holds a secret alone is refused: a secret that others can read is none, and one that they can change may be
theirs. Where secrets are mounted, that is a setting of the mount: `defaultMode: 0400` in Kubernetes, `mode: 0400` in
Compose. A file of settings with a secret among them is told, and still taken.
"""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from quorate.own_files import OTHERS


def why_open(file: Path, mode: int | None = None) -> Iterator[str]:
    """In words, each beginning with a verb. `mode` is that of the file, if it is open already. May raise OSError."""
    mode = file.stat().st_mode if mode is None else mode
    may = [what for bits, what in ((stat.S_IROTH, "read"), (stat.S_IWOTH | stat.S_IWGRP, "changed")) if mode & bits]
    if may:
        yield f"can be {' and '.join(may)} by {OTHERS}: chmod 600 {shlex.quote(str(file))}"
    for folder in dict.fromkeys((file.parent, file.resolve().parent)):  # of a link, and of what it leads to
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield f"can be replaced by {OTHERS}: chmod o-w {shlex.quote(str(folder))}"
