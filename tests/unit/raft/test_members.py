"""The members of a cluster, changed one at a time: the rules as rows, and the entries of a log that is cut."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from quorate.cluster.raft import members
from quorate.cluster.raft.members import Member, MemberEntries, Members
from quorate.errors import Conflict, DataError, Invalid

FOUNDED = members.founding({"n2": "h2:1", "n1": "h1:1", "n3": "h3:1"}, {"n1": "i1", "n2": "i2", "n3": "i3"})


def says(of: Members) -> str:
    """Members as the rows write them: `+` is a voter, `-` a learner."""
    return " ".join(f"{'+' if each.voter else '-'}{each.id}@{each.raft}#{each.incarnation}" for each in of.members)


CHANGES: dict[str, Callable[..., Members]] = {
    "add": Members.adding,
    "remove": Members.removing,
    "promote": Members.promoting,
    "move": lambda now, *words: now.moving(dict(zip(words[::2], words[1::2], strict=True))),
}


def change(now: Members, row: str) -> Members:
    what, *words = row.split()
    return CHANGES[what](now, *words)


def changed(rows: str) -> Members:
    return functools.reduce(change, rows.split("; ") if rows else [], FOUNDED)


@pytest.mark.parametrize(
    ("changes", "after"),
    [
        ("", "+n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3"),
        ("add n4 h4:1", "+n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3 -n4@h4:1#"),
        ("add n0 h0:1", "-n0@h0:1# +n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3"),
        ("add n4 h4:1; promote n4 i4", "+n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3 +n4@h4:1#i4"),
        ("remove n2", "+n1@h1:1#i1 +n3@h3:1#i3"),
        ("remove n2; remove n2", "+n1@h1:1#i1 +n3@h3:1#i3"),  # a request that is repeated
        ("remove n9", "+n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3"),
        ("remove n2; add n2 h2:1; promote n2 j2", "+n1@h1:1#i1 +n2@h2:1#j2 +n3@h3:1#i3"),  # replaced: another disk
        ("remove n1; remove n2", "+n3@h3:1#i3"),
        ("add n4 h4:1; remove n4", "+n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3"),
        ("move n2 h9:9", "+n1@h1:1#i1 +n2@h9:9#i2 +n3@h3:1#i3"),
        ("move n2 h3:1 n3 h2:1", "+n1@h1:1#i1 +n2@h3:1#i2 +n3@h2:1#i3"),  # they changed places
        ("add n4 h4:1; move n4 h5:1 n9 h9:1", "+n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3 -n4@h5:1#"),
        ("promote n9 i9", "+n1@h1:1#i1 +n2@h2:1#i2 +n3@h3:1#i3"),
    ],
)
def test_changes(changes: str, after: str) -> None:
    assert after == says(changed(changes))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ("add n2 h9:1", Conflict, "n2 at h2:1 is a member already.*quorate members replace n2"),
        # An address is one node's. Nobody means to replace n2 by adding n9.
        ("add n9 h2:1", Conflict, "n2 is at h2:1, by the log.*quorate members update n2.*quorate members remove n2"),
        ("add n4 h4:1; add n4 h4:1", Conflict, "n4 at h4:1 is a member already"),
        ("remove n1; remove n2; remove n3", Invalid, "n3 is the last voter"),
        ("remove n1; remove n2; add n4 h4:1; remove n3", Invalid, "n3 is the last voter"),  # a learner is none
    ],
)
def test_changes_that_are_refused(changes: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        changed(changes)


def test_a_move_keeps_the_voters_and_says_who_moved() -> None:
    moved = FOUNDED.moving({"n1": "h1:1", "n2": "h9:9"})
    assert FOUNDED.voters() == moved.voters()
    assert "n2 is at h9:9" == moved.reason


def test_any_two_majorities_next_to_each_other_have_a_node_in_common() -> None:
    """A learner that is added or removed changes no majority; a voter changes their number by one."""
    now = FOUNDED
    for row in ("add n4 h4:1", "promote n4 i4", "add n5 h5:1", "promote n5 i5", "remove n1", "remove n4"):
        after = change(now, row)
        assert len(now.voters() ^ after.voters()) <= 1, row
        now = after


def test_voters_learners_and_addresses() -> None:
    now = changed("add n4 h4:1")
    assert ({"n1", "n2", "n3"}, {"n4"}) == (now.voters(), now.learners())
    assert {"n1": "h1:1", "n2": "h2:1", "n3": "h3:1", "n4": "h4:1"} == now.addresses()
    assert Member("n4", "h4:1", "", voter=False) == now.get("n4")
    assert None is now.get("n9")


def test_a_membership_comes_back_from_its_bytes() -> None:
    for changes in ("", "add n4 h4:1", "remove n2"):
        assert changed(changes) == members.decode(members.encode(changed(changes)))
    assert "add n4" == members.decode(members.encode(changed("add n4 h4:1"))).reason, "for people who read logs"


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x91\x91\x94\xa1\xff\xa1h\xa1i\xc3", b"\x92\xa1x\xa1y"])
def test_bytes_that_are_no_membership_are_an_error_in_words(data: bytes) -> None:
    with pytest.raises(DataError, match="a membership entry of the log cannot be read"):
        members.decode(data)


def test_membership_entries_tell_the_members_at_each_index() -> None:
    entries = MemberEntries()
    assert (b"", 0) == (entries.at(100), entries.last_index)
    for index in (3, 7, 9):
        entries.add(index, b"m%d" % index)
    assert [b"", b"m3", b"m3", b"m7", b"m9", b"m9"] == [entries.at(index) for index in (2, 3, 6, 8, 9, 100)]
    entries.cut(7)
    assert (b"m3", 3) == (entries.at(100), entries.last_index), "the log was cut at 7"
    entries.cut(4)
    assert b"m3" == entries.at(100)
    entries.add(5, b"m5")
    assert (b"m5", 5) == (entries.at(100), entries.last_index)
    entries.cut(1)
    assert b"" == entries.at(100)
