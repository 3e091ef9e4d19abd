"""Who sent a request, and what this caller may do. Both doors hand it to the handlers with the request."""

from __future__ import annotations

from dataclasses import dataclass

from quorate.security.bucket import Bucket
from quorate.security.roles import RANKS, RouteRole
from quorate.security.tokens import Token


@dataclass(frozen=True, slots=True)
class Caller:
    """`role` is "public" if the caller may use nothing but public routes. `token` is None for a caller without one."""

    address: str  # the host that the connection comes from; "" where that is not known
    role: RouteRole
    token: Token | None = None
    bucket: Bucket | None = None  # of its rate; None: it has no rate
    is_stranger: bool = False  # it has no token where tokens are configured, whatever it may do

    @property
    def name(self) -> str:
        """The name of the token; "" without one."""
        return "" if self.token is None else self.token.name

    @property
    def polls(self) -> frozenset[str] | None:
        """The polls that the token is bound to; None if it is bound to none."""
        return None if self.token is None else self.token.polls

    @property
    def share(self) -> int:
        """Of the dedup window, for the ids of its votes; 0: the common one."""
        return 0 if self.token is None else self.token.share

    def may(self, role: RouteRole) -> bool:
        return RANKS[role] <= RANKS[self.role]

    def may_see(self, poll_id: str) -> bool:
        """Whether the token is for this poll, whether or not there is such a poll."""
        return self.token is None or self.token.polls is None or poll_id in self.token.polls

    def __str__(self) -> str:
        """For log lines: the token's name and the address, neither of which holds what a stranger wrote."""
        return f"{self.name or 'a caller without a token'} from {self.address or 'an unknown address'}"
