"""Who may ask this node, as /status and /readyz tell it, and the alarm while the file of tokens cannot be taken.

The alarm never makes a node unready: the last good tokens hold, and a bad file that is given to all nodes at once must
not take all of them out of service.
"""

from __future__ import annotations

import logging

import msgspec

from quorate.doors.access import Access
from quorate.http.api import CheckResult
from quorate.security.token_file import TokenFile
from quorate.security.tokens import IN_COMMON, without_share
from quorate.words import count

NAMES_SHOWN = 5

log = logging.getLogger(__name__)


class AuthStatus(msgspec.Struct):
    tokens: int  # that hold now
    anonymous: str  # the role of callers without a token; "public": they may use nothing but public routes
    file_good: bool  # false: the file cannot be taken, and the last good tokens hold
    problem: str | None  # what is wrong with the file
    changes: int  # how often other tokens were taken since this node started


class AuthReport:
    """Used on the node's loop."""

    def __init__(self, tokens: TokenFile, access: Access) -> None:
        self._tokens, self._access = tokens, access
        tokens.on_change(self._warn_of_shares)

    def status(self) -> AuthStatus:
        tokens = self._tokens
        return AuthStatus(
            len(tokens.tokens), self._access.anonymous, tokens.problem is None, tokens.problem, tokens.changes
        )

    def check(self) -> CheckResult:
        """For /readyz, where it never fails."""
        tokens = self._tokens
        if not tokens.is_configured:
            return CheckResult(True, "none are configured", f"without one: {self._access.anonymous}")
        if tokens.problem is not None:
            return CheckResult(True, "ALARM: auth.file cannot be taken, the last good tokens hold", tokens.problem)
        return CheckResult(True, f"{count(len(tokens.tokens), 'token')}", f"without one: {self._access.anonymous}")

    def warn(self) -> None:
        """Say at the start what the settings make of the tokens, where that may surprise."""
        self._warn_of_shares()
        if self._tokens.is_configured and self._access.anonymous == "operate":
            log.warning(
                "auth.file has tokens, and whoever reaches this node may do everything without one: set "
                "auth.anonymous = [] (or read, vote) if that is not meant"
            )

    def _warn_of_shares(self) -> None:
        if names := without_share(self._tokens.tokens):
            more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
            who = f"{', '.join(names[:NAMES_SHOWN])}{more}"
            log.warning("all shares of the dedup window are taken; the common one is left for %s: %s", who, IN_COMMON)
