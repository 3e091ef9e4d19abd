"""A cluster on three hosts as the documents set it up: with a key, tokens and MongoDB, then with Consul
instead of peers. The hosts are three addresses of this machine, so each node has the ports of the others.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import shutil
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from quorate.client.http import JsonClient
from quorate.processes.ports import free_ports
from quorate.vote import Vote
from tests.services.consul_agent import Agent, consul_binary, running_agent
from tests.services.system.deployment import Mongo
from tests.support.checkout import ROOT
from tests.support.documents import Block, blocks_of, text_of
from tests.support.reader import Reader
from tests.support.waiting import wait_for

README, CONSUL, DEPLOY = Path("README.md"), Path("docs/consul.md"), Path("deploy/consul/README.md")
HOSTS = {"a": "127.0.0.2", "b": "127.0.0.3", "c": "127.0.0.4"}
BLOCKS = blocks_of("tests/services/system/test_document_hosts.py")

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="other systems have 127.0.0.1 alone"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("curl", "openssl", "dig"))), reason="needs curl, openssl and dig (Debian: dnsutils)"
    ),
]


def block_with(words: str, path: Path = README) -> Block:
    (block,) = (b for b in BLOCKS if b.path == path and any(words in line for line in b.lines))
    return block


class ReaderOnHosts(Reader):
    """`folder` has what is given to all hosts, and a folder for each."""

    def __init__(self, folder: Path, mongo: Mongo, agent: Agent) -> None:
        self.http, self.raft = free_ports(2)
        self.mongo = mongo
        for host in HOSTS:
            (folder / host).mkdir()
        places = {f"node{number}": f"{host}:{self.http}" for number, host in enumerate(HOSTS.values(), 1)}
        places |= {"consul": agent.address, "consul_dns": str(agent.dns_port), "http_port": str(self.http)}
        self.token = (folder / "operate.token").read_text().strip()
        places |= {"mongo": mongo.url, "token": self.token}
        env = {"QUORATE_NODES": f"http://{places['node1']}", "QUORATE_TOKEN_FILE": str(folder / "operate.token")}
        super().__init__(folder, places, env)

    def settings_of(self, host: str, shown: str) -> str:
        """What is shown for host a, for this one: with its id, its addresses, and files and ports of this test."""
        for pattern, here in {
            r'(?<=^id = )"a"': f'"{host}"',
            r"(?<=advertise = \"http://)a\.example": HOSTS[host],
            r'(?<=^advertise = ")a\.example': HOSTS[host],
            r"\b0\.0\.0\.0\b": HOSTS[host],
            r"\b([abc])\.example(?=:9)": lambda found: HOSTS[found[1]],
            r":8001\b": f":{self.http}",
            r":9001\b": f":{self.raft}",
            r"/var/lib/quorate\b": str(self.folder / host / "data"),
            r"/etc/quorate\b": str(self.folder),
            r"mongodb://db\.example:27017": self.mongo.url,
        }.items():
            shown = re.sub(pattern, here, shown, flags=re.M)  # type: ignore[call-overload]
        return f'{shown}database = "{self.mongo.database}"\n'  # [mongo] is the last section

    def has_settings(self, shown: str) -> None:
        for host in HOSTS:
            (self.folder / host / "quorate.toml").write_text(self.settings_of(host, shown))

    @contextlib.contextmanager
    def nodes(self, commands: Mapping[str, str]) -> Iterator[None]:
        """Hosts have typed their commands, all are ready, and a vote is counted."""
        with contextlib.ExitStack() as stack:
            for host, command in commands.items():
                stack.enter_context(self.begins(command, self.folder / host))
            for host in commands:
                url = f"http://{HOSTS[host]}:{self.http}"
                wait_for(f"{host} is ready", functools.partial(is_ready, url), deadline_s=60, seen=self.followed)
            with JsonClient([f"http://{self.places['node1']}"], token=self.token) as client:
                client.create_poll("mood", ["happy", "sad"])
                client.vote(Vote("happy", id="ann"))
            yield

    def followed(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("followed*.txt")))


def is_ready(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def shown_settings() -> str:
    (found,) = (text for text in re.findall(r"^```toml\n(.*?)^```", text_of(README), re.S | re.M) if "host a" in text)
    return str(found)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("consul")) as agent:
        yield agent


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which README has made them."""
    folder = tmp_path_factory.mktemp("secrets")
    Reader(folder, {}).runs(block_with("openssl rand"))
    return folder


@pytest.fixture
def reader(tmp_path: Path, secrets: Path, mongo: Mongo, agent: Agent) -> ReaderOnHosts:
    for name in ("key", "tokens.toml", "operate.token"):
        assert 0o600 == (secrets / name).stat().st_mode & 0o777
        shutil.copy2(secrets / name, tmp_path)
    return ReaderOnHosts(tmp_path, mongo, agent)


def test_every_block_has_its_test() -> None:
    known = ["openssl rand", "config check", "--consul"]
    blocks = [block_with(words) for words in known]
    blocks += [block_with("Bearer", Path("docs/backups.md")), block_with("doctor", Path("docs/operations.md"))]
    blocks += [block_with("dig", CONSUL), block_with("--id n1", CONSUL)]
    blocks += [block_with(words, DEPLOY) for words in ("consul agent", "acl bootstrap", "dig")]
    assert {block.text for block in blocks} == {block.text for block in BLOCKS}


def test_the_settings_are_right_as_they_are_shown(reader: ReaderOnHosts) -> None:
    """With their own names and addresses, which the other tests replace by those of this host."""
    shown = shown_settings().replace("/etc/quorate", str(reader.folder))
    (reader.folder / "quorate.toml").write_text(shown)
    reader.types("quorate config check quorate.toml")
    (reader.folder / "raft.key").symlink_to(reader.folder / "key")
    line = block_with("--id n1", CONSUL).lines[0].replace("/etc/quorate", str(reader.folder))
    reader.types(line.replace("quorate node", "quorate config check"))


def test_three_hosts_form_a_cluster_that_is_backed_up_and_sound(reader: ReaderOnHosts) -> None:
    (line,) = block_with("config check").lines
    reader.has_settings(shown_settings())
    with reader.nodes(dict.fromkeys(HOSTS, line)):
        reader.runs(block_with("Bearer", Path("docs/backups.md")))

        def judges(command: str) -> None:
            """It judges this machine as well, and a machine of tests may be bad."""
            told = reader.types(command, cwd=reader.folder / "a", codes=(0, 1))
            assert [] == re.findall(r"^BAD +[abc]: .*", told, re.M), told
            assert {"a", "b", "c"} == set(re.findall(r"^ok +([abc]): (?:leader|follower), ready", told, re.M)), told

        reader.runs(block_with("doctor", Path("docs/operations.md")), {"": judges})
        wait_for("MongoDB has it", lambda: reader.mongo.results() == {"happy": 1, "sad": 0})


def test_with_consul_they_find_each_other_and_are_found(reader: ReaderOnHosts) -> None:
    def runs_already(command: str) -> None:
        assert reader.here(line) == command

    line, *_ = block_with("--consul").lines
    shown = re.sub(r"^(peers|bootstrap) = .*\n", "", shown_settings(), flags=re.M)
    shown = shown.replace("[raft]\n", '[raft]\nadvertise = "a.example:9001"\n')
    reader.has_settings(shown)
    with reader.nodes(dict.fromkeys(HOSTS, reader.here(line))):
        wait_for("the leader is in Consul", lambda: leaders(reader))
        reader.runs(block_with("--consul"), {"^quorate node": runs_already})
        reader.runs(block_with("dig", CONSUL))
        reader.runs(block_with("dig", DEPLOY))
        dig = reader.folder / "bin" / "dig"
        dig.parent.mkdir()
        dig.write_text(f"#!/bin/sh\necho a.example.\necho {HOSTS['a']}\n")  # of a name, where Consul has a recursor
        dig.chmod(0o700)
        reader.runs(block_with("--consul"), {"^quorate": lambda command: None})


def test_flags_alone_start_a_node(reader: ReaderOnHosts) -> None:
    block, address = block_with("--id n1", CONSUL), HOSTS["a"]
    reader.env |= {"QUORATE_NODE_CLUSTER": "by-flags", "QUORATE_MONGO_DATABASE": reader.mongo.database}
    reader.places |= {"own_http": f"{address}:{reader.http}", "own_raft": f"{address}:{reader.raft}"}
    (reader.folder / "raft.key").symlink_to(reader.folder / "key")
    (line,) = block.to_run
    with reader.nodes({"a": reader.here(line)}):
        assert "happy" in reader.types("quorate results mood")


def test_a_closed_consul_is_set_up(tmp_path: Path) -> None:
    agent = Agent(tmp_path / "consul")
    places = {"consul_flags": " ".join(agent.flags)}
    reader = Reader(tmp_path, places, {"CONSUL_HTTP_ADDR": agent.address}, cwd=ROOT / DEPLOY.parent)
    reader.env["PATH"] += f":{Path(consul_binary()).parent}"

    with contextlib.ExitStack() as stack:

        def begins(command: str) -> None:
            stack.enter_context(reader.begins(command))

        def makes(command: str) -> None:
            """Until it has a leader, and is out of an older mode of ACLs (before 1.11), it refuses."""
            secret = wait_for("it is made", lambda: secret_in(reader.types(command, codes=(0, 1))))
            reader.env.setdefault("CONSUL_HTTP_TOKEN", secret)
            reader.places["secret_id"] = secret

        reader.runs(block_with("consul agent", DEPLOY), {"^consul agent": begins})
        reader.runs(block_with("acl bootstrap", DEPLOY), {"acl (bootstrap|token create)": makes})
        assert "quorate-agent" in reader.types(f"consul acl token read -self -token {reader.places['secret_id']}")


def secret_in(told: str) -> str | None:
    found = re.search(r"^SecretID: +(\S+)$", told, re.M)
    return found[1] if found else None


def leaders(reader: ReaderOnHosts) -> list[object]:
    url = f"http://{reader.places['consul']}/v1/health/service/quorate?passing&tag=leader"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return list(json.load(answer))
