"""Get, start, show and stop the servers that development and tests use."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from types import ModuleType

import consul_server
import engine
import mongodb
import nsq_servers
from folder import Folder, Gives, remove, services_folder, unmount_below
from processes import Failed

SERVERS: dict[str, ModuleType] = {module.NAME: module for module in (nsq_servers, consul_server, mongodb)}

HOW = {
    "given": "given by the environment",
    "path": "the program on PATH",
    "docker": "a container",
    "debian": "fetched by Debian's ways",
    "double": "the tests' own double",
}
HELP = """\
Get, start, show and stop the servers that development and tests use, on 127.0.0.1 and free ports, which stay the same
from one `up` to the next:

  nsq      nsqlookupd, two nsqd with durable flags, nsqadmin
  consul   a Consul server
  mongo    a MongoDB

Each is had in the first of these ways that there is:
  1. its address in the environment (below): it must answer, and is never stopped
  2. the program on PATH: nsqd, nsqlookupd and nsqadmin; consul; mongod
  3. a Docker engine that answers, by deploy/compose/services.yml
  4. on Debian: Consul's package of an earlier release, unpacked; as root, and with Go 1.25 or later, FerretDB 2 over
     PostgreSQL 18 with DocumentDB (it speaks MongoDB's protocol). Nothing is installed on the machine.
  5. nsq alone: the double that the tests have, which speaks nsqd's protocol

`up` starts what does not run, also what was killed, with its data; its exit code is 1 if a server could not be had.
`down` stops what `up` started and keeps the data; `down --purge` removes data and logs too. What was fetched stays.
"""

VARIABLES = """\
read and given (`eval "$(scripts/services.sh env)"`):
  QUORATE_TEST_NSQD         TCP addresses of the nsqds, with commas
  QUORATE_TEST_NSQD_HTTP    their HTTP addresses
  QUORATE_TEST_NSQLOOKUPD   HTTP address of nsqlookupd
  QUORATE_TEST_NSQADMIN     URL of nsqadmin, where there is one
  QUORATE_TEST_CONSUL       HTTP address of the Consul agent
  QUORATE_TEST_MONGO_URL    URL of the MongoDB
given only:
  QUORATE_TEST_NSQ_KIND     nsqd, or double
  QUORATE_TEST_CONSUL_DNS   its DNS address
  QUORATE_TEST_CONSUL_BIN   the consul program, for tests that start agents of their own
  QUORATE_NSQ_LOOKUPD, QUORATE_CONSUL_ADDRESS, QUORATE_CONSUL_CHECK, QUORATE_MONGO_URL    a node's settings
read only:
  QUORATE_SERVICES_DIR      where all of it lives while it runs (default: .services in the repository)
  QUORATE_SERVICES_FETCH    0: start only what is here, and fetch nothing
  QUORATE_SERVICES_NSQ_DURABLE    0: the nsqds have their own default flags, and forget messages when they are killed
  XDG_CACHE_HOME            what was fetched is kept in its quorate/ (default: .cache in the repository)
"""


def up(folder: Folder, names: list[str]) -> int:
    """Start the servers that do not run. For each that cannot be had, print a line and return 1 at the end."""
    failed = 0
    folder.check()
    for name in names:
        try:
            how, gives = _had(folder, name)
        except (Failed, OSError) as error:
            failed = 1
            print(f"services: {name}: {error}; {SERVERS[name].INSTALL}", file=sys.stderr)
            continue
        folder.remember(name, how=how, tests=gives.tests, node=gives.node)
        print(f"services: {_line(folder, name)}", flush=True)
    return failed


def _had(folder: Folder, name: str) -> tuple[str, Gives]:
    """The first way that works here, and what the server gives. A server that ran before gets the same way again."""
    server, before = SERVERS[name], folder.state(name)
    given = os.environ.get(server.GIVEN)
    if given and given != folder.gave(name).get(server.GIVEN):  # the same: it is ours, and the shell evaluated `env`
        return "given", server.given(given)
    if "how" not in before:
        folder.drop_lost_ports(name)
    for how, way in server.WAYS.items():
        if before.get("how", how) not in (how, "given"):
            continue
        if how == "docker" and not engine.answers():
            continue
        # Before the start, so that `down` finds the server even if this program dies meanwhile.
        folder.remember(name, how=how)
        try:
            if (gives := way(folder)) is not None:
                return how, gives
        except (Failed, OSError):
            if "how" not in before:  # so it has no data yet: the next `up` tries every way again
                _let_go(folder, name)
            raise
    if (how := before.get("how", "")) in server.WAYS:  # a part of it may run: `down` must find it
        raise Failed(f"it was had as {HOW[how]}, which is not here now: bring that back, or `down {name}` first")
    folder.forget(name)
    raise Failed("not to be had here")


def _let_go(folder: Folder, name: str) -> None:
    SERVERS[name].stop(folder)
    if folder.state(name).get("how") == "docker":
        engine.stop(folder, SERVERS[name].CONTAINERS)
    folder.forget(name)


def down(folder: Folder, names: list[str], purge: bool) -> int:
    failed = 0
    folder.begin_anew_if_damaged()
    for name in names:
        try:
            _let_go(folder, name)
        except Failed as error:
            failed = 1
            print(f"services: {name}: {error}", file=sys.stderr)
    unmount_below(folder.path)
    if purge and not failed:
        engine.purge(folder)
        remove(folder.path)
    return failed


def status(folder: Folder, names: list[str]) -> int:
    for name in names:
        print(_line(folder, name))
    return 0 if all(SERVERS[name].answering(folder) for name in names) else 1


def _line(folder: Folder, name: str) -> str:
    how = folder.state(name).get("how")
    if how is None:
        return f"{name}: not started"
    state = "up" if SERVERS[name].answering(folder) else "DOWN"
    given = " ".join(f"{variable}={value}" for variable, value in folder.gives(name).tests.items())
    return f"{name}: {state}, {HOW[how]}: {given}"


def env(folder: Folder, names: list[str], which: str, *, answering: bool) -> int:
    for name in names:
        if answering and not SERVERS[name].answering(folder):
            continue
        gives = folder.gives(name)
        chosen = {**(gives.tests if which != "node" else {}), **(gives.node if which != "tests" else {})}
        for variable, value in chosen.items():
            print(f"export {variable}={shlex.quote(value)}")
    return 0


def main() -> int:
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("services.sh", description=HELP, epilog=VARIABLES, formatter_class=as_written)
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|env")
    for command, what in (
        ("up", "start what does not run"),
        ("down", "stop what we started"),
        ("status", "one line a server"),
        ("env", "shell lines for eval"),
    ):
        one = commands.add_parser(command, help=what)
        one.add_argument("servers", nargs="*", help=f"of {', '.join(SERVERS)}; none means all")
        if command == "down":
            one.add_argument("--purge", action="store_true", help="remove data and logs too")
        if command == "env":
            one.add_argument("--only", choices=("tests", "node"), default="all", help="only one of the two kinds")
            one.add_argument("--answering", action="store_true", help="only servers that answer now")
    given = parser.parse_args()
    names = given.servers or list(SERVERS)
    if unknown := [name for name in names if name not in SERVERS]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(SERVERS)}")
    folder = Folder(services_folder())
    if given.command == "status":
        return status(folder, names)
    if given.command == "env":
        return env(folder, names, given.only, answering=given.answering)
    with folder.held():
        return up(folder, names) if given.command == "up" else down(folder, names, given.purge)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        sys.exit(f"services: {error}")
    except KeyboardInterrupt:
        sys.exit("services: interrupted; `services.sh down` stops what was started")
