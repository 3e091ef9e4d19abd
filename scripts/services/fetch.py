"""Fetch servers with the machine's own package tools, once, into a cache folder.

Nothing is installed on the machine: Debian packages are unpacked only, and PostgreSQL of a newer Debian gets a root
folder of its own. A fetch works in a folder aside and renames it at its end, so an interrupted fetch never counts as
done. Mirrors, proxies and indexes are those of the machine's configuration; the code names Debian suites only.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from folder import cache_folder, locked, remove
from processes import Failed

FETCH_S = 900  # for one step, over a slow line
FERRETDB, DOCUMENTDB = "ferretdb-2.7", "documentdb-18"  # as they are called in the cache
FERRETDB_MODULE = "github.com/FerretDB/FerretDB/v2/cmd/ferretdb@v2.7.0"
GO = "1.25"  # at least, for this FerretDB
SBIN = ("/usr/sbin", "/sbin")
# A mirror may serve a suite that is no longer renewed; its signature is checked all the same.
STALE_IS_FINE = 'Acquire::Check-Valid-Until "false";'


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of this name in the cache. If it is not there, `make` fills it."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    done, part = cache / name, cache / f"{name}.part"
    with locked(cache / f"{name}.lock"):
        if not done.exists():
            if os.environ.get("QUORATE_SERVICES_FETCH") == "0":
                raise Failed(f"{name} would have to be fetched first: `scripts/services.sh up` does it")
            print(f"services: fetching {name} (once, into {cache})", flush=True)
            remove(part)
            part.mkdir()
            make(part)
            part.rename(done)
    return done


def is_cached(name: str) -> bool:
    return (cache_folder() / name).exists()


def run(
    argv: Sequence[str], *, timeout_s: float = FETCH_S, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> str:
    """Run a command and return its output. If it fails, raise `Failed` with its last line."""
    try:
        answer = subprocess.run(
            argv, env={**os.environ, **(env or {})}, cwd=cwd, capture_output=True, text=True, timeout=timeout_s
        )
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not on PATH") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{argv[0]} did not end within {timeout_s:.0f} s") from None
    if answer.returncode != 0:
        words = (answer.stderr.strip() or answer.stdout.strip() or "it said nothing").splitlines()
        raise Failed(f"{' '.join(argv[:2])} failed: {words[-1][-300:]}")
    return answer.stdout


def debian_mirror() -> str:
    """The Debian mirror that apt uses on this machine."""
    if shutil.which("apt-get") is None:
        raise Failed("this is not Debian: there is no apt-get")
    form = "$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)"
    for refresh in (False, True):  # apt knows no origins before the first `apt-get update`
        if refresh and os.geteuid() == 0:
            run(["apt-get", "update"], timeout_s=120)
        for line in run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).splitlines():
            origin, component, codename, mirror = line.split("|")
            if origin == "Debian" and component == "main" and "-" not in codename:
                return mirror
    raise Failed("this machine's apt knows no Debian mirror")


def source_line(suite: str) -> str:
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed_by = f"[signed-by={keyring}] " if keyring.exists() else ""
    return f"deb {signed_by}{debian_mirror()} {suite} main\n"


def unpack_debian(suite: str, package: str, into: Path) -> None:
    """Unpack one package of another suite. Apt gets lists and a status of its own here, apart from the machine's."""
    apt = into / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources.list").write_text(source_line(suite))
    own = {
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::sourcelist": f"{apt}/sources.list",
        "Dir::State": f"{apt}/state",
        "Dir::State::status": f"{apt}/status",
        "Dir::Cache": f"{apt}/cache",
        "APT::Sandbox::User": "root",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
    }
    options = [word for key, value in own.items() for word in ("-o", f"{key}={value}")]
    run(["apt-get", *options, "update"])
    run(["apt-get", *options, "download", package], cwd=apt)
    (archive,) = apt.glob("*.deb")
    run(["dpkg", "-x", str(archive), str(into)])
    shutil.rmtree(apt)


def consul_binary() -> Path:
    """Consul 1.8.7, the last version in Debian. It runs on later releases too, and needs no root."""
    return cached("consul-1.8", lambda into: unpack_debian("bullseye", "consul", into)) / "usr/bin/consul"


def expect_debian_mongodb() -> None:
    """Raise `Failed` before minutes of downloads if something that comes after them cannot be done here."""
    if os.geteuid() != 0:
        raise Failed("PostgreSQL with DocumentDB is fetched and run as root only")
    use_sbin()
    for program in ("unshare", "chroot"):
        if shutil.which(program) is None:
            raise Failed(f"{program} is not on PATH")
    if not is_cached(DOCUMENTDB) and shutil.which("apt-get") is None:
        raise Failed("this is not Debian: there is no apt-get")
    if not is_cached(FERRETDB):
        _expect_go()


def use_sbin() -> None:
    """Debian has chroot and what dpkg calls in folders that are not on everybody's PATH."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*folders, *(each for each in SBIN if each not in folders)])


def _expect_go() -> None:
    """FerretDB is compiled here. Go 1.21 and later fetch the newer Go that this needs, unless they are told not to."""
    if shutil.which("go") is None:
        raise Failed(f"FerretDB is compiled by Go {GO} or later, and there is no `go` on PATH")
    version, *toolchain = run(["go", "env", "GOVERSION", "GOTOOLCHAIN"], timeout_s=30).split()
    found = re.match(r"go(\d+)\.(\d+)", version)
    old = found is not None and (int(found[1]), int(found[2])) < tuple(map(int, GO.split(".")))
    if old and (not toolchain or toolchain[0].startswith("local")):
        raise Failed(f"FerretDB is compiled by Go {GO} or later, and this is {version}")


def ferretdb_binary() -> Path:
    """FerretDB 2: MongoDB's protocol over PostgreSQL."""

    def make(into: Path) -> None:
        run(["go", "install", FERRETDB_MODULE], env={"GOBIN": str(into)})

    return cached(FERRETDB, make) / "ferretdb"


def documentdb_root() -> Path:
    """A small Debian with PostgreSQL 18 and DocumentDB: older releases do not have them. Needs root."""

    def make(into: Path) -> None:
        tool = into / "tool"
        path = os.environ["PATH"]
        if shutil.which("mmdebstrap") is None:
            run(["apt-get", "download", "mmdebstrap"], cwd=into)
            (archive,) = into.glob("mmdebstrap*.deb")
            run(["dpkg", "-x", str(archive), str(tool)])
            path = f"{tool / 'usr/bin'}:{path}"
        options = [
            *("--variant=apt", "--mode=root", "--include=postgresql-18-documentdb"),
            *(f"--aptopt={STALE_IS_FINE}", '--aptopt=Acquire::Languages "none"'),
            *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("man", "doc", "locale")),
        ]
        run(["mmdebstrap", *options, "forky", str(into / "root"), source_line("forky").strip()], env={"PATH": path})
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(tool)

    return cached(DOCUMENTDB, make) / "root"
