"""nsqlookupd, two nsqd and nsqadmin: from PATH, in containers, or the tests' own double of the first two.

The double is there because a machine without Docker finds nsqd in no registry. `up` and `status` say which it is.
Both nsqd write every message to disk before they answer (`--mem-queue-size=0 --sync-every=1`), unless
QUORATE_SERVICES_NSQ_DURABLE is 0. With the defaults, a killed nsqd forgets all votes that it acknowledged. With these
flags it forgets only those that it had handed out, and takes much longer (docs/nsq.md, "When nsqd dies"). nsqd sends a
killed node's messages again after `--msg-timeout`. Its default of 60 s is too long for tests.
"""

from __future__ import annotations

import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

import engine
import fetch
from folder import REPOSITORY, Folder, Gives, accepts
from processes import Failed, wait_for

NAME = "nsq"
GIVEN = "QUORATE_TEST_NSQD"
INSTALL = "put `nsqd` and `nsqlookupd` (nsqio/nsq) on PATH, or run a Docker engine"
START_S = 30
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is never asked through a proxy
FLAGS = ("--msg-timeout=10s",)
DURABLE = ("--mem-queue-size=0", "--sync-every=1")
DOUBLE = REPOSITORY / "tests/doubles/nsq"
NSQDS = ("nsqd-1", "nsqd-2")


def gives(nsqd: Sequence[str], nsqd_http: Sequence[str], lookupd: str, admin: str, kind: str) -> Gives:
    tests = {
        GIVEN: ",".join(nsqd),
        "QUORATE_TEST_NSQD_HTTP": ",".join(nsqd_http),
        "QUORATE_TEST_NSQLOOKUPD": lookupd,
        "QUORATE_TEST_NSQADMIN": admin,
        "QUORATE_TEST_NSQ_KIND": kind,
    }
    node = {"QUORATE_NSQ_LOOKUPD": lookupd} if lookupd else {"QUORATE_NSQ_NSQD": ",".join(nsqd)}
    return Gives({name: value for name, value in tests.items() if value}, node)


def given(nsqd: str) -> Gives:
    """The other addresses are in the environment too. Without nsqlookupd, consumers connect to each nsqd."""
    others = ("QUORATE_TEST_NSQD_HTTP", "QUORATE_TEST_NSQLOOKUPD", "QUORATE_TEST_NSQADMIN")
    http, lookupd, admin = (os.environ.get(name, "") for name in others)
    for address in nsqd.split(","):
        if not accepts(address):
            raise Failed(f"no nsqd takes connections at {address} ({GIVEN})")
    return gives(nsqd.split(","), http.split(","), lookupd, admin, "nsqd")


def answering(folder: Folder) -> bool:
    tests = folder.gives(NAME).tests
    addresses = [address for name in (GIVEN, "QUORATE_TEST_NSQLOOKUPD") for address in tests.get(name, "").split(",")]
    return GIVEN in tests and all(accepts(address) for address in addresses if address)


def from_path(folder: Folder) -> Gives | None:
    nsqd, nsqlookupd, nsqadmin = (shutil.which(name) for name in ("nsqd", "nsqlookupd", "nsqadmin"))
    if nsqd is None or nsqlookupd is None:
        return None
    found = _start(folder, [nsqd], [nsqlookupd], "nsqd")
    return _with_admin(folder, nsqadmin, found) if nsqadmin else found


def from_double(folder: Folder) -> Gives | None:
    """The double in tests/doubles/nsq, if the repository has it. It runs in .venv."""
    own = REPOSITORY / ".venv/bin/python"
    python = str(own) if own.exists() else sys.executable
    if not (DOUBLE / "__main__.py").exists():
        return None
    double = [python, "-m", "tests.doubles.nsq"]
    try:
        fetch.run([*double, "--help"], timeout_s=60, cwd=REPOSITORY)
    except Failed as failed:
        raise Failed(f"the tests' double does not run ({failed}); scripts/bootstrap.sh sets it up") from None
    return _start(folder, [*double, "nsqd"], [*double, "nsqlookupd"], "double")


def _start(folder: Folder, nsqd: Sequence[str], nsqlookupd: Sequence[str], kind: str) -> Gives:
    lookupd, lookupd_http = _addresses(folder, "nsqlookupd")
    flags = FLAGS + (DURABLE if os.environ.get("QUORATE_SERVICES_NSQ_DURABLE") != "0" else ())
    _start_one(folder, "nsqlookupd", [*nsqlookupd, f"--tcp-address={lookupd}", f"--http-address={lookupd_http}"])
    for name in NSQDS:
        tcp, http = _addresses(folder, name)
        data = folder.path / name
        data.mkdir(exist_ok=True)
        where = [f"--tcp-address={tcp}", f"--http-address={http}", "--broadcast-address=127.0.0.1"]
        _start_one(folder, name, [*nsqd, *where, f"--lookupd-tcp-address={lookupd}", f"--data-path={data}", *flags])
    tcp_all, http_all = zip(*(_addresses(folder, name) for name in NSQDS), strict=True)
    return gives(tcp_all, http_all, lookupd_http, "", kind)


def _with_admin(folder: Folder, nsqadmin: str, found: Gives) -> Gives:
    address, lookupd = f"127.0.0.1:{folder.port(NAME, 'nsqadmin')}", found.tests["QUORATE_TEST_NSQLOOKUPD"]
    _start_one(folder, "nsqadmin", [nsqadmin, f"--http-address={address}", f"--lookupd-http-address={lookupd}"])
    return Gives({**found.tests, "QUORATE_TEST_NSQADMIN": f"http://{address}"}, found.node)


def _start_one(folder: Folder, name: str, argv: Sequence[str]) -> None:
    http = next(word.partition("=")[2] for word in argv if word.startswith("--http-address="))
    # The working directory is the repository, so that Python finds the double as a module.
    folder.processes.start(name, argv, cwd=REPOSITORY)
    folder.processes.wait_until(name, lambda: _pings(http), START_S)


def _addresses(folder: Folder, name: str) -> tuple[str, str]:
    return f"127.0.0.1:{folder.port(NAME, name)}", f"127.0.0.1:{folder.port(NAME, name + '-http')}"


def _pings(http: str) -> bool:
    try:
        with DIRECTLY.open(f"http://{http}/ping", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def from_docker(folder: Folder) -> Gives:
    ports = {f"QUORATE_{name}": folder.port(NAME, name) for name in ("NSQLOOKUPD", "NSQADMIN")}
    for name in NSQDS:
        variable = name.upper().replace("-", "_")
        ports |= {f"QUORATE_{variable}": folder.port(NAME, name)}
        ports |= {f"QUORATE_{variable}_HTTP": folder.port(NAME, f"{name}-http")}
    engine.up(folder, CONTAINERS, ports)
    tcp, http = zip(*(_addresses(folder, name) for name in NSQDS), strict=True)
    lookupd, admin = (f"127.0.0.1:{ports[name]}" for name in ("QUORATE_NSQLOOKUPD", "QUORATE_NSQADMIN"))
    wait_for("NSQ in its containers", lambda: all(map(_pings, (*http, lookupd, admin))), START_S)
    return gives(tcp, http, lookupd, f"http://{admin}", "nsqd")


def stop(folder: Folder) -> None:
    for name in ("nsqadmin", *NSQDS, "nsqlookupd"):
        folder.processes.stop(name)


WAYS = {"path": from_path, "docker": from_docker, "double": from_double}
CONTAINERS = ("nsqlookupd", "nsqd-1", "nsqd-2", "nsqadmin")
