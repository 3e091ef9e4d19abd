"""All mutants by name."""

from __future__ import annotations

from tests.mutants import raft_elections, raft_log, raft_promises
from tests.mutants.planting import Mutant

ROOMS = (raft_promises, raft_log, raft_elections)
MUTANTS: dict[str, Mutant] = {mutant.name: mutant for room in ROOMS for mutant in room.MUTANTS}
