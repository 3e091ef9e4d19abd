"""Words that clients send and several rooms read. Each is listed only here."""

from __future__ import annotations

from typing import Literal, get_args

Level = Literal["none", "weak", "linearizable"]  # how new a read must be; `cluster/read/reads.py` says what each means
LEVELS: tuple[Level, ...] = get_args(Level)

Action = Literal["add", "remove", "replace"]  # what operators do with a member
ACTIONS: tuple[Action, ...] = get_args(Action)
