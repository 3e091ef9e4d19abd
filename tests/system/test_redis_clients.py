"""Clients of Redis as they come, on the RESP door: what they send by themselves is answered without an error."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.certificates import Authority
from tests.support.cluster import Cluster
from tests.support.fetched import ioredis
from tests.support.recording_proxy import RecordingProxy
from tests.support.tokens import write_tokens
from tests.support.waiting import wait_for

HOST = "127.0.0.1"
NUMBERS = itertools.count()
needs_redis_cli = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")
needs_redis_benchmark = pytest.mark.skipif(
    shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed"
)
VOTER = """
import Redis from "ioredis";
const [poll, ...ports] = process.argv.slice(2);
const nodes = ports.map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const redis = nodes.length > 1 ? new Redis.Cluster(nodes) : new Redis(nodes[0]);
redis.on("error", () => {});
const failed = [];
let next = 0, ends = false;
process.stdin.on("end", () => { ends = true; }).resume();
async function vote() {
  while (!ends) {
    const id = String(next++);
    try {
      await redis.xadd(`poll:${poll}`, "IDMP", "js", id, "*", "option", "happy");
    } catch (error) {
      failed.push(id);
    }
  }
}
await Promise.all(Array.from({ length: 16 }, vote));
console.log(JSON.stringify({ cast: next, failed }));
redis.disconnect();
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("doors"), resp=True) as cluster:
        yield cluster


@pytest.fixture
def door(cluster: Cluster) -> Iterator[RecordingProxy]:
    """The door of one node."""
    with RecordingProxy(cluster.resp_ports[1]) as proxy:
        yield proxy


@pytest.fixture
def poll(cluster: Cluster) -> str:
    """A new one."""
    poll_id = f"mood-{next(NUMBERS)}"
    with cluster.client() as client:
        client.create_poll(poll_id, ["happy", "sad"])
    return poll_id


def votes(cluster: Cluster, poll: str) -> dict[str, int]:
    with cluster.client() as client:
        results: dict[str, int] = client.results(poll, level="linearizable")["results"]
    return results


@pytest.mark.parametrize("protocol", [2, 3, None])
def test_redis_py_votes_and_reads(cluster: Cluster, door: RecordingProxy, poll: str, protocol: int | None) -> None:
    settings: dict[str, Any] = {} if protocol is None else {"protocol": protocol}
    with redis.Redis(HOST, door.port, decode_responses=True, client_name="tests", **settings) as client:
        for _ in range(2):
            assert re.fullmatch(r"\d+-0", client.xadd(f"poll:{poll}", {"option": "happy"}, idmp=("ana", b"17")))
        client.xadd(f"poll:{poll}", {"option": "sad", "weight": 2}, idmp=("ana", b"18"))
        with client.pipeline() as pipeline:
            pipeline.xadd(f"poll:{poll}", {"option": "sad"}, idmp=("ana", b"19"))
            pipeline.hget(f"poll:{poll}", "sad")
            added, sad = pipeline.execute()
        assert (True, "3") == (added.endswith("-0"), sad)
        assert {"happy": "1", "sad": "3"} == client.hgetall(f"poll:{poll}")
        assert {"happy": "1", "sad": "3"} == client.hgetall(f"linearizable:poll:{poll}")
        assert ["1", None] == client.hmget(f"poll:{poll}", "happy", "angry")
        assert f"poll:{poll}" in list(client.scan_iter("poll:*"))
        assert (1, "hash", 2, 4) == (
            client.exists(f"poll:{poll}"),
            client.type(f"poll:{poll}"),
            client.hlen(f"poll:{poll}"),
            client.xlen(f"poll:{poll}"),
        )
        assert [] == door.errors
        with pytest.raises(redis.ResponseError, match="CONFLICT"):
            client.xadd(f"poll:{poll}", {"option": "sad"}, idmp=("ana", b"17"))
        with pytest.raises(redis.ResponseError, match="send XADD poll:ID IDMP"):
            client.hincrby(f"poll:{poll}", "happy", 1)
    assert {"happy": 1, "sad": 3} == votes(cluster, poll)


def test_votes_of_a_transaction_stand_alone_and_each_refusal_has_its_word(
    cluster: Cluster, door: RecordingProxy, poll: str
) -> None:
    key = f"poll:{poll}"
    with redis.Redis(HOST, door.port) as client, client.pipeline() as pipeline:
        client.xadd(key, {"option": "happy"}, idmp=("ana", b"1"))
        pipeline.xadd(key, {"option": "sad"}, idmp=("ana", b"1"))
        pipeline.xadd(key, {"option": "angry"}, idmp=("ana", b"2"))
        pipeline.xadd("poll:none", {"option": "happy"}, idmp=("ana", b"3"))
        pipeline.xadd(key, {"option": "sad"}, idmp=("ana", b"4"))
        *refused, added = pipeline.execute(raise_on_error=False)
        assert isinstance(added, bytes)
        assert ["CONFLICT", "NOOPTION", "NOPOLL"] == [str(error).split()[-0] for error in refused]
        with cluster.client() as http:
            http.set_poll_state(poll, "closed")
        with pytest.raises(redis.ResponseError, match="CLOSED"):
            client.xadd(key, {"option": "sad"}, idmp=("ana", b"5"))
        client.xadd(key, {"option": "sad"}, idmp=("ana", b"4"))  # it was counted while the poll was open
    assert {"happy": 1, "sad": 1} == votes(cluster, poll)


def test_the_key_votes_counts_in_every_open_poll(cluster: Cluster, door: RecordingProxy) -> None:
    with cluster.client() as http:
        for poll in ("one", "two"):
            http.create_poll(poll, ["blue", "red"])
    with redis.Redis(HOST, door.port) as client:
        for _ in range(2):
            client.xadd("votes", {"option": "blue"}, idmp=("ana", b"1"))
    assert [{"blue": 1, "red": 0}] * 2 == [votes(cluster, poll) for poll in ("one", "two")]


def test_the_cluster_client_of_redis_py_finds_the_leader(cluster: Cluster, door: RecordingProxy, poll: str) -> None:
    with redis.RedisCluster(HOST, door.port, decode_responses=True) as client:
        client.xadd(f"poll:{poll}", {"option": "happy"}, idmp=("ana", b"17"))
        assert {"happy": "1", "sad": "0"} == client.hgetall(f"poll:{poll}")
        leader = cluster.nodes.index(cluster.leader())
        assert cluster.resp_ports[leader] == client.get_primaries()[0].port
    assert [] == door.errors


@needs_redis_cli
def test_redis_cli_votes_and_reads(cluster: Cluster, door: RecordingProxy, poll: str) -> None:
    typed = f"""\
xadd poll:{poll} IDMP ana 17 * option happy
XADD poll:{poll} IDMP ana 17 * option happy
multi
xadd poll:{poll} IDMP ana 18 * option "sad" weight 2
exec
hgetall poll:{poll}
"""
    said = cli(door, typed=typed).splitlines()
    assert ["OK", "QUEUED"] == said[2:4]
    assert ["happy", "1", "sad", "2"] == said[5:]
    assert f"poll:{poll}" in cli(door, "--scan", "--pattern", "poll:m*").split()
    assert ["1", "2"] == [cli(door, "-3", "hget", f"poll:{poll}", option).strip() for option in ("happy", "sad")]
    for command in ("ping", "info", "command count", "cluster slots", "cluster nodes", "client list", "dbsize", "time"):
        assert cli(door, *command.split())
    assert [] == door.errors
    assert {"happy": 1, "sad": 2} == votes(cluster, poll)


def cli(door: RecordingProxy, *arguments: str, typed: str = "") -> str:
    command = ["redis-cli", "-p", str(door.port), *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, timeout=30, check=True).stdout


@needs_redis_benchmark
def test_redis_benchmark_counts_each_id_once(cluster: Cluster, door: RecordingProxy, poll: str) -> None:
    """It draws 200 ids at random, 6,000 times: that one of them is never drawn has a chance of 1e-11."""
    vote = ["XADD", f"poll:{poll}", "IDMP", "bench", "__rand_int__", "*", "option", "happy"]
    command = ["redis-benchmark", "-p", str(door.port), "-q", "-n", "6000", "-r", "200", "-c", "16", "-P", "8", *vote]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (0, "") == (done.returncode, done.stderr)
    assert "requests per second" in done.stdout
    assert [] == door.errors
    assert {"happy": 200, "sad": 0} == votes(cluster, poll)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("nodes", [1, 3])
def test_retries_of_ioredis_count_once_through_kills_of_its_node(cluster: Cluster, poll: str, nodes: int) -> None:
    """It sends again by itself what was not answered when its connection broke. With three nodes it is a client of the
    cluster, and the leader is killed."""
    program = ioredis() / "voter.mjs"
    program.write_text(VOTER)
    leader = cluster.leader()
    others = [node for node in cluster.nodes if node is not leader]
    ports = [cluster.resp_ports[cluster.nodes.index(node)] for node in (leader, *others)][:nodes]
    command = ["node", str(program), poll, *map(str, ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as voter:
        for _ in range(2):
            wait_for_more(cluster, poll, 200)
            victim = cluster.leader() if nodes > 1 else leader
            victim.kill()
            victim.start()
            cluster.wait_ready()
        wait_for_more(cluster, poll, 200)
        told, _ = voter.communicate(timeout=200)
    assert 0 == voter.returncode
    cast, failed = json.loads(told)["cast"], json.loads(told)["failed"]
    print(f"{len(failed)} of {cast} failed")
    assert cast - len(failed) <= votes(cluster, poll)["happy"] <= cast
    with redis.Redis(HOST, ports[0]) as client:
        for iid in failed:
            client.xadd(f"poll:{poll}", {"option": "happy"}, idmp=("js", iid.encode()))
    assert {"happy": cast, "sad": 0} == votes(cluster, poll)


def wait_for_more(cluster: Cluster, poll: str, more: int) -> None:
    goal = votes(cluster, poll)["happy"] + more
    wait_for(f"{goal} votes are counted", lambda: votes(cluster, poll)["happy"] >= goal)


def test_ioredis_is_answered_without_errors(cluster: Cluster, door: RecordingProxy, poll: str, tmp_path: Path) -> None:
    program = ioredis() / "both.mjs"
    program.write_text(
        """
import Redis from "ioredis";
const [port, key] = [Number(process.argv[2]), `poll:${process.argv[3]}`];
for (const redis of [new Redis(port, "127.0.0.1"), new Redis.Cluster([{ host: "127.0.0.1", port }])]) {
  await redis.xadd(key, "IDMP", "js", "1", "*", "option", "happy");
  console.log(JSON.stringify(await redis.hgetall(key)));
  redis.disconnect();
}
"""
    )
    command = ["node", str(program), str(door.port), poll]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ['{"happy":"1","sad":"0"}'] * 2 == done.stdout.splitlines(), done.stderr
    assert [] == door.errors


def test_a_token_and_tls(tmp_path: Path) -> None:
    """redis-py's options for both, and redis-cli's."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue()
    settings = {
        "http.tls_cert": str(certificate),
        "http.tls_key": str(key),
        "auth.file": str(write_tokens(tmp_path / "tokens.toml")),
        "auth.anonymous": [],
    }
    ca = str(authority.file)
    with Cluster(tmp_path / "nodes", 1, settings, token="operate", ca=ca, resp=True) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        (port,) = cluster.resp_ports
        safe: dict[str, Any] = {"ssl": True, "ssl_ca_certs": ca, "decode_responses": True}
        for given in ({"username": "vote", "password": "vote"}, {"password": "vote"}):
            for protocol in (2, 3):
                with redis.Redis("localhost", port, protocol=protocol, **safe, **given) as door:
                    door.xadd("poll:mood", {"option": "happy"}, idmp=("ana", b"17"))
                    assert {"happy": "1", "sad": "0"} == door.hgetall("poll:mood")
        with redis.Redis("localhost", port, **safe) as door, pytest.raises(redis.AuthenticationError, match="AUTH"):
            door.hgetall("poll:mood")
        with (
            redis.Redis("localhost", port, **safe, password="wrong") as door,
            pytest.raises(redis.AuthenticationError, match="not known here"),
        ):
            door.ping()
        if shutil.which("redis-cli") is not None:
            command = ["redis-cli", "--tls", "--cacert", ca, "-h", "localhost", "-p", str(port), "-a", "vote"]
            command += ["--no-auth-warning", "hget", "poll:mood", "happy"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert ("1\n", "") == (done.stdout, done.stderr)
