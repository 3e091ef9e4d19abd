"""What one node surely knows of a peer's disk, and how a node finds out that its own disk has forgotten something.

An old copy of a data folder that is put back has lost what its node promised since: entries that it acknowledged, and
ballots that it gave. The node itself cannot know, but its peers can. Each of them remembers of each peer only what
surely was on that peer's disk, and what no node may ever lose:

- the last entry that the peer had and that was committed. (An entry that was not committed may be cut.)
- its term, and its ballot in that term.

The node compares what its peers remember with what is on its disk now. Facts of the past never exceed the disk of the
present, unless the disk was changed behind its back. So no order of messages makes a sound disk look old; that is why
the node itself decides, and no peer does from what it was told a moment ago.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from quorate.cluster.raft.messages import Count


class Remembered(msgspec.Struct, array_like=True, frozen=True):
    """What the disk of a node, the one with this incarnation, surely had. Terms grow along a log, so they go first."""

    node_id: str
    incarnation: str
    entry_term: Count = 0
    entry_index: Count = 0
    term: Count = 0
    ballot: str = ""  # the node that it gave its ballot of `term` to; "" if none is known


class OnDisk(NamedTuple):
    """What is on this node's disk now: its last entry, its term and its ballot."""

    last_term: int
    last_index: int
    term: int
    ballot: str


def both(one: Remembered, other: Remembered) -> Remembered:
    """All that is known from two sources about the same disk."""
    entry = max((one.entry_term, one.entry_index), (other.entry_term, other.entry_index))
    if one.term == other.term:
        vote = one.term, one.ballot or other.ballot
    else:
        vote = max((one.term, one.ballot), (other.term, other.ballot))
    return Remembered(one.node_id, one.incarnation, *entry, *vote)


def forgotten(disk: OnDisk, known: Remembered, held_term: int | None) -> str:
    """What the disk had and has no more, in words; "" if nothing is missing.

    The last entries of two logs compare by term, then by index. A log whose last entry is not less than a committed one
    holds that entry (Raft §5.4.1 and §5.4.3), unless a majority has forgotten it and went on. So the entry that the log
    has in its place is compared, too: it is of `held_term`, or None if it is in a snapshot by now.
    """
    had = f"entry {known.entry_index:,} of term {known.entry_term}"
    if held_term is not None and held_term != known.entry_term:
        return f"it had {had}, and has one of term {held_term} there"
    if (disk.last_term, disk.last_index) < (known.entry_term, known.entry_index):
        return f"it had {had}, and ends at entry {disk.last_index:,} of term {disk.last_term}"
    if disk.term < known.term:
        return f"it was in term {known.term}, and is in term {disk.term}"
    if disk.term == known.term and known.ballot and disk.ballot != known.ballot:
        return f"it gave its ballot of term {known.term} to {known.ballot}, and does not know that"
    return ""


def forgotten_words(node_id: str) -> str:
    return (
        f"the data folder of {node_id} has forgotten what {node_id} promised, as an old copy that was put back: "
        "neither its copies nor its ballots count. If a majority of the others is well: "
        f"quorate members replace {node_id} (the folder need not be emptied). If not, see quorate recover"
    )


def new_disk_words(node_id: str) -> str:
    lost = f"the data folder of {node_id} is new, and the log means the one before"
    return f"{lost}: neither its copies nor its ballots count. If a majority is well: quorate members replace {node_id}"
