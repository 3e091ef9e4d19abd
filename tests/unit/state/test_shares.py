"""Shares of the dedup window: an id is pushed out by ids of its own share alone, and known through every share."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.cluster import entry
from quorate.cluster.entry import Done, InShare, Refused
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state import shares
from quorate.cluster.state.image import MAGIC
from quorate.cluster.state.shares import Shares
from quorate.errors import DataError
from quorate.vote import SHARES_MAX, Outcome
from tests.unit.state.fsm_script import Script, cast, choice
from tests.unit.state.test_dedup import OTHER, STAMP, id_of

GOLDEN = Path(__file__).parent / "golden" / "state-2-shares.snapshot"
APPLIED, DUPLICATE, CONFLICT, CLOSED = Outcome.APPLIED, Outcome.DUPLICATE, Outcome.CONFLICT, Outcome.CLOSED


@pytest.fixture(autouse=True)
def small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "SHARE_WINDOW", 5)


@pytest.fixture
def script() -> Script:
    script = Script(window=3)
    script.machine.raise_level(entry.encode_raise(1))
    script.play("poll mood happy sad")
    return script


def admit(table: Shares, share: int, numbers: Iterable[int], stamp: bytes = STAMP, *, sure: bool = True) -> list[int]:
    ids = b"".join(map(id_of, numbers))
    picks = array("I", bytes(len(ids) // 2))
    outcomes, apart = table.accept(share, ids, picks, [stamp], [stamp if sure else None], lambda pick: APPLIED)
    assert sorted(apart) == apart, "each is named once, in order"
    return list(outcomes)


def test_a_share_pushes_out_its_own_ids_alone() -> None:
    table = Shares(4)
    admit(table, 0, range(4))
    admit(table, 1, range(100, 105))
    admit(table, 2, range(1_000, 2_000))  # a flood
    assert [DUPLICATE] * 4 == admit(table, 0, range(4))
    assert [DUPLICATE] * 5 == admit(table, 1, range(100, 105))
    assert [DUPLICATE] * 5 == admit(table, 1, range(1_995, 2_000))
    assert table.find(id_of(1_000)) is None
    admit(table, 0, range(10, 20))
    assert table.find(id_of(0)) is None, "the common share has the window's size"
    assert [DUPLICATE] * 5 == admit(table, 0, range(100, 105))


@pytest.mark.parametrize("sure", [True, False])
def test_a_look_up_spans_all_shares(sure: bool) -> None:
    table = Shares(100)
    admit(table, 0, [1, 2])
    admit(table, 3, [3, 4])
    expected = [APPLIED, DUPLICATE, DUPLICATE, APPLIED, DUPLICATE, APPLIED, DUPLICATE]
    assert expected == admit(table, 7, [10, 1, 3, 11, 10, 12, 3], sure=sure)
    assert [CONFLICT, CONFLICT, APPLIED, CONFLICT] == admit(table, 0, [3, 10, 13, 1], OTHER, sure=sure)
    assert 8 == table.accepted == table.view().held
    assert {0: 3, 3: 2, 7: 3} == table.view().shares


def test_a_vote_that_is_refused_leaves_no_trace_beside_one_that_another_share_knows() -> None:
    table = Shares(100)
    admit(table, 1, [1])
    ids = id_of(1) + id_of(2)
    outcomes, apart = table.accept(0, ids, array("I", [0, 0]), [STAMP], [None], lambda pick: CLOSED)
    assert ([DUPLICATE, CLOSED], [0, 1]) == (list(outcomes), apart)
    assert (1, None) == (table.accepted, table.find(id_of(2)))


def test_a_flood_through_a_share_does_not_let_others_votes_count_twice(script: Script) -> None:
    script.play("vote a happy; share 1; vote b happy; share 2; vote f1 sad; vote f2 sad; vote f3 sad; vote f4 sad")
    script.play("vote f5 sad; vote f6 sad; once k sad*2; vote f7 sad; vote f8 sad; vote f9 sad; vote f10 sad")
    for share in (0, 1, 2, 8):
        assert "duplicate" == script.play(f"share {share}; vote a happy")
        assert "duplicate" == script.play("vote b happy")
        assert "conflict" == script.play("vote b sad")
    assert {"happy": 2, "sad": 12} == script.machine.results("mood")


def test_the_key_of_a_whole_request_is_in_its_share(script: Script) -> None:
    script.play("share 1; once k happy*2; share 0; vote a sad; vote b sad; vote c sad; vote d sad; vote e sad")
    assert "duplicate" == script.play("once k happy*2")
    assert "conflict" == script.play("share 2; once k happy*3")
    assert "conflict" == script.play("vote k happy")


def test_a_share_holds_for_the_votes_behind_it_in_its_batch_alone(script: Script) -> None:
    votes = [cast([(id, choice("happy"))]) for id in "abcd"]
    first = entry.encode_batch([votes[0], InShare(1), votes[1], InShare(2), votes[2]])
    script.machine.apply(entry.encode_entry(2_000, [first, entry.encode_batch([votes[3]])]))
    assert {0: 2, 1: 1, 2: 1} == script.machine.dedup().shares


@pytest.mark.parametrize("share", [-1, SHARES_MAX + 1, 2**64 - 1])
def test_a_share_that_there_is_not_is_the_common_one(script: Script, share: int) -> None:
    results = script.apply(InShare(1), InShare(share), cast([("a", choice("happy"))])).results[0]
    assert [Done(1), Refused(f"shares of the dedup window are 0 to {SHARES_MAX}")] == results[:2]
    assert {0: 1} == script.machine.dedup().shares


def test_below_its_level_a_share_is_refused_as_nodes_of_0_1_0_do() -> None:
    script, older = Script(), Script()
    vote = cast([("a", choice("happy"))])
    for each, share in ((script, entry.encode_command(InShare(1))), (older, b"\x92\x63\x01")):  # command 99
        each.play("poll mood happy sad")
        batch = entry.encode_batch([msgspec.Raw(share), vote])
        assert "Refused" == type(each.machine.apply(entry.encode_entry(2_000, [batch])).results[0][0]).__name__
    older.machine.chain = script.machine.chain  # they differ in the bytes of the entry alone
    assert older.machine.digest() == script.machine.digest()
    assert script.machine.freeze().encode().startswith(MAGIC)


def test_the_window_of_the_common_share_changes_alone(script: Script) -> None:
    script.play("share 1; vote a happy; share 0; vote b happy; window 50; vote c happy; window 2")
    script.play("vote d happy; vote e happy; vote f happy; vote g happy")
    assert ("duplicate", 2) == (script.play("vote a happy"), script.machine.dedup_window)
    script.play("share 1; vote h happy; vote i happy; vote j happy; vote k happy")
    assert "duplicate" == script.play("vote a happy")
    script.play("vote l happy; vote m happy; vote n happy; vote o happy; vote p happy; vote q happy")
    assert "applied" == script.play("vote a happy")


# ---- snapshots ------------------------------------------------------------------------------------------------------


def busy(script: Script) -> Script:
    script.play("share 7; vote a happy; once k sad*2; share 0; vote b happy; share 2; vote c happy; vote d sad")
    return script


def test_a_snapshot_has_every_share(script: Script) -> None:
    one = busy(script)
    two = Script(StateMachine.restore(one.machine.freeze().encode()))
    two.share = one.share
    assert one.machine.dedup() == two.machine.dedup()
    assert one.machine.digest() == two.machine.digest()
    for step in ("vote a happy", "vote c sad", "once k sad*2", "share 2; vote e happy; vote f happy; vote g happy"):
        assert one.play(step) == two.play(step)
        assert one.machine.chain == two.machine.chain
        assert one.machine.digest() == two.machine.digest()


def test_the_order_in_which_shares_were_used_leaves_no_trace(script: Script) -> None:
    one, two = Shares(10), Shares(10)
    for table, order in ((one, (1, 2, 0)), (two, (2, 0, 1))):
        for share in order:
            admit(table, share, [share])
    assert one.freeze_others() == two.freeze_others()
    assert [1, 2] == [number for number, _ in one.freeze_others()]


def test_a_frozen_image_has_shares_that_do_not_change(script: Script) -> None:
    frozen = busy(script).machine.freeze()
    before = frozen.encode()
    script.play("share 7; vote x happy; share 1; vote y happy; share 0; vote z happy")
    assert before == frozen.encode()


@pytest.mark.parametrize("number", [0, SHARES_MAX + 1, 7, 2**64])
def test_a_snapshot_with_shares_that_there_are_not_is_refused(script: Script, number: int) -> None:
    """Shares 2 and 7 are there: one of them becomes another number, or comes twice."""
    frozen = busy(script).machine.freeze()
    tables = [(number, frozen.shares[0][1]), frozen.shares[1]]
    object.__setattr__(frozen, "shares", tables)
    with pytest.raises((DataError, OverflowError)):
        StateMachine.restore(frozen.encode())


def test_the_image_with_shares_is_the_same_in_every_version_from_0_2_0_on(script: Script) -> None:
    """If this fails by intention, clusters in use need a way to read what they wrote."""
    assert GOLDEN.read_bytes() == busy(script).machine.freeze().encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_nonsense_under_a_right_checksum_raises_only_a_data_error(at: int, byte: int) -> None:
    data = GOLDEN.read_bytes()[:-32]
    at %= len(data)
    content = data[:at] + bytes([byte]) + data[at + 1 :]
    try:
        machine = StateMachine.restore(content + hashlib.blake2b(content, digest_size=32).digest())
    except DataError:
        return
    assert machine.freeze().version == machine.version


# ---- what it costs --------------------------------------------------------------------------------------------------


def test_a_full_share_takes_less_than_ten_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    table, ids = Shares(1), random.Random(1)
    empty = table.view().memory_bytes
    picks = array("I", bytes(4 * 10_000))
    for _ in range(59):
        table.accept(1, ids.randbytes(80_000), picks, [STAMP], [STAMP], lambda pick: APPLIED)
    view = table.view()
    assert view.held >= 1.9 * shares.SHARE_WINDOW
    assert view.memory_bytes - empty < 10_000_000
