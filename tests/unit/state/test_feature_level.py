"""The feature level in the state machine: it is raised by entries of their own, and gates commands alike everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.cluster import entry
from quorate.cluster.entry import Done, Refused, SetDedupWindow
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state.image import MAGIC, MAGIC_OF_LEVELS, Image
from quorate.errors import DataError
from tests.unit.state.fsm_script import Script
from tests.unit.state.test_fsm_bytes import busy

GOLDEN = Path(__file__).parent / "golden" / "state-2.snapshot"


def raised(script: Script, level: int = 1) -> Script:
    script.machine.raise_level(entry.encode_raise(level))
    return script


@pytest.mark.parametrize(("raises", "expected"), [([], 0), ([1], 1), ([2, 1], 2), ([1, 1], 1)])
def test_the_level_only_rises_and_each_raise_takes_a_version(raises: list[int], expected: int) -> None:
    script = Script()
    for level in raises:
        raised(script, level)
    assert (expected, 1 + len(raises)) == (script.machine.level, script.machine.version)


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\xa1x", b"\x91\xff", b"\x91\x00", b"\xc1", b"\x92\x01\x02"])
def test_a_raise_that_cannot_be_read_takes_a_version_and_a_newer_one_may_have_more_fields(data: bytes) -> None:
    machine = StateMachine()
    assert 1 == machine.raise_level(data).version
    assert (1 if data == b"\x92\x01\x02" else 0) == machine.level


def test_the_chain_takes_in_a_raise() -> None:
    one, two = Script(), Script()
    raised(one)
    two.machine.apply(b"")
    assert one.machine.version == two.machine.version
    assert one.machine.chain != two.machine.chain


def test_a_gated_command_changes_nothing_below_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that level refuses it as one does that cannot read it, so their states stay equal."""
    monkeypatch.setitem(entry.LEVEL_NEEDED, SetDedupWindow, 1)
    script, older = Script(), Script()
    assert isinstance(script.do(SetDedupWindow(7)), Refused)
    older.machine.apply(entry.encode_entry(older.time_ms, [b"\x91\x92\x63\x07"]))  # command 99, which nobody knows
    assert 100 == script.machine.dedup().window
    older.machine.chain = script.machine.chain  # they differ in the bytes of the entry alone
    assert older.machine.digest() == script.machine.digest()
    assert Done(7) == raised(script).do(SetDedupWindow(7))


def test_a_gated_command_stays_allowed_in_a_restored_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(entry.LEVEL_NEEDED, SetDedupWindow, 1)
    restored = Script(StateMachine.restore(raised(Script()).machine.freeze().encode()))
    assert Done(7) == restored.do(SetDedupWindow(7))


def test_only_an_image_of_a_raised_level_has_another_format() -> None:
    script = busy()
    assert script.machine.freeze().encode().startswith(MAGIC)
    data = raised(script).machine.freeze().encode()
    assert data.startswith(MAGIC_OF_LEVELS)
    assert StateMachine.restore(data).digest() == script.machine.digest()


def test_the_image_of_level_1_is_the_same_in_every_version_from_0_2_0_on() -> None:
    """If this fails by intention, clusters in use need a way to read what they wrote."""
    assert GOLDEN.read_bytes() == raised(busy()).machine.freeze().encode()


def test_an_image_of_a_level_that_this_program_does_not_have_is_refused_in_words() -> None:
    frozen: Image = raised(busy(), entry.FEATURE_LEVEL + 1).machine.freeze()
    with pytest.raises(DataError, match=f"feature level {entry.FEATURE_LEVEL + 1}, this program has"):
        StateMachine.restore(frozen.encode())


def test_every_level_has_a_version_to_name() -> None:
    assert set(range(entry.FEATURE_LEVEL + 1)) == set(entry.LEVEL_VERSIONS)
    assert all(1 <= level <= entry.FEATURE_LEVEL for level in entry.LEVEL_NEEDED.values())
