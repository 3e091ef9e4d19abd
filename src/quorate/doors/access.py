"""Who sent a request, and whether this caller may use the route: the one check, before any door and before a body.

HTTP asks it as soon as the route is known, or, for a small vote, when the kilobyte of its body has come. It gives the
`Caller`, or raises `Unauthorized` (a token is needed, or this one is unknown) or
`Forbidden` (the token's role is too small). A token that is not known counts as none, so a route that needs none
answers as before; where one is needed, the refusal says so. A caller with a rate (`rates.py`) that asks too fast is
refused here, too.

What a caller may do with a route's polls, votes and producers is the business of the route's handler (`bounds.py`).
"""

from __future__ import annotations

from collections import Counter

from quorate.doors.rates import Rates, let_in
from quorate.errors import Forbidden, OverRate, Unauthorized
from quorate.security.caller import Caller
from quorate.security.roles import RouteRole
from quorate.security.token_file import TokenFile

ADDRESSES_KEPT = 1_024
REVOKED = "this token was revoked before the request was answered"


class Access:
    """Used on the node's loop. `anonymous` is the role of callers without a token."""

    def __init__(
        self, file: TokenFile | None = None, anonymous: RouteRole = "operate", rates: Rates | None = None
    ) -> None:
        self._file = file if file is not None and file.is_configured else None
        self.anonymous = anonymous
        self._rates = Rates() if rates is None else rates
        self._is_open = self._file is None and anonymous == "operate"
        self._refuses = not self._is_open or self._rates.anonymous > 0  # if not, votes must not wait for it
        if file is not None:
            file.on_change(lambda: self._rates.keep(file.tokens))
        self.refused: Counter[str] = Counter()  # callers, by why: missing, unknown, role, rate
        self._nobody: dict[str, Caller] = {}  # by address: most requests come from few addresses, and have no token

    @property
    def knows_tokens(self) -> bool:
        """Otherwise credentials say nothing, and need not be looked for."""
        return self._file is not None

    def admit(self, needed: RouteRole, address: str, credentials: bytes | None) -> Caller:
        """The caller of a request for a route that needs this role. `credentials`: `Bearer TOKEN`, as sent.

        Raises `Unauthorized`, `Forbidden` or `OverRate`.
        """
        if credentials is None:
            caller = self._nobody.get(address) or self._remember(address)
        else:
            caller = self._known(credentials, address)
        if self._refuses:
            if not caller.may(needed):
                self._refuse(caller, needed, credentials)
            if caller.bucket is not None and needed != "public":
                self._let_in(caller)
        return caller

    def holds(self, caller: Caller) -> bool:
        """Whether the caller's token, if it has one, is still what it was when the caller was admitted."""
        return caller.token is None or (self._file is not None and self._file.tokens.still_has(caller.token))

    def shows_all(self, caller: Caller) -> bool:
        """Whether the caller is shown paths, addresses and ids: with a token for all polls, or where none are needed.

        Where tokens are configured, a caller without one is a stranger, whatever it may do.
        """
        if caller.token is not None:
            return caller.polls is None
        return self._is_open

    def check_holds(self, caller: Caller) -> None:
        """Raises `Unauthorized` if the caller's token was revoked since: while a body came, or while a read waited."""
        if caller.token is not None and not self.holds(caller):
            raise Unauthorized(REVOKED, token="unknown")

    def _remember(self, address: str) -> Caller:
        if len(self._nobody) >= ADDRESSES_KEPT:
            self._nobody.clear()
        bucket, is_stranger = self._rates.of_address(address), self._file is not None
        caller = self._nobody[address] = Caller(_plain(address), self.anonymous, bucket=bucket, is_stranger=is_stranger)
        return caller

    def _known(self, credentials: bytes, address: str) -> Caller:
        scheme, _, secret = credentials.partition(b" ")
        token = None
        if self._file is not None and scheme.lower() == b"bearer":
            token = self._file.tokens.find(secret.strip())
        if token is None:
            return self._nobody.get(address) or self._remember(address)
        return Caller(_plain(address), token.role, token, self._rates.of_token(token))

    def _let_in(self, caller: Caller) -> None:
        try:
            let_in(caller)
        except OverRate:
            self.refused["rate"] += 1
            raise

    def _refuse(self, caller: Caller, needed: RouteRole, credentials: bytes | None) -> None:
        if caller.token is not None:
            self.refused["role"] += 1
            raise Forbidden(
                f"the token {caller.name} has the role {caller.role}, and this needs {needed}",
                role=caller.role,
                needed=needed,
            )
        if self._file is None:
            words = "this node has no tokens (auth.file) and auth.anonymous does not allow it"
        elif credentials is None:
            words = "send a token, as Authorization: Bearer TOKEN"
        elif credentials[:7].lower() == b"bearer ":
            words = "this token is not known here: it was revoked, or belongs to another cluster"
        else:
            words = "Authorization is not of the form Bearer TOKEN"
        self.refused[_state(credentials)] += 1
        raise Unauthorized(f"this needs the role {needed}; {words}", needed=needed, token=_state(credentials))


def _plain(address: str) -> str:
    """The address as people write it: a socket for both families gives IPv4 addresses inside IPv6 ones."""
    return address.removeprefix("::ffff:") if "." in address else address


def _state(credentials: bytes | None) -> str:
    return "missing" if credentials is None else "unknown"
