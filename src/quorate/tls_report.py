"""How long a certificate is good, in /status and /readyz, and the alarm while its files cannot be taken.

The alarm never makes a node unready: the certificate that was read last goes on, and those who see it say themselves
when it has ended.
"""

from __future__ import annotations

import msgspec

from quorate.http.api import CheckResult
from quorate.security.tls import LiveTls


class TlsStatus(msgspec.Struct):
    days_left: float  # until the certificate ends; below 0 after that
    files_good: bool  # false: the files cannot be taken, and the certificate that was read before goes on
    problem: str | None  # what is wrong with the files
    changes: int  # how often another certificate was taken since this node started


class TlsReport:
    """Used on the node's loop."""

    def __init__(self, tls: LiveTls, setting: str = "http.tls_cert", seen_by: str = "clients") -> None:
        self._tls, self._setting, self._seen_by = tls, setting, seen_by

    def status(self) -> TlsStatus:
        tls = self._tls
        return TlsStatus(round(tls.days_left(), 2), tls.problem is None, tls.problem, tls.changes)

    def check(self) -> CheckResult:
        """For /readyz, where it never fails."""
        tls = self._tls
        until = f"{tls.ends:%Y-%m-%d %H:%M} UTC"
        if tls.problem is not None:
            return CheckResult(
                True, f"ALARM: {self._setting} cannot be taken, the one until {until} goes on", tls.problem
            )
        if tls.days_left() < 0:
            return CheckResult(True, f"ALARM: it ended at {until}", f"{self._seen_by} refuse it: renew it")
        return CheckResult(True, f"good until {until}")
