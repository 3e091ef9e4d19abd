"""What a replica draws its chances from."""

from __future__ import annotations

import random

from quorate.cluster.raft.environment import without_system_calls


def test_draws_of_every_message_ask_the_system_only_once() -> None:
    quick = without_system_calls(random.SystemRandom())
    assert type(quick) is random.Random
    assert quick.random() != without_system_calls(random.SystemRandom()).random(), "each replica draws its own"


def test_a_simulation_keeps_its_own() -> None:
    own = random.Random(7)
    assert own is without_system_calls(own)
