"""What the listeners of a node hear of its state, in particular of a state that takes the place of another one."""

from __future__ import annotations

from quorate.cluster import entry
from quorate.cluster.fsm import Applied, StateMachine
from quorate.cluster.raft.leader_clock import LeaderClock
from quorate.cluster.raft.local_state import LocalState
from tests.unit.state.fsm_script import Script


def played(history: str) -> StateMachine:
    script = Script()
    script.machine.raise_level(entry.encode_raise(1))
    script.play(history)
    return script.machine


def test_a_snapshot_tells_of_every_poll_that_came_stayed_or_went() -> None:
    """A client may follow the poll that went, and nothing else would tell it."""
    local, heard = LocalState(LeaderClock()), list[Applied]()
    local.load(played("poll old a b; poll both a b"))
    local.on_applied(heard.append)
    local.replace(played("poll old a b; poll both a b; close old; archive old; delete old; poll new a b"))
    [applied] = heard
    assert ["both", "new", "old"] == sorted(applied.polls)
    assert local.current.version == applied.version
