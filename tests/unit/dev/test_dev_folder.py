"""The folder of `quorate dev`: created, continued, or refused before anything is changed."""

from __future__ import annotations

import json
import random
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from quorate import pidfile
from quorate.config import load
from quorate.dev import for_commands, for_redis, node_environment, services_of, votes_to_try
from quorate.dev.folder import CannotStart, ClusterFolder, settings_of
from quorate.errors import ConfigError
from quorate.processes.node import Place


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture
def port() -> int:
    """The HTTP port of n1; the ports of the other nodes, of the links and of Redis' clients are free too."""
    starts = random.SystemRandom().sample(range(20_000, 30_000), 200)
    return next(p for p in starts if all(is_free(p + shift + i) for i in range(5) for shift in (-1_000, 0, 1_000)))


def prepare(folder: Path, nodes: int | None = None, port: int | None = None, **options: Any) -> list[Place]:
    return ClusterFolder(folder).prepare(
        nodes,
        port,
        fresh=options.get("fresh", False),
        settings=options.get("settings", {}),
        resp=options.get("resp", False),
    )


def refusal(folder: Path, nodes: int | None = None, port: int | None = None, **options: Any) -> str:
    with pytest.raises(CannotStart) as caught:
        prepare(folder, nodes, port, **options)
    return caught.value.detail


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def made(tmp_path: Path, port: int) -> Path:
    prepare(tmp_path / "data", 3, port)
    return tmp_path / "data"


def test_a_new_folder_holds_a_whole_cluster(made: Path, port: int) -> None:
    configs = [load(made / f"n{i}" / "quorate.toml", env={}).config for i in (1, 2, 3)]
    assert ["n1", "n2", "n3"] == [config.node.id for config in configs]
    assert [port, port + 1, port + 2] == [int(config.http.listen.rpartition(":")[2]) for config in configs]
    assert [str(made / f"n{i}") for i in (1, 2, 3)] == [config.node.data for config in configs]
    assert {str(made / "ballots.db")} == {config.sqlite.path for config in configs}
    assert 1 == len({str(config.raft.peers) for config in configs})
    assert 1 == len({config.raft.key for config in configs})
    assert 64 == len(configs[0].raft.key)
    assert {0o600} == {stat.S_IMODE((made / f"n{i}" / "quorate.toml").stat().st_mode) for i in (1, 2, 3)}


def test_two_clusters_have_different_keys(made: Path, tmp_path: Path, port: int) -> None:
    prepare(tmp_path / "other", 1, port)
    keys = {load(folder / "n1" / "quorate.toml", env={}).config.raft.key for folder in (made, tmp_path / "other")}
    assert 2 == len(keys)


def test_a_folder_can_be_moved(made: Path, tmp_path: Path) -> None:
    made.rename(tmp_path / "moved")
    config = load(tmp_path / "moved" / "n2" / "quorate.toml", env={}).config
    moved = (str(tmp_path / "moved" / "n2"), str(tmp_path / "moved" / "ballots.db"))
    assert moved == (config.node.data, config.sqlite.path)


def test_a_cluster_goes_on_as_it_is_with_what_was_changed_by_hand(made: Path, port: int) -> None:
    config = made / "n2" / "quorate.toml"
    config.write_text(config.read_text().replace("# threads = 8", "threads = 3"))
    before = contents(made)
    for nodes, start in ((None, None), (3, port)):
        assert [port, port + 1, port + 2] == [place.http.port for place in prepare(made, nodes, start)]
    assert before == contents(made)


@pytest.mark.parametrize(
    ("listen", "dialled"),
    [
        ('["10.0.0.5:{port}", "127.0.0.1:{port}"]', "127.0.0.1"),
        ('"[::]:{port}"', "127.0.0.1"),
        ('"10.0.0.5:{port}, 10.0.0.6:{port}"', "10.0.0.5"),
    ],
)
def test_a_node_that_listens_on_several_addresses_is_asked_at_one_that_this_host_has(
    made: Path, port: int, listen: str, dialled: str
) -> None:
    file = made / "n2" / "quorate.toml"
    wanted = f'listen = {listen.format(port=port + 1)}\nadvertise = "http://votes.example"\ninsecure = true'
    text = file.read_text().replace(f'listen = "127.0.0.1:{port + 1}"', wanted)
    file.write_text(text.replace('# advertise = ""\n', "", 1).replace("# insecure = false\n", "", 1))
    place = prepare(made, settings={"log.level": "debug"})[1]
    assert (dialled, port + 1) == place.http
    config = load(file, env={}).config
    assert ("debug", port + 1) == (config.log.level, config.http.addresses[0].port)


def test_a_door_for_redis_clients_is_opened_when_it_is_asked_for_and_stays(tmp_path: Path, port: int) -> None:
    made, doors = tmp_path / "data", [f"127.0.0.1:{port - 1_000 + i}" for i in range(3)]
    assert [None, None, None] == [place.resp for place in prepare(made, 3, port)]
    assert doors == [str(place.resp) for place in prepare(made, resp=True)]
    configs = [load(made / f"n{i}" / "quorate.toml", env={}).config for i in (1, 2, 3)]
    assert doors == [config.resp.listen for config in configs]
    before = contents(made)
    assert doors == [str(place.resp) for place in prepare(made)]
    assert before == contents(made)
    assert [f"  redis-cli -p {port - 1_000} xadd poll:mood", f"  redis-cli -p {port - 998} hgetall poll:mood"] == [
        line.partition(" IDMP")[0] for line in for_redis(prepare(made), "mood", "happy")
    ]
    assert [] == for_redis(prepare(tmp_path / "new", 1, port), "mood", "happy")


def test_a_door_that_was_set_by_hand_stays_as_it_is(made: Path, port: int) -> None:
    prepare(made, resp=True)
    config = made / "n2" / "quorate.toml"
    given = f'listen = ["127.0.0.1:{port - 999}", "[::1]:{port - 999}"]'
    config.write_text(config.read_text().replace(f'listen = "127.0.0.1:{port - 999}"', given))
    before = contents(made)
    assert ("127.0.0.1", port - 999) == prepare(made, resp=True)[1].resp
    assert before == contents(made)


def test_a_door_whose_port_is_taken_stops_the_start(made: Path, port: int) -> None:
    prepare(made, resp=True)
    with socket.create_server(("127.0.0.1", port - 1_000)):
        assert f"port {port - 1_000}, for RESP of n1, is in use" in refusal(made)


@pytest.mark.parametrize(("nodes", "shift", "said"), [(5, None, "holds a cluster of 3 nodes"), (3, 7, "on port")])
def test_another_cluster_in_the_folder_is_refused(
    made: Path, port: int, nodes: int, shift: int | None, said: str
) -> None:
    before = contents(made)
    detail = refusal(made, nodes, port + shift if shift else None)
    assert said in detail
    assert "--fresh" in detail
    assert before == contents(made)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path, port: int, fresh: bool) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "thesis.txt").write_text("years of work")
    assert "no cluster.json" in refusal(tmp_path, 3, port, fresh=fresh)
    assert {"n1/thesis.txt": b"years of work"} == contents(tmp_path)


def test_fresh_begins_anew_and_removes_only_what_is_a_clusters(made: Path, port: int) -> None:
    key = load(made / "n1" / "quorate.toml", env={}).config.raft.key
    (made / "n1" / "log").write_text("votes")
    (made / "ballots.db").write_text("tallies")
    (made / "notes").mkdir()
    (made / "notes" / "mine.txt").write_text("mine")
    prepare(made, 1, port, fresh=True)
    assert {"cluster.json", "n1/quorate.toml", "notes/mine.txt"} == set(contents(made))
    assert key != load(made / "n1" / "quorate.toml", env={}).config.raft.key


@pytest.mark.parametrize("fresh", [False, True])
def test_a_port_in_use_is_said_before_anything_changes(made: Path, port: int, fresh: bool) -> None:
    before = contents(made)
    with socket.create_server(("127.0.0.1", port + 1)):
        detail = refusal(made, 3, port, fresh=fresh)
    assert f"port {port + 1}, for HTTP of n2, is in use" in detail
    assert before == contents(made)


def test_links_use_other_ports_where_the_usual_ones_are_taken(tmp_path: Path, port: int) -> None:
    with socket.create_server(("127.0.0.1", port + 1_001)):
        places = prepare(tmp_path, 3, port)
    used = {place.raft.port for place in places}
    assert 3 == len(used)
    assert port + 1_001 not in used


def test_ports_beyond_the_last_are_refused(tmp_path: Path) -> None:
    assert "port 65536" in refusal(tmp_path / "data", 3, 65_534)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_node_that_runs_keeps_the_folder_as_it_is(made: Path, fresh: bool) -> None:
    held = pidfile.hold(made / "n2")
    assert held is not None
    before = contents(made)
    assert "n2 of " in (detail := refusal(made, fresh=fresh))
    assert "stop it: kill " in detail
    assert before == contents(made)
    pidfile.let_go(held)


def test_only_one_dev_has_the_folder_and_leaves_no_trace(tmp_path: Path) -> None:
    folder = ClusterFolder(tmp_path / "data")
    held = folder.hold()
    with pytest.raises(CannotStart, match="another `quorate dev`"):
        ClusterFolder(tmp_path / "data").hold()
    folder.let_go(held)
    assert not folder.path.exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(CannotStart, match="is a file"):
        ClusterFolder(tmp_path / "data").hold()


def test_a_damaged_mark_is_said_in_words(made: Path) -> None:
    (made / "cluster.json").write_text("{")
    assert "is damaged" in refusal(made)


# ---- settings for all nodes -----------------------------------------------------------------------------------------


def test_environment_and_flags_go_into_every_nodes_file_now_and_later(made: Path, tmp_path: Path, port: int) -> None:
    env = {"QUORATE_MONGO_URL": "mongodb://h:1", "QUORATE_NODE_ID": "not-for-all", "QUORATE_NODES": "http://x"}
    settings = settings_of(env, {"log.level": "debug"})
    assert {"mongo.url": "mongodb://h:1", "log.level": "debug"} == settings
    for folder in (made, tmp_path / "new"):
        prepare(folder, 3, port, settings=settings)
        configs = [load(folder / f"n{i}" / "quorate.toml", env={}).config for i in (1, 2, 3)]
        assert [("mongodb://h:1", "debug", f"n{i}") for i in (1, 2, 3)] == [
            (config.mongo.url, config.log.level, config.node.id) for config in configs
        ]
    prepare(made, settings=settings_of({"QUORATE_MONGO_URL": "mongodb://h:2"}, {}))
    again = load(made / "n3" / "quorate.toml", env={}).config
    assert ("mongodb://h:2", "debug") == (again.mongo.url, again.log.level)
    assert 0o600 == stat.S_IMODE((made / "n3" / "quorate.toml").stat().st_mode)


def test_what_belongs_to_one_node_cannot_be_set_for_all() -> None:
    with pytest.raises(ConfigError, match="each node has its own"):
        settings_of({}, {"http.listen": "127.0.0.1:1"})


def test_nodes_do_not_inherit_settings_that_their_files_hold() -> None:
    env = {"QUORATE_HTTP_LISTEN": "x", "QUORATE_CONFIG": "y", "QUORATE_TRACEBACK": "1", "PATH": "/bin"}
    assert {"QUORATE_TRACEBACK": "1", "PATH": "/bin"} == node_environment(env)


def test_commands_are_told_where_the_nodes_are_unless_they_look_there_by_themselves() -> None:
    assert [] == for_commands(["http://127.0.0.1:8001", "http://127.0.0.1:8002"])
    [line] = for_commands(["http://127.0.0.1:8201", "http://127.0.0.1:8202"])
    assert "export QUORATE_NODES=http://127.0.0.1:8201,http://127.0.0.1:8202 " in line


def test_the_servers_that_nodes_use_are_shown_without_passwords() -> None:
    flags = {
        "flush.sink": "mongo",
        "mongo.url": "mongodb://me:hidden@db:27017/?tls=true",
        "consul.address": "127.0.0.1:8500",
    }
    shown = services_of(load(env={}, flags={**flags, "nsq.lookupd": "127.0.0.1:4161"}).config)
    mongo = "MongoDB: mongodb://db:27017/ballots?tls=true"
    assert [mongo, "NSQ: topic votes, by 127.0.0.1:4161", "Consul: http://127.0.0.1:8500/ui"] == shown
    assert [] == services_of(load(env={}).config)


def test_without_sample_votes_the_first_thing_to_try_makes_the_poll() -> None:
    fed = votes_to_try("mood", "happy", "http://127.0.0.1:8001", is_made=True)
    make, vote = votes_to_try("mood", "happy", "http://127.0.0.1:8001", is_made=False)
    assert [vote] == fed
    poll, url = make.removeprefix("  curl -d '").split("' ")
    assert {"id": "mood", "options": ["happy", "sad"], "state": "open"} == json.loads(poll)
    assert "http://127.0.0.1:8001/polls" == url
