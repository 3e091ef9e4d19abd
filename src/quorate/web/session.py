"""The session by which commands and nodes ask others over HTTP. It follows the rule of `proxies.py` and nothing else.

What `requests` reads of the environment by itself is switched off: passwords in ~/.netrc, and another rule for proxies.
A bundle of certificates (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) still holds.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import Any

import requests
from urllib3 import HTTPConnectionPool

from quorate.web.connecting import WebAdapter
from quorate.web.proxies import Proxy, proxy_for


class WebSession(requests.Session):
    """`origins`: with how many servers it keeps connections open, `connections`: how many with each. `pools`: see
    `WebAdapter`."""

    def __init__(
        self,
        *,
        origins: int = 4,
        connections: int = 4,
        env: Mapping[str, str] = os.environ,
        pools: Mapping[str, type[HTTPConnectionPool]] | None = None,
    ) -> None:
        super().__init__()
        self.trust_env = False
        self._env = env
        self._known: dict[str, Proxy | None] = {}  # by the beginning of a URL, up to its path
        for scheme in ("http://", "https://"):
            self.mount(scheme, WebAdapter(pools=pools, pool_connections=origins, pool_maxsize=connections))

    def proxy_for(self, url: str) -> Proxy | None:
        """Raises `ConfigError` if the environment names a proxy that cannot be used."""
        origin = "/".join(url.split("/", 3)[:3])
        if origin not in self._known:
            self._known[origin] = proxy_for(origin, self._env)
        return self._known[origin]

    def merge_environment_settings(
        self, url: str | bytes | None, proxies: Any, stream: bool | None, verify: Any, cert: Any
    ) -> Any:
        merged = super().merge_environment_settings(url, proxies, stream, verify, cert)
        merged["proxies"] = self._proxies(str(url))
        if merged["verify"] is True:
            merged["verify"] = self._env.get("REQUESTS_CA_BUNDLE") or self._env.get("CURL_CA_BUNDLE") or True
        return merged

    def rebuild_proxies(self, prepared_request: requests.PreparedRequest, proxies: Any) -> MutableMapping[str, str]:
        """For the next request after a redirect."""
        return self._proxies(str(prepared_request.url))

    def _proxies(self, url: str) -> dict[str, str]:
        proxy = self.proxy_for(url)
        return {} if proxy is None else {url.partition("://")[0]: proxy.url}
