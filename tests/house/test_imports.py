"""Which room may import which other room: `docs/design.md`, "Rooms", as a test. ROOMS gives each module its room."""

from __future__ import annotations

import ast
import functools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

# Room -> its modules (with all below them), and the rooms it may import besides itself.
ROOMS: dict[str, tuple[list[str], list[str]]] = {
    "plain": (
        [
            *(
                f"quorate.{n}"
                for n in ("descriptors", "errors", "exit_code", "host_port", "logs", "own_files", "shown", "site")
            ),
            *(
                f"quorate.{n}"
                for n in (
                    "crash_points",
                    "fair_lock",
                    "measures",
                    "pace",
                    "tracing",
                    "turns",
                    "unreadable",
                    "vote",
                    "vote_json",
                    "words",
                )
            ),
            "quorate.cluster.entry",
            "quorate.cluster.decoded_entry",
            "quorate.cluster.audit.answers",
            "quorate.ingest.social.networks.defaults",
        ],
        [],
    ),
    "listening": (["quorate.listening"], ["plain"]),
    "security": (["quorate.security"], ["plain"]),
    "config": (["quorate.config"], ["plain", "security"]),
    "state": (["quorate.cluster.fsm", "quorate.cluster.state"], ["plain"]),
    "replica": (["quorate.cluster.replica"], ["plain", "state"]),
    "raft": (["quorate.cluster.raft"], ["plain", "state", "replica", "listening"]),
    "leader call": (
        [f"quorate.cluster.submit.{name}" for name in ("leader_call", "leader_wait")],
        ["plain", "replica"],
    ),
    "admin": (["quorate.cluster.admin"], ["plain", "raft", "leader call"]),
    "submit": (["quorate.cluster.submit"], ["plain", "state", "replica", "leader call"]),
    "read": (["quorate.cluster.read"], ["plain", "state", "replica", "leader call"]),
    "bridge": (["quorate.cluster.loop_bridge"], ["plain"]),
    "flush": (["quorate.cluster.flush"], ["plain", "state", "replica", "bridge", "sink"]),
    "audit": (
        ["quorate.cluster.audit"],
        ["plain", "state", "replica", "read", "flush", "sink"],
    ),
    "consul": (["quorate.cluster.discovery.consul"], ["plain", "config", "web"]),
    "discovery": (["quorate.cluster.discovery"], ["plain", "config", "web", "consul"]),
    "sink": (
        [
            f"quorate.sinks.{name}"
            for name in ("sink", "importable", "checkable", "deletable", "auditable", "added_options")
        ],
        ["plain"],
    ),
    "sinks": (["quorate.sinks"], ["plain", "config", "sink"]),
    "ingest": (["quorate.ingest"], ["plain", "config", "web"]),
    "social": (
        ["quorate.ingest.social"],
        ["plain", "security", "config", "web", "client", "consul", "ingest", "sink", "sinks"],
    ),
    "web": (["quorate.web"], ["plain"]),
    "client": (["quorate.client"], ["plain", "config", "web", "discovery"]),
    "parts": (["quorate.parts"], []),
    "command parts": (
        [f"quorate.{name}" for name in ("tally_table", "pidfile", "stop_signals")],
        ["plain", "client"],
    ),
    "doctor": (["quorate.doctor"], ["plain", "config", "web", "command parts"]),
    "benchmark": (["quorate.benchmark"], ["plain", "client", "command parts"]),
    "processes": (["quorate.processes"], ["plain", "config", "client", "command parts"]),
    "dev": (["quorate.dev"], ["plain", "config", "client", "command parts", "processes"]),
    "chaos": (["quorate.chaos"], ["plain", "config", "web", "client", "command parts", "processes", "orders"]),
    "orders": (["quorate.chaos.orders", "quorate.chaos.clock_file"], ["plain"]),
    "victim": (["quorate.chaos.victim"], ["plain", "raft", "replica", "orders"]),
    "backup": (["quorate.backup"], ["plain", "state", "replica", "bridge"]),
    "history": (["quorate.history"], ["plain", "state", "replica", "read"]),
    "doors": (["quorate.doors"], ["plain", "security", "state", "replica", "submit", "read"]),
    "resp": (
        ["quorate.resp"],
        ["plain", "security", "doors", "state", "replica", "submit", "read", "listening"],
    ),
    "http": (
        ["quorate.http"],
        ["plain", "security", "doors", "state", "replica", "submit", "read", "listening", "backup", "history"],
    ),
}
NODE = [
    *(f"quorate.{name}" for name in ("adapters", "cluster_view", "cluster_settings", "settings_watch", "joining")),
    *(f"quorate.{name}" for name in ("readiness", "status", "auth_report", "tls_report")),
    *(f"quorate.{name}" for name in ("link_credentials", "node", "otel_traces", "runtime", "seams")),
]
# They wire parts together: may import everything.
ENTRANCES = [*NODE, "quorate.cli", "quorate.__main__", "quorate.chaos.victim.__main__"]
EMPTY = ["quorate", "quorate.cluster", "quorate.ingest"]  # nothing to import but a version

# All nodes must reach the same bytes, so nothing here may differ between machines, moments or versions of Python.
NOT_IN_THE_STATE_MACHINE = {
    *("asyncio", "concurrent", "datetime", "locale", "os", "random", "secrets"),
    *("socket", "ssl", "tempfile", "threading", "time", "unicodedata", "uuid"),
}
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}


@functools.cache
def modules() -> dict[str, Path]:
    found = {}
    for folder, _, names in os.walk(SOURCE / "quorate", followlinks=True):
        for path in (Path(folder) / name for name in sorted(names) if name.endswith(".py")):
            dotted = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
            found[dotted.removesuffix(".__init__")] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """All names that a file imports, also inside functions. `from a import b` gives `a.b`: a module or a name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert 0 == node.level, f"{path}:{node.lineno}: a relative import gives type checkers a second copy"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(module: str, places: list[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def room_of(module: str) -> str | None:
    """The room with the longest entry that the module is in."""
    fits = [(len(p), room) for room, (places, _) in ROOMS.items() for p in places if is_in(module, [p])]
    return max(fits)[1] if fits else None


def test_every_module_has_a_room() -> None:
    homeless = [m for m in modules() if m not in EMPTY and not is_in(m, ENTRANCES) and room_of(m) is None]
    assert [] == homeless, "say in ROOMS, and in docs/design.md, what they may import"


def test_rooms_import_only_what_they_may() -> None:
    trespasses = []
    for module, path in modules().items():
        room = room_of(module)
        if room is None or is_in(module, ENTRANCES):
            continue
        allowed = {room, *ROOMS[room][1]}
        for name in imports(path):
            if name == "quorate" or not is_in(name, ["quorate"]) or name == "quorate.__version__":
                continue
            if room_of(name) not in allowed:
                trespasses.append(f"{module} ({room}) imports {name} ({room_of(name)})")
    assert [] == trespasses


def test_no_circle_between_files() -> None:
    """Imports under TYPE_CHECKING and inside functions count too: a reader meets the circle in any case."""
    files = modules()
    graph = {
        module: {found for name in imports(path) if (found := file_of(name, files))} for module, path in files.items()
    }
    assert [] == circles(graph)


def file_of(name: str, files: Mapping[str, Path]) -> str | None:
    """The module that an imported name is in: `a.b` is the module `a.b`, or a name in the module `a`."""
    return next((module for module in (name, name.rpartition(".")[0]) if module in files), None)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or by way of others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            fresh = graph[todo.pop()] - seen
            seen |= fresh
            todo.extend(fresh)
        return seen

    reach = {module: reached(module) for module in graph}
    found = {frozenset({m, *(o for o in reach[m] if m in reach[o])}) for m in graph if m in reach[m]}
    return sorted(sorted(each) for each in found)


def test_a_circle_is_found() -> None:
    assert [["a", "b"], ["d"]] == circles({"a": {"b"}, "b": {"a", "c"}, "c": set(), "d": {"d"}})


def test_the_product_imports_no_bench_and_neither_imports_tests() -> None:
    """What several of them share stands in the product, where the chaos command will want it too."""
    product = [(m, name) for m, path in modules().items() for name in imports(path) if is_in(name, ["bench", "tests"])]
    benches = ROOT.glob("bench/**/*.py")
    bench = [(str(path), name) for path in benches for name in imports(path) if is_in(name, ["tests"])]
    assert [] == [*product, *bench]


def test_only_the_web_room_speaks_http_to_others() -> None:
    """It has the one rule for proxies. `processes` asks nodes on loopback, which no rule sends through a proxy."""
    speakers = ("urllib.request", "tornado.httpclient", "http.client", "httpx", "aiohttp", "urllib3")
    found = {
        (module, name)
        for module, path in modules().items()
        for name in imports(path)
        if is_in(name, [*speakers]) and room_of(module) not in ("web", "processes")
    }
    sessions = {module for module, path in modules().items() if "requests.Session(" in path.read_text(encoding="utf-8")}
    assert (set(), set()) == (found, sessions)


def test_benches_doubles_and_services_need_no_development_tools() -> None:
    """They run where `set_up run` was made, by scripts/bootstrap.sh alone."""
    group = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["dev"]
    named = [dependency for dependency in group if isinstance(dependency, str)]  # a table is another group
    tools = [re.split(r"[^a-z-]", dependency)[0].replace("-", "_") for dependency in named]
    paths = [path for folder in ("bench", "tests/doubles", "scripts") for path in (ROOT / folder).glob("**/*.py")]
    found = [(str(path), name) for path in paths for name in imports(path) if is_in(name, tools)]
    assert {"pytest", "hypothesis", "playwright"} <= set(tools)
    assert [] == found


def test_nothing_but_commands_imports_the_node() -> None:
    importers = {m for m, path in modules().items() for name in imports(path) if is_in(name, NODE)}
    assert set() == {m for m in importers if not is_in(m, ENTRANCES)}


def test_only_the_raft_room_imports_pysyncobj() -> None:
    importers = {m for m, path in modules().items() for name in imports(path) if is_in(name, ["pysyncobj"])}
    assert {m for m in importers if is_in(m, ["quorate.cluster.raft"])} == importers


def test_nothing_of_ours_unpickles() -> None:
    """To read a pickle is to run code that its writer chose. (Tests that show failures of PySyncObj may do it.)"""
    ours = {**modules(), **{str(path.relative_to(ROOT)): path for path in ROOT.glob("bench/*.py")}}
    assert [] == [
        f"{m}: {name}" for m, path in ours.items() for name in imports(path) if name.split(".")[0] in UNPICKLERS
    ]


def test_the_state_machine_reads_no_clock_and_no_chance() -> None:
    impure = [
        f"{module} imports {name}"
        for module, path in modules().items()
        if room_of(module) == "state" or module == "quorate.cluster.entry"
        for name in imports(path)
        if name.split(".")[0] in NOT_IN_THE_STATE_MACHINE
    ]
    assert [] == impure
