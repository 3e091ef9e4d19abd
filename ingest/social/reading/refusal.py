"""A network answered a request with something else than success."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.errors import ConfigError
from quorate.ingest.social.network import Inlet
from quorate.ingest.social.reading.pauses import TOO_MANY, ReconnectPauses
from quorate.web.long_read import LongReadFailed

PATIENCE = 5  # so often in a row what was once accepted may be refused, before it is for a person to mend


class StreamRefused(Exception):
    """`str()` says why, for people. `mendable`: only a person can change it: credentials, a URL, a request."""

    def __init__(self, why: str, status: int, headers: Mapping[str, str], *, mendable: bool = False) -> None:
        super().__init__(why)
        self.status, self.headers, self.mendable = status, headers, mendable

    @property
    def reason(self) -> str:
        """For `Inlet.disconnected`."""
        return "rate_limited" if self.status in TOO_MANY else f"http_{self.status}"


class Refusals:
    """What only a person can mend ends the network, at its start at once. What worked before is tried some times more:
    servers refuse good credentials, too, for a moment."""

    def __init__(self, inlet: Inlet, pauses: ReconnectPauses) -> None:
        self._inlet, self._pauses = inlet, pauses
        self._left = 0

    def accepted(self) -> None:
        self._left = PATIENCE

    def refused(self, refusal: StreamRefused) -> None:
        """Tell it and pause. Raises `ConfigError` if there is no use in another try."""
        if refusal.mendable:
            if self._left == 0:
                raise ConfigError(str(refusal))
            self._left -= 1
        self._inlet.disconnected(refusal.reason, str(refusal))
        self._inlet.pause(self._pauses.answered(refusal.status, refusal.headers))

    def failed(self, source: str, error: LongReadFailed) -> None:
        """There was no answer: tell it and pause. A server that sends us elsewhere does not let us read either."""
        if error.reason == "redirected":
            self.refused(StreamRefused(f"{source}: {error}", 302, {}, mendable=True))
            return
        self._inlet.disconnected(error.reason, f"{source}: {error}")
        self._inlet.pause(self._pauses.unreachable())
