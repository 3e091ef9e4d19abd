"""`scripts/bootstrap.sh --services`: what it says can be typed, MongoDB and Consul show it, and all of it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pymongo
import pytest
import requests

from quorate.processes.process import Process
from tests.services.consul_agent import consul_binary
from tests.services.script import Services, alive
from tests.support.checkout import ROOT
from tests.support.waiting import wait_for
from tests.system.test_bootstrap import first_of_free_ports, processes_in, total
from tests.system.test_story import pid_of_stream, says


@pytest.mark.timeout(300)
def test_all_servers_come_up_are_used_and_go(mongo_services: Services, tmp_path: Path) -> None:
    """`mongo_services` says whether this machine can have a MongoDB at all; the script brings its own."""
    services, port = Services(tmp_path / "services"), first_of_free_ports()
    script = [str(ROOT / "scripts/bootstrap.sh"), "--services", "--no-feed", "--port", str(port)]
    env = {"QUORATE_SERVICES_DIR": str(services.folder)}
    run = Process("bootstrap", [*script, "--data", str(tmp_path / "data")], tmp_path / "output", env=env, cwd=tmp_path)
    try:
        run.start()
        wait_for("it is up", lambda: "Kill any node" in run.output() or not run.running, deadline_s=200, seen=run.tail)
        said = run.output()
        publish, mongodb, consul = (
            found(words, said) for words in (r"(echo happy \| .*)", r"MongoDB: (\S+)", r"Consul: (\S+)/ui")
        )
        poll = {"id": "mood", "options": ["happy", "sad"], "state": "open"}
        assert requests.post(f"http://127.0.0.1:{port}/polls", json=poll, timeout=10).ok
        typed = subprocess.run(publish, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (0, "") == (typed.returncode, typed.stderr)

        with pymongo.MongoClient[dict[str, object]](mongodb, timeoutMS=5_000) as client:
            polls = client.get_default_database()["polls"]
            wait_for(
                "MongoDB shows it",
                lambda: (polls.find_one({"_id": "mood"}) or {}).get("results") == {"happy": 1, "sad": 0},
                seen=run.tail,
            )
        health = f"{consul}/v1/health/service/quorate?passing"
        wait_for("Consul shows all nodes", lambda: len(requests.get(health, timeout=5).json()) == 3, seen=run.tail)
        assert 0 == run.stop(deadline_s=60), run.tail()
    finally:
        run.close()
        services("down", "--purge")
    assert [] == processes_in(tmp_path)


@pytest.mark.timeout(200)
def test_what_cannot_be_had_is_left_out_and_what_ran_before_stays(tmp_path: Path) -> None:
    """Here the only program on PATH is Consul's: no MongoDB, and NSQ is the double."""
    services, port = (
        Services(tmp_path / "services", {"PATH": poor_path(tmp_path, consul=Path(consul_binary()))}),
        first_of_free_ports(),
    )
    script = [str(ROOT / "scripts/bootstrap.sh"), "--services", "--port", str(port), "--data", str(tmp_path / "data")]
    run = Process("bootstrap", script, tmp_path / "output", env=services.env, cwd=tmp_path)
    services.up("consul")
    try:
        run.start()
        wait_for("votes are counted", lambda: total(port) or not run.running, deadline_s=100, seen=run.tail)
        assert "services: mongo: " in run.output()
        assert "the cluster runs without what could not be had" in run.output()
        assert "MongoDB: " not in run.output()
        assert found(r"Consul: http://(\S+)/ui", run.output()) == services.gives()["QUORATE_CONSUL_ADDRESS"]
        nsqd = services.pid("nsqd-1")
        assert 0 == run.stop(deadline_s=60), run.tail()
        assert (True, False) == (alive(services.pid("consul")), alive(nsqd))
    finally:
        run.close()
        services("down", "--purge")


@pytest.mark.timeout(200)
def test_the_story_goes_by_way_of_two_nsqds_though_parts_are_killed(tmp_path: Path) -> None:
    """With nothing on PATH: NSQ is the double, which forgets what it has when it is killed, and the database SQLite."""
    services, port = Services(tmp_path / "services", {"PATH": poor_path(tmp_path)}), first_of_free_ports()
    script = [str(ROOT / "scripts/bootstrap.sh"), "--story", "--port", str(port), "--data", str(tmp_path / "data")]
    run = Process("bootstrap", script, tmp_path / "output", env=services.env, cwd=tmp_path)
    try:
        run.start()
        assert "publishes votes to two nsqds, topic votes" in says(run, "quorate stream replay reads them")
        says(run, r"story: coffee [1-9]")
        os.kill(services.pid("nsqd-1"), signal.SIGKILL)
        leader = says(run, r"n\d leads").partition(" ")[0]
        os.kill(int((tmp_path / "data" / leader / "node.pid").read_text()), signal.SIGKILL)
        says(run, r"n\d leads", 2)
        services.up("nsq")
        os.kill(pid_of_stream(run, 1), signal.SIGKILL)
        pid_of_stream(run, 2)
        assert 0 == run.stop(deadline_s=60), run.tail()
    finally:
        run.close()
        services("down", "--purge")
    says(run, r"Counted: exactly these\. Written to sqlite as well\.")
    assert [] == processes_in(tmp_path)


def poor_path(folder: Path, **programs: Path) -> str:
    """A PATH with little more than bash and Python on it."""
    known = {"python3": Path(sys.executable), **programs}
    known |= {name: Path(str(shutil.which(name))) for name in ("bash", "dirname", "basename", "cat")}
    (folder / "bin").mkdir()
    for name, program in known.items():
        (folder / "bin" / name).symlink_to(program)
    return str(folder / "bin")


def found(words: str, text: str) -> str:
    match = re.search(words, text)
    assert match is not None, text
    return match[1]
