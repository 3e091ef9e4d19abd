"""What a command is: its name, its arguments, and who may use it. The table of all is in `commands.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from quorate.resp.encoding import Value
from quorate.resp.parsing import Command
from quorate.resp.session import Session
from quorate.security.caller import Caller
from quorate.security.roles import RouteRole

Answer: TypeAlias = "Value | Awaitable[Value]"


@dataclass(frozen=True, slots=True)
class Spec:
    """`arity` counts the name, and is negative where more may follow, as in Redis' COMMAND. `first_key`: 0 for none."""

    name: str
    arity: int
    role: RouteRole
    run: Callable[[Session, Caller, Command], Answer]
    summary: str
    flags: tuple[str, ...] = ()
    first_key: int = 0
    last_key: int = 0
    in_transaction: bool = True

    def takes(self, command: Command) -> bool:
        return len(command) == self.arity if self.arity > 0 else len(command) >= -self.arity
