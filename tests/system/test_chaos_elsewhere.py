"""`quorate chaos --against`: a cluster with tokens and TLS that somebody else runs, kills and pauses meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quorate.chaos.history import Cast, Header
from quorate.exit_code import DONE, NOT_REACHED, USAGE
from quorate.processes.cluster import FreshCluster
from tests.support.certificates import Authority
from tests.support.chaos_process import ChaosProcess
from tests.support.tokens import ONE_OF_EACH, write_tokens
from tests.support.waiting import wait_for

ENDED_S = 110.0


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreshCluster]:
    folder = tmp_path_factory.mktemp("theirs")
    authority = Authority(folder)
    certificate, key = authority.issue()
    settings = {"http.tls_cert": str(certificate), "http.tls_key": str(key), "auth.anonymous": []}
    settings["auth.file"] = str(write_tokens(folder / "tokens.toml"))
    with FreshCluster(folder / "nodes", 3, settings, token="operate", ca=str(authority.file), resp=True) as cluster:
        yield cluster


@pytest.fixture
def run(tmp_path: Path, theirs: FreshCluster) -> Iterator[Callable[..., ChaosProcess]]:
    """Start `quorate chaos` against that cluster."""
    started: list[ChaosProcess] = []

    def start(*flags: str, scheme: str = "https") -> ChaosProcess:
        urls = [f"{scheme}://127.0.0.1:{node.port}" for node in theirs.nodes]
        process = ChaosProcess(tmp_path, *flags, *(word for url in urls for word in ("--against", url)))
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.close()


def token_file(folder: Path, secret: str) -> str:
    path = folder / "token"
    path.touch(0o600)
    path.write_text(secret)
    return str(path)


def test_a_cluster_that_somebody_else_breaks_is_judged(
    tmp_path: Path, theirs: FreshCluster, run: Callable[..., ChaosProcess]
) -> None:
    ours = ["--token-file", token_file(tmp_path, "manage"), "--ca", str(theirs.nodes[0].ca)]
    doors = [word for port in theirs.resp_ports for word in ("--resp", f"127.0.0.1:{port}")]
    process = run("--duration", "8s", "--json", *ours, *doors)
    wait_for("it votes", lambda: "clients and faults" in process.output(), deadline_s=60, seen=process.tail)
    leader = theirs.leader()
    leader.kill()
    second = theirs.leader(other_than=leader)
    leader.start()
    theirs.wait_ready([leader])
    second.pause()
    theirs.wait_for("another one leads", lambda: any(n.leads() for n in theirs.nodes if n is not second))
    second.resume()
    process.ended(ENDED_S)
    told = process.told()
    assert ("clean", [], [], DONE) == (told["verdict"], told["violations"], told["missed"], process.exit_status)
    assert told["checked"]["counted_once"]["acknowledged votes"]
    assert told["checked"]["agreement"]["digests compared"]
    assert {"http", "resp"} == {each.door for each in process.records() if isinstance(each, Cast) and each.version}
    header = process.records()[0]
    assert isinstance(header, Header)
    assert not header.is_ours
    assert {"n1", "n2", "n3"} == set(header.nodes)


@pytest.mark.parametrize(
    ("secret", "words"), [(None, "token"), ("nobody", "token"), ("vote", "needs the role manage"), ("read", "manage")]
)
def test_without_a_token_that_may_make_polls_it_says_so_and_calls_nothing_violated(
    tmp_path: Path, theirs: FreshCluster, run: Callable[..., ChaosProcess], secret: str | None, words: str
) -> None:
    assert secret == "nobody" or secret is None or secret in ONE_OF_EACH
    token = [] if secret is None else ["--token-file", token_file(tmp_path, secret)]
    process = run("--ca", str(theirs.nodes[0].ca), *token)
    process.ended(ENDED_S)
    assert USAGE == process.exit_status, process.output()
    assert words in process.output()
    assert "--token-file" in process.output()


def test_whoever_cannot_be_trusted_or_speaks_tls_alone_is_not_asked(
    tmp_path: Path, run: Callable[..., ChaosProcess]
) -> None:
    other = Authority(tmp_path, "other")
    process = run("--token-file", token_file(tmp_path, "manage"), "--ca", str(other.file))
    process.ended(ENDED_S)
    assert NOT_REACHED == process.exit_status, process.output()
    assert "certificate" in process.output()
    process = run("--token-file", token_file(tmp_path, "manage"), scheme="http")
    process.ended(ENDED_S)
    assert NOT_REACHED == process.exit_status, process.output()
    assert "https" in process.output()
