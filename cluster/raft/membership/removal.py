"""A disk remembers that the cluster has removed it, in a file of its own.

The log of a removed node need not have the entry that removed it: often a peer tells it. So the file is what makes the
node end at each start, also where it reaches nobody, and what `recover` asks. It holds for one incarnation: a folder
that was emptied except for this file is another disk.
"""

from __future__ import annotations

import msgspec

from quorate.cluster.raft.storage.directory import DataDirectory

NAME = "removed.json"


class _Removal(msgspec.Struct):
    incarnation: str
    why: str  # for people


def note(directory: DataDirectory, why: str) -> None:
    """Durable on return; may raise OSError."""
    files = directory.files
    if noted(directory) is not None:
        return
    if NAME in files.names():
        files.remove(NAME)
    files.write(NAME, 0, msgspec.json.encode(_Removal(directory.identity.incarnation, why)) + b"\n")
    files.sync(NAME)


def noted(directory: DataDirectory) -> str | None:
    """Why this disk was removed from its cluster; None if that is not known. May raise OSError."""
    if NAME not in directory.files.names():
        return None
    try:
        removal = msgspec.json.decode(directory.files.read(NAME), type=_Removal)
    except msgspec.DecodeError:
        return None  # torn by a crash: the node finds it out again
    return removal.why if removal.incarnation == directory.identity.incarnation else None
