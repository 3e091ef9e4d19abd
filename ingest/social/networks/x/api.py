"""Questions to X that are answered at once: rules and searches. They are asked until there is an answer.

A failure is told in the log and tried again after the pause that X's documents ask for. What only a person can mend is
raised: at the start at once, later after some tries.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import quorate
from quorate.ingest.social.network import Inlet
from quorate.ingest.social.networks.x.access import XAccess
from quorate.ingest.social.networks.x.problems import refusal_of
from quorate.ingest.social.reading.loose_json import mended
from quorate.ingest.social.reading.pauses import ReconnectPauses
from quorate.ingest.social.reading.refusal import PATIENCE, StreamRefused
from quorate.web.exchange import WebAnswer, exchange
from quorate.web.long_read import LongReadFailed

log = logging.getLogger(__name__)

HEADERS = {"User-Agent": f"quorate/{quorate.__version__}"}


class XApi:
    def __init__(self, base: str, access: XAccess, inlet: Inlet) -> None:
        self.base, self.access = base, access
        self._inlet = inlet
        self._was_accepted = False

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        expected: tuple[int, ...] = (200,),
    ) -> WebAnswer:
        """An answer with an expected status. Raises `StreamRefused`."""
        pauses, patience, is_renewed = ReconnectPauses(), PATIENCE if self._was_accepted else 0, False
        while True:
            try:
                answer = self._try(method, path, params, json)
                if answer.status in expected and mended(answer.body) is not None:
                    self._was_accepted = True
                    return answer
                if answer.status == 200:
                    raise StreamRefused(
                        f"{self.base}{path} answers no JSON; is the URL that of X's API?",
                        200,
                        answer.headers,
                        mendable=True,
                    )
                if answer.status == 401 and not is_renewed and self.access.renew():
                    is_renewed = True
                    continue
                raise refusal_of(self.base + path, answer.status, answer.headers, answer.json())
            except LongReadFailed as error:
                self._inlet.pause(0)  # a stop ends the question, too
                if error.reason == "redirected" and not self._was_accepted:
                    raise StreamRefused(f"{self.base}{path}: {error}", 302, {}, mendable=True) from None
                why, pause_s = f"{self.base}{path}: {error}", pauses.unreachable()
            except StreamRefused as refusal:
                if refusal.mendable:
                    if patience == 0:
                        raise
                    patience -= 1
                why, pause_s = str(refusal), pauses.answered(refusal.status, refusal.headers)
            log.warning("%s; asking again in %.1f s", why, pause_s)
            self._inlet.pause(pause_s)

    def _try(self, method: str, path: str, params: Mapping[str, Any] | None, json: Any) -> WebAnswer:
        return exchange(
            method,
            self.base + path,
            headers=HEADERS,
            params=params,
            json=json,
            auth=self.access.auth(),
            closing=self._inlet.closing,
        )
