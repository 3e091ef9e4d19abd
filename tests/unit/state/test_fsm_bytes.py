"""Bytes in, bytes out: garbage, determinism, snapshots, and formats that must not change by accident."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.cluster import entry
from quorate.cluster.fsm import StateMachine
from quorate.cluster.state.image import MAGIC
from quorate.errors import DataError
from tests.unit.state.fsm_script import Script, cast, choice, poll

GOLDEN = Path(__file__).parent / "golden" / "state-1.snapshot"
HISTORY = (
    "poll mood happy sad 💚; poll day happy rainy until 5000; writein words; import old a=3 b=4; draft later x y;"
    "vote u1 happy; vote u2 sad in mood x3; vote - happy; vote u4 héllo in words; vote u1 happy; vote u5 lost;"
    "once k1 happy*3 sad; producer p; batch p 1 1 happy*2; batch p 1 2 sad; producer p; at 6000; vote u6 happy;"
    "window 5; vote u7 happy; vote u8 happy; vote u9 happy; vote u10 sad; close mood; generation; producer q"
)


def busy() -> Script:
    script = Script(window=4)
    script.play(HISTORY)
    return script


def image() -> bytes:
    return busy().machine.freeze().encode()


# ---- garbage --------------------------------------------------------------------------------------------------------

BATCHES: list[list[entry.Command]] = [
    [cast([("a", choice("happy")), ("b", choice("x", "words")), (None, choice("sad"))])],
    [poll("new", ["a", "b"], closes_at_ms=9_000), entry.SetPollState("mood", "open")],
    [entry.CastOnce(b"12345678", 7, [choice("happy")], [(0, 2)])],
    [entry.OpenProducer("p"), entry.CastSession("p", 3, 3, 7, [choice("happy")], [(0, 2)])],
    [entry.SetDedupWindow(9), entry.RaiseGeneration("r"), entry.FormCluster("c", b"k" * 16, 3)],
]
ENTRIES = [entry.encode_entry(2_000, [entry.encode_batch(commands)]) for commands in BATCHES]
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=9)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=6), max_leaves=20)
commands = st.tuples(st.integers(0, 11), values, values, values, values, values).map(list) | values


def agree(one: StateMachine, other: StateMachine, data: bytes) -> None:
    """Apply `data` to both: each goes one version on, with the same answer and the same state."""
    before = one.version
    applied = one.apply(data)
    assert applied == other.apply(data)
    assert before + 1 == one.version == applied.version
    assert one.digest() == other.digest()
    for view in one.polls():
        assert sum((one.results(view.id) or {}).values()) >= 0


@given(st.binary(max_size=200))
def test_any_bytes_take_one_version(data: bytes) -> None:
    agree(busy().machine, busy().machine, data)


@given(st.sampled_from(ENTRIES), st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_a_damaged_entry_is_applied_alike_everywhere(data: bytes, at: int, byte: int, cut: bool) -> None:
    at %= len(data)
    agree(busy().machine, busy().machine, data[:at] if cut else data[:at] + bytes([byte]) + data[at + 1 :])


@given(st.lists(commands, max_size=4))
def test_odd_commands_are_refused_or_applied(commands: list[object]) -> None:
    batch = msgspec.msgpack.encode(commands)
    agree(busy().machine, busy().machine, entry.encode_entry(2_000, [batch]))


@given(values)
def test_odd_envelopes_change_nothing_else(value: object) -> None:
    script = busy()
    before = script.machine.freeze()
    script.machine.apply(msgspec.msgpack.encode(value))
    after = script.machine.freeze()
    assert msgspec.structs.replace(before.head, version=0, chain=b"") == msgspec.structs.replace(
        after.head, version=0, chain=b""
    )
    assert (before.polls, before.dedup, before.sessions) == (after.polls, after.dedup, after.sessions)


def test_one_bad_command_does_not_spoil_the_others() -> None:
    script = Script()
    good = [poll("mood", ["happy", "sad"]), cast([("a", choice("happy"))])]
    batch = msgspec.msgpack.encode([good[0], [99, "from a later version"], 7, [1, "?"], good[1]])
    applied = script.machine.apply(entry.encode_entry(2_000, [b"junk", batch, entry.encode_batch([])]))
    assert ["Refused"] == [type(result).__name__ for result in applied.results[0]]
    assert ["PollResult", "Refused", "Refused", "Refused", "VotesResult"] == [
        type(result).__name__ for result in applied.results[1]
    ]
    assert [] == applied.results[2]
    assert {"happy": 1, "sad": 0} == script.machine.results("mood")


def test_an_unknown_format_is_refused_whole() -> None:
    script = Script()
    batch = entry.encode_batch([poll("mood", ["happy", "sad"])])
    applied = script.machine.apply(msgspec.msgpack.encode([entry.FORMAT + 1, 9_000, [batch, batch]]))
    assert [["Refused"], ["Refused"]] == [[type(result).__name__ for result in part] for part in applied.results]
    assert (1_000, None) == (script.machine.time_ms, script.machine.poll("mood"))


# ---- the same on every node -----------------------------------------------------------------------------------------


def test_hash_seeds_change_nothing() -> None:
    program = "from tests.unit.state.test_fsm_bytes import busy; print(busy().machine.digest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }
    assert {busy().machine.digest()} == digests


def test_the_chain_can_be_verified_from_outside() -> None:
    machine, chain = StateMachine(), bytes(32)
    for data in [*ENTRIES, b"junk"]:
        machine.apply(data)
        chain = hashlib.blake2b(chain + data, digest_size=32).digest()
    assert chain == machine.chain == StateMachine.restore(machine.freeze().encode()).chain


def test_another_history_of_the_same_state_has_another_digest() -> None:
    one, other = Script(), Script()
    one.play("poll mood a b; vote 1 a; vote 2 a")
    other.play("poll mood a b; vote 1 a; vote 3 a")
    assert one.machine.results("mood") == other.machine.results("mood")
    assert one.machine.digest() != other.machine.digest()


# ---- snapshots ------------------------------------------------------------------------------------------------------


def test_a_snapshot_restores_everything() -> None:
    one = busy()
    two = Script(StateMachine.restore(one.machine.freeze().encode()))
    two.time_ms = one.time_ms
    rest = "vote u10 sad; vote u9 happy x2; open mood; vote n1 happy; batch p 2 2 sad; batch p 2 3 sad; open later;"
    for step in (rest + "at 9000; vote n2 x; poll mood happy sad 💚; import old z=1; vote n3 new in words").split(";"):
        assert one.play(step) == two.play(step), step
        assert one.machine.digest() == two.machine.digest(), step
    assert one.machine.polls() == two.machine.polls()
    assert [one.machine.results(view.id) for view in one.machine.polls()] == [
        two.machine.results(view.id) for view in two.machine.polls()
    ]
    assert one.machine.dedup() == two.machine.dedup()
    assert list(one.machine.polls_with("happy")) == list(two.machine.polls_with("happy"))


def test_a_timed_close_survives_a_restart() -> None:
    one = Script()
    one.play("poll mood a b until 5000; poll other a b until 4000; close other")
    two = Script(StateMachine.restore(one.machine.freeze().encode()))
    assert "closed" == two.play("at 5000; vote u a")
    assert one.play("at 5000; vote u a") == "closed"
    assert one.machine.digest() == two.machine.digest()


def test_a_frozen_image_does_not_change_and_is_encoded_elsewhere() -> None:
    script = busy()
    frozen, expected, encoded = script.machine.freeze(), image(), list[bytes]()
    script.play("vote n1 happy; open mood; vote n2 wörd in words; poll z a b; once k9 sad; batch p 2 3 happy; window 9")
    encoder = threading.Thread(target=lambda: encoded.append(frozen.encode()))
    encoder.start()
    encoder.join(10)
    assert [expected] == encoded
    assert expected == b"".join(frozen.chunks())


def test_an_empty_machine_restores() -> None:
    machine = StateMachine.restore(StateMachine().freeze().encode())
    assert (0, "", []) == (machine.version, machine.cluster_id, machine.polls())
    assert StateMachine().digest() == machine.digest()


def test_each_flipped_byte_of_a_snapshot_is_noticed() -> None:
    data = image()
    for at in range(len(data)):
        with pytest.raises(DataError):
            StateMachine.restore(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])


def test_each_torn_snapshot_is_noticed() -> None:
    data = image()
    for end in range(len(data)):
        with pytest.raises(DataError):
            StateMachine.restore(data[:end])
    with pytest.raises(DataError, match="damaged"):
        StateMachine.restore(data + b"\0")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no snapshot of Quorate"),
        (b"something else entirely", "no snapshot of Quorate"),
        (b"quorate\x09" + bytes(100), "format 9, this program reads up to 2"),
        (b"quorate\x01" + bytes(100), "damaged: its checksum differs"),
    ],
)
def test_what_is_no_snapshot_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        StateMachine.restore(data)


SNAPSHOT = image()


@given(at=st.integers(0, len(SNAPSHOT) - 33), byte=st.integers(0, 255))
def test_nonsense_under_a_right_checksum_raises_only_a_data_error(at: int, byte: int) -> None:
    content = SNAPSHOT[:at] + bytes([byte]) + SNAPSHOT[at + 1 : -32]
    try:
        machine = StateMachine.restore(content + hashlib.blake2b(content, digest_size=32).digest())
    except DataError:
        return
    assert machine.freeze().version == machine.version


def test_nesting_without_end_under_a_right_checksum_is_a_data_error_too() -> None:
    """In a field that this version does not know, and passes over."""
    start = len(MAGIC)
    size = int.from_bytes(SNAPSHOT[start : start + 8], "little")
    head = SNAPSHOT[start + 8 : start + 8 + size]
    fields = head[0] & 0x0F
    assert head[0] & 0xF0 == 0x90
    deep = b"\xdc\x00\x28" + head[1:] + b"\x00" * (39 - fields) + b"\x91" * 20_000 + b"\x90"
    content = SNAPSHOT[:start] + len(deep).to_bytes(8, "little") + deep + SNAPSHOT[start + 8 + size : -32]
    with pytest.raises(DataError, match="makes no sense"):
        StateMachine.restore(content + hashlib.blake2b(content, digest_size=32).digest())


def test_bytes_after_the_end_are_noticed() -> None:
    content = SNAPSHOT[:-32] + bytes(8)
    with pytest.raises(DataError, match="something follows its end"):
        StateMachine.restore(content + hashlib.blake2b(content, digest_size=32).digest())


# ---- formats --------------------------------------------------------------------------------------------------------


GOLDEN_ENTRY = (
    "9301cd03e891c44c9295019294a56861707079c001ce3fdb089b94a3736164a46d6f6f6402ce4a386b5ec4083f"
    "79b07dbcfe57e9c40400000000919201019905a170a17492a161a162a46f70656ec0c2920102c3"
)
GOLDEN_HASHES = ("3f79b07dbcfe57e9", 1071319195, 1760249717, 1091800486)


def test_the_format_of_entries_has_not_changed() -> None:
    batch = entry.encode_batch(
        [
            cast([("u1", choice("happy")), (None, choice("sad", "mood", 2))]),
            entry.CreatePoll("p", "t", ["a", "b"], "open", None, False, [1, 2], True),
        ]
    )
    assert GOLDEN_ENTRY == entry.encode_entry(1_000, [batch]).hex()


def test_the_format_of_snapshots_has_not_changed() -> None:
    """A new format needs a new number in `image.MAGIC`, and this file must still be read."""
    assert GOLDEN.read_bytes() == image()
    assert busy().machine.digest() == StateMachine.restore(GOLDEN.read_bytes()).digest()


def test_hashes_and_fingerprints_have_not_changed() -> None:
    assert GOLDEN_HASHES == (
        entry.hash_id("u1", b"k" * 16).hex(),
        entry.fingerprint_of("happy", None, 1),
        entry.fingerprint_of("happy", "mood", 1),
        entry.fingerprint_of_body([(choice("happy"), 2), (choice("sad", "mood", 3), 1)]),
    )
