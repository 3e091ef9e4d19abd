"""What a node proves itself with, from its settings; and which settings it does not start with."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from quorate.config import load
from quorate.errors import ConfigError
from quorate.link_credentials import link_credentials
from quorate.security.link_tls import LinkContexts
from quorate.tls_report import TlsReport
from tests.support.certificates import DAY, Authority
from tests.support.on_loop import on_loop

STRONG = "e7d40b5f68c3ef21da8b947065fb5e08d3c6a192470d9be8f3175ac64227c1a9"
SHORT = "a short key, but a random one?"


@pytest.mark.parametrize("forms", [True, False])
def test_a_strong_key_and_an_older_one_are_taken(forms: bool, caplog: pytest.LogCaptureFixture) -> None:
    config = load(env={}, flags={"raft.key": STRONG, "raft.key_old": SHORT}).config
    credentials = link_credentials(config, forms_cluster=forms)
    assert ((STRONG.encode(), SHORT.encode()), None) == (credentials.keys, credentials.tls)
    assert [] == caplog.records


def test_a_short_key_is_refused_in_a_new_cluster_and_warned_of_in_one_that_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = load(env={}, flags={"raft.key": SHORT}).config
    with pytest.raises(ConfigError, match=r"32 random bytes; make one: openssl rand -hex 32\. If this node joins"):
        link_credentials(config, forms_cluster=True)
    assert (SHORT.encode(),) == link_credentials(config, forms_cluster=False).keys
    assert ["the next release will refuse it" in record.getMessage() for record in caplog.records] == [True]
    assert logging.WARNING == caplog.records[0].levelno


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"raft.key": "a" * 16}, "raft.key has only 1 different characters, so it can be guessed"),
        ({"raft.key": STRONG, "raft.key_old": "b" * 20}, "raft.key_old has only 1 different characters"),
        ({"raft.key_old": STRONG}, "raft.key_old is the second key beside raft.key, which is not set"),
        ({"raft.tls_cert": "n1.pem"}, "raft.tls_cert without raft.tls_key and raft.tls_ca: give all three, or none"),
    ],
)
def test_settings_that_are_refused(flags: dict[str, str], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(env={}, flags=flags)
    assert why in refused.value.detail


def test_certificates_are_enough_beyond_this_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("n1", ["n1"])
    files = {"raft.tls_cert": str(cert), "raft.tls_key": str(key), "raft.tls_ca": str(authority.file)}
    beyond = {"raft.listen": "0.0.0.0:9001", "raft.advertise": "10.0.0.1:9001"}
    credentials = link_credentials(load(env={}, flags={**files, **beyond}).config, forms_cluster=True)
    assert ((), True) == (credentials.keys, isinstance(credentials.tls, LinkContexts))


def test_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("n1", ["n1"])
    (tmp_path / "empty.pem").touch()
    for ca, why in ((tmp_path / "empty.pem", "cannot be used as raft.tls_ca"), (tmp_path / "none.pem", "none.pem")):
        files = {"raft.tls_cert": str(cert), "raft.tls_key": str(key), "raft.tls_ca": str(ca)}
        config = load(env={}, flags=files).config
        with pytest.raises(ConfigError, match=why):
            link_credentials(config, forms_cluster=True)


def test_a_certificate_that_has_ended_is_an_alarm(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for lasts, words in ((DAY, "good until"), (-DAY, "ALARM: it ended at")):
        links = LinkContexts(*authority.issue("n1", ["n1"], lasts=lasts), authority.file)
        told = TlsReport(links.live, "raft.tls_cert", "peers").check()
        assert told.ready
        assert words in told.words


def other_name(authority: Authority, folder: Path) -> None:
    other = authority.issue("n7", ["n7"])
    for path, name in zip(other, ("n1.pem", "n1.key"), strict=True):
        path.replace(folder / name)


def other_authority(authority: Authority, folder: Path) -> None:
    authority.file.write_bytes(Authority(folder, "other").file.read_bytes())


def servers_only(authority: Authority, folder: Path) -> None:
    authority.issue("n1", ["n1"], only_for=ExtendedKeyUsageOID.SERVER_AUTH)


def clients_only(authority: Authority, folder: Path) -> None:
    authority.issue("n1", ["n1"], only_for=ExtendedKeyUsageOID.CLIENT_AUTH)


def half_an_authority(authority: Authority, folder: Path) -> None:
    """Its second certificate is still being written."""
    authority.file.write_bytes(authority.file.read_bytes() + Authority(folder, "other").file.read_bytes()[:200])


REFUSED_BY_PEERS = {
    other_name: "n1.pem is for n7, and this node is n1",
    other_authority: "n1.pem is not of an authority in",
    servers_only: "n1.pem is not for clients and servers both",
    clients_only: "n1.pem is not for clients and servers both",
}


def tls_of(authority: Authority, folder: Path) -> LinkContexts:
    files = {"raft.tls_cert": folder / "n1.pem", "raft.tls_key": folder / "n1.key", "raft.tls_ca": authority.file}
    flags = {"node.id": "n1", **{name: str(path) for name, path in files.items()}}
    tls = link_credentials(load(env={}, flags=flags).config, forms_cluster=True).tls
    assert isinstance(tls, LinkContexts)
    return tls


@pytest.mark.parametrize(
    ("change", "why"), [*REFUSED_BY_PEERS.items(), (half_an_authority, "cannot be used as raft.tls_ca")]
)
@on_loop
async def test_files_that_all_peers_would_refuse_take_nothing_away(
    tmp_path: Path, change: Callable[[Authority, Path], None], why: str
) -> None:
    """The certificate that was read before goes on, with an alarm."""
    authority = Authority(tmp_path)
    authority.issue("n1", ["n1"])
    tls = tls_of(authority, tmp_path)
    before = tls.server
    good = {path: path.read_bytes() for path in (tmp_path / "n1.pem", tmp_path / "n1.key", authority.file)}
    change(authority, tmp_path)
    for _ in range(2):
        await tls.live.look()
    assert before is tls.server
    assert why in str(tls.live.problem)
    for path, content in good.items():
        path.write_bytes(content)
    authority.issue("n1", ["n1"])
    for _ in range(2):
        await tls.live.look()
    assert (True, None) == (before is not tls.server, tls.live.problem)


@pytest.mark.parametrize(("change", "why"), REFUSED_BY_PEERS.items())
def test_a_certificate_that_all_peers_refuse_is_said_at_the_start(
    tmp_path: Path, change: Callable[[Authority, Path], None], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    authority.issue("n1", ["n1"])
    change(authority, tmp_path)
    tls_of(authority, tmp_path)
    assert [True] == [why in record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("lasts", [-DAY, DAY])
def test_a_certificate_that_is_right_is_not_warned_of_whenever_it_ends(
    tmp_path: Path, lasts: datetime.timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    """Its end is told with its renewal."""
    authority = Authority(tmp_path)
    authority.issue("n1", ["n1"], lasts=lasts)
    tls_of(authority, tmp_path)
    assert [] == caplog.records
