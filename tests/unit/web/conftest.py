"""Sites with and without TLS."""

from __future__ import annotations

import ssl

import pytest

from tests.support.certificates import Authority
from tests.unit.web.sites import Site


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["http", "https"])
def site(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Site:
    if request.param == "http":
        return Site(None)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue())
    return Site(context)
