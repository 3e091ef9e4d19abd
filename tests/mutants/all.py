"""All mutants by name."""

from __future__ import annotations

from tests.mutants import counting, flushing, raft_elections, raft_log, raft_promises, reading, redis_door, submitting
from tests.mutants.planting import Mutant

ROOMS = (raft_promises, raft_log, raft_elections, counting, submitting, redis_door, reading, flushing)
MUTANTS: dict[str, Mutant] = {mutant.name: mutant for room in ROOMS for mutant in room.MUTANTS}
