"""scripts/services.sh: starts what is missing, says how it was had, and leaves nothing behind, crash or not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
import requests

from tests.services.consul_agent import ROOT, consul_binary, running_agent
from tests.services.script import SCRIPT, Services, alive
from tests.support.waiting import wait_for


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    services = Services(tmp_path / "services")
    yield services
    down = services("down")
    assert 0 == down.returncode, down.stderr


def test_consul_comes_up_again_where_it_was_with_what_it_had_and_goes(services: Services) -> None:
    consul_binary()
    assert "consul: up, " in services.up("consul")
    gives, pid = services.gives(), services.pid("consul")
    address = gives["QUORATE_TEST_CONSUL"]
    assert address == gives["QUORATE_CONSUL_ADDRESS"]
    assert requests.put(f"http://{address}/v1/kv/kept", data="1", timeout=5).ok
    services.up("consul")
    assert pid == services.pid("consul"), "up leaves alone what runs"

    os.kill(pid, signal.SIGKILL)
    wait_for("it is dead", lambda: not alive(pid))
    status = services("status", "consul")
    assert (1, True) == (status.returncode, status.stdout.startswith("consul: DOWN, ")), status.stdout
    services.up("consul")
    assert (address, "1") == (services.gives()["QUORATE_TEST_CONSUL"], kept(address))

    os.kill(services.pid("consul"), signal.SIGSTOP)
    pid = services.pid("consul")
    assert 0 == services("down").returncode
    assert not alive(pid), "one that a test left stopped is stopped too"
    assert "consul: not started\n" == services("status", "consul").stdout
    assert {} == services.gives()
    services.up("consul", QUORATE_TEST_CONSUL=address)
    assert "1" == kept(address), "an address of ours that a shell still has is not somebody else's"


def kept(address: str) -> str:
    return requests.get(f"http://{address}/v1/kv/kept?raw", timeout=5).text


def test_nsq_is_real_or_the_double_and_says_which(services: Services) -> None:
    said = services.up("nsq")
    gives = services.gives()
    assert gives["QUORATE_TEST_NSQ_KIND"] in ("nsqd", "double")
    assert ("the tests' own double" in said) == (gives["QUORATE_TEST_NSQ_KIND"] == "double")
    one, two = gives["QUORATE_TEST_NSQD_HTTP"].split(",")
    for http in (one, two):
        assert requests.post(f"http://{http}/pub?topic=votes", data=b"happy", timeout=5).ok
    lookup = f"http://{gives['QUORATE_NSQ_LOOKUPD']}/lookup?topic=votes"
    wait_for("both are looked up", lambda: 2 == len(requests.get(lookup, timeout=5).json().get("producers", [])))


def test_mongodb_keeps_its_data_and_leaves_no_process_though_killed(tmp_path: Path) -> None:
    """Also for somebody on whose PATH there is no /usr/sbin."""
    folders = [each for each in os.environ["PATH"].split(os.pathsep) if not each.rstrip("/").endswith("sbin")]
    services = Services(tmp_path / "services", {"PATH": os.pathsep.join(folders)})
    try:
        check_that_mongodb_keeps_its_data(services)
    finally:
        assert 0 == services("down").returncode


def check_that_mongodb_keeps_its_data(services: Services) -> None:
    answer = services("up", "mongo")
    if answer.returncode != 0 and os.environ.get("QUORATE_REQUIRE_SERVICES") != "1":
        pytest.skip(answer.stderr.strip())
    assert 0 == answer.returncode, answer.stderr
    write(services)
    for _ in range(2):
        for name in [path.stem for path in (services.folder / "run").glob("*.pid")]:
            os.kill(services.pid(name), signal.SIGKILL)
        services.up("mongo")
        assert [{"_id": "mood", "results": {"node.js": 3}}] == read(services)
        assert 0 == services("down").returncode
        assert [] == inside(services.folder), "no process is left there"
        assert str(services.folder) not in Path("/proc/mounts").read_text()
        services.up("mongo")
        assert [{"_id": "mood", "results": {"node.js": 3}}] == read(services)


def write(services: Services) -> None:
    with pymongo.MongoClient[dict[str, object]](services.gives()["QUORATE_TEST_MONGO_URL"], timeoutMS=10_000) as client:
        client.ballots.get_collection("polls", write_concern=pymongo.WriteConcern("majority", j=True)).insert_one(
            {"_id": "mood", "results": {"node.js": 3}}
        )


def read(services: Services) -> list[dict[str, object]]:
    with pymongo.MongoClient[dict[str, object]](services.gives()["QUORATE_TEST_MONGO_URL"], timeoutMS=10_000) as client:
        return list(client.ballots.polls.find())


def inside(folder: Path) -> list[str]:
    """Living processes whose working directory is one of the folder's, whatever they see as their root."""
    folders = {(path.stat().st_dev, path.stat().st_ino) for path in (folder, *folder.rglob("*")) if path.is_dir()}
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            where = (process / "cwd").stat()
        except OSError:
            continue
        if (where.st_dev, where.st_ino) in folders and alive(int(process.name)):
            found.append((process / "comm").read_text().strip())
    return found


def test_what_the_environment_gives_is_used_and_never_stopped(services: Services, tmp_path: Path) -> None:
    with running_agent(tmp_path / "other") as other:
        said = services.up("consul", QUORATE_TEST_CONSUL=other.address)
        assert f"consul: up, given by the environment: QUORATE_TEST_CONSUL={other.address}" in said
        assert 0 == services("down").returncode
        assert other.call("GET", "/v1/status/leader")
    gone = services("up", "consul", QUORATE_TEST_CONSUL=other.address)
    assert 1 == gone.returncode
    assert f"no Consul with a leader answers at QUORATE_TEST_CONSUL={other.address}" in gone.stderr


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with nothing on it but what the script itself needs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "dirname"):
        (folder / name).symlink_to(shutil.which(name) or name)
    (folder / "python3").symlink_to(sys.executable)
    return folder


def test_a_program_on_path_is_used(tmp_path: Path, bare: Path) -> None:
    (bare / "consul").symlink_to(consul_binary())
    services = Services(tmp_path / "services", {"PATH": str(bare)})
    try:
        assert "consul: up, the program on PATH: " in services.up("consul")
        assert str(bare / "consul") == services.gives()["QUORATE_TEST_CONSUL_BIN"]
    finally:
        assert 0 == services("down", "--purge").returncode
    assert not (tmp_path / "services").exists()


def test_a_program_that_left_the_path_is_missed_and_what_runs_keeps_its_place(tmp_path: Path, bare: Path) -> None:
    """`up` in another shell, whose PATH is not the first one's."""
    (bare / "consul").symlink_to(consul_binary())
    services = Services(tmp_path / "services", {"PATH": str(bare)})
    try:
        services.up("consul")
        gives, pid = services.gives(), services.pid("consul")
        (bare / "consul").unlink()
        for _ in range(2):
            answer = services("up", "consul")
            assert (1, True) == (answer.returncode, "it was had as the program on PATH" in answer.stderr), answer.stderr
            assert gives == services.gives()
        assert alive(pid)
    finally:
        assert 0 == services("down", "--purge").returncode
    assert not alive(pid)


def test_a_server_that_cannot_be_had_costs_one_line_and_a_cut_fetch_does_not_count(tmp_path: Path, bare: Path) -> None:
    cut = tmp_path / "cache/quorate/consul-1.8.part/usr/bin/consul"
    cut.parent.mkdir(parents=True)
    cut.write_text("half of it")
    services = Services(tmp_path / "services", {"PATH": str(bare), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    answer = services("up", "consul", "mongo")
    assert 1 == answer.returncode
    consul, mongo = answer.stderr.splitlines()
    assert consul.startswith("services: consul: ")
    assert consul.endswith("put `consul` on PATH, or run a Docker engine, or use Debian")
    assert "put MongoDB's `mongod` (7 or later) on PATH, or run a Docker engine, or be root on Debian" in mongo
    assert not (tmp_path / "cache/quorate/consul-1.8").exists()
    assert 0 == services("down").returncode


def test_nothing_is_fetched_where_that_is_not_wanted(tmp_path: Path, bare: Path) -> None:
    env = {"PATH": str(bare), "XDG_CACHE_HOME": str(tmp_path / "cache"), "QUORATE_SERVICES_FETCH": "0"}
    services = Services(tmp_path / "services", env)
    answer = services("up", "consul")
    assert (1, "") == (answer.returncode, answer.stdout)
    assert "consul-1.8 would have to be fetched first: `scripts/services.sh up` does it" in answer.stderr


def test_a_server_that_could_not_be_had_is_not_started_and_may_be_had_another_way_later(
    tmp_path: Path, bare: Path
) -> None:
    """It counted as down, and as Debian's: so `consul` on PATH, as was told, changed nothing."""
    services = Services(tmp_path / "services", {"PATH": str(bare), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert 1 == services("up", "consul").returncode
    assert "consul: not started\n" == services("status", "consul").stdout
    (bare / "consul").symlink_to(consul_binary())
    try:
        assert "consul: up, the program on PATH: " in services.up("consul")
    finally:
        assert 0 == services("down", "--purge").returncode


@pytest.mark.parametrize("damage", ["", '{"consul": ', "[]"])
def test_a_damaged_state_is_told_and_down_stops_what_runs(services: Services, damage: str) -> None:
    """As a machine leaves it that lost power."""
    consul_binary()
    services.up("consul")
    pid = services.pid("consul")
    (services.folder / "state.json").write_text(damage)
    for command in ("status", "up", "env"):
        answer = services(command, "consul")
        assert 1 == answer.returncode
        assert f"services: {services.folder / 'state.json'} is damaged; `services.sh down`" in answer.stderr
        assert 1 == len(answer.stderr.splitlines())
    assert 0 == services("down").returncode
    assert not alive(pid)
    assert "consul: not started\n" == services("status", "consul").stdout


PROGRAMS = {
    "apt-get": "echo fetching >>{calls}; exit 1",
    "go": "echo go1.19.8",
    **dict.fromkeys(("unshare", "chroot", "id"), "exit 0"),
}


@pytest.mark.skipif(
    os.geteuid() != 0 or Path("/usr/sbin").resolve() == Path("/usr/bin").resolve(),
    reason="only root can fetch PostgreSQL; and /usr/sbin, which is always looked at, must not have the programs",
)
@pytest.mark.parametrize(
    ("missing", "go", "words"),
    [
        ("go", "", "FerretDB is compiled by Go 1.25 or later, and there is no `go` on PATH; "),
        ("", "echo go1.19.8", "FerretDB is compiled by Go 1.25 or later, and this is go1.19.8; "),
        ("", "printf 'go1.24.1\\nlocal\\n'", "FerretDB is compiled by Go 1.25 or later, and this is go1.24.1; "),
        ("unshare", "", "unshare is not on PATH; "),
        ("apt-get", "", "this is not Debian: there is no apt-get; "),
    ],
)
def test_what_cannot_be_compiled_is_not_downloaded_for(
    tmp_path: Path, bare: Path, missing: str, go: str, words: str
) -> None:
    calls = tmp_path / "calls"
    for name, script in PROGRAMS.items():
        if name != missing:
            (bare / name).write_text(
                f"#!{shutil.which('sh')}\n{go if go and name == 'go' else script.format(calls=calls)}\n"
            )
            (bare / name).chmod(0o755)
    services = Services(tmp_path / "services", {"PATH": str(bare), "XDG_CACHE_HOME": str(tmp_path / "cache")})
    answer = services("up", "mongo")
    assert (1, True) == (answer.returncode, f"services: mongo: {words}" in answer.stderr), answer.stderr
    assert not calls.exists(), "nothing was fetched before"


def test_a_server_that_does_not_answer_gives_no_settings_where_that_is_asked(services: Services) -> None:
    consul_binary()
    services.up("consul")
    assert services.gives() == services.gives("--answering")
    os.kill(services.pid("consul"), signal.SIGKILL)
    assert services.gives()
    assert {} == services.gives("--answering")


def test_the_help_tells_how_to_remove_the_data(services: Services) -> None:
    assert "down --purge" in services("--help").stdout


def test_a_start_that_was_killed_leaves_nothing_after_down(services: Services) -> None:
    binary = consul_binary()
    environment = {**services.env, "PATH": f"{Path(binary).parent}:{services.env['PATH']}"}
    starting = subprocess.Popen([SCRIPT, "up", "consul"], env=environment, stdout=subprocess.DEVNULL)
    record = services.folder / "run/consul.pid"
    wait_for("it is starting", record.exists)
    starting.kill()
    starting.wait(10)
    pid = services.pid("consul")
    wait_for("it runs all the same", lambda: alive(pid))
    assert 0 == services("down").returncode
    assert not alive(pid)


def test_a_pid_that_is_somebody_elses_by_now_is_left_alone(services: Services) -> None:
    with subprocess.Popen(["sleep", "60"]) as somebody:
        run = services.folder / "run"
        run.mkdir(parents=True)
        (run / "consul.pid").write_text(f"{somebody.pid} another-boot/1")
        assert 0 == services("down").returncode
        assert somebody.poll() is None
        somebody.kill()


def test_wrong_usage_is_said(services: Services) -> None:
    answer = services("up", "mango")
    assert (2, True) == (answer.returncode, "there is no mango; there are nsq, consul, mongo" in answer.stderr)


def test_the_compose_file_can_be_read() -> None:
    argv = ["docker", "compose", "-f", str(ROOT / "deploy/compose/services.yml"), "config", "--quiet"]
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("no docker compose here")
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert 0 == answer.returncode, answer.stderr
