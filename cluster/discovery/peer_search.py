"""A starting node's search for the other nodes of its cluster in Consul, on a thread of its own.

Meanwhile the node runs and says what it waits for. A node whose log names members never searches: it has its peers,
whatever happens to Consul. The result of the search, or the error that ended it, is told on the node's loop, once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from quorate.cluster.discovery.formation import Formation, discover
from quorate.config import Config

log = logging.getLogger(__name__)


class PeerSearch:
    """`post` hands a call to the loop. `found` gets the agreed set, `failed` an error that waiting does not cure."""

    def __init__(
        self,
        config: Config,
        *,
        post: Callable[..., Any],
        found: Callable[[Formation], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._config, self._post, self._found, self._failed = config, post, found, failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="peer-search", daemon=True)
        self.words = f"looking for the others in Consul at {config.consul.shown_address}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Withdraw. Idempotent. It lasts a few deadlines of one call to Consul at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(4 * self._config.consul.timeout_ms / 1000 + 1)

    def _run(self) -> None:
        config = self._config
        try:
            formation = discover(
                config.consul,
                config.node.cluster,
                config.node.id,
                str(config.raft_address()),
                config.raft.bootstrap_expect,
                stop=self._stop,
                told=self._hear,
            )
        except Exception as error:
            self._tell(self._failed, error)
        else:
            if formation is not None:
                self._tell(self._found, formation)

    def _hear(self, words: str) -> None:
        self.words = words

    def _tell(self, listener: Callable[[Any], None], news: object) -> None:
        if not self._stop.is_set():
            with contextlib.suppress(RuntimeError):  # the loop ended in this moment
                self._post(listener, news)
