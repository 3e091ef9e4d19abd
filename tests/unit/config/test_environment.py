"""Variables of the environment: settings are read, typos are refused, other programs' variables are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.config import load
from quorate.errors import ConfigError

KUBERNETES = {  # what a pod sees of a Service `quorate-http`, and of others whose names begin as sections do
    "QUORATE_HTTP_SERVICE_HOST": "10.43.7.1",
    "QUORATE_HTTP_SERVICE_PORT": "8001",
    "QUORATE_HTTP_SERVICE_PORT_HTTP": "8001",
    "QUORATE_HTTP_PORT": "tcp://10.43.7.1:8001",
    "QUORATE_HTTP_PORT_8001_TCP": "tcp://10.43.7.1:8001",
    "QUORATE_HTTP_PORT_8001_TCP_PROTO": "tcp",
    "QUORATE_HTTP_PORT_8001_TCP_PORT": "8001",
    "QUORATE_HTTP_PORT_8001_TCP_ADDR": "10.43.7.1",
    "QUORATE_SERVICE_HOST": "10.43.7.2",
    "QUORATE_PORT": "tcp://10.43.7.2:8001",
    "QUORATE_PORT_8001_TCP": "tcp://10.43.7.2:8001",
    "QUORATE_CONSUL_SERVICE_HOST": "10.43.7.3",
    "QUORATE_CONSUL_SERVICE_PORT": "8500",
    "QUORATE_CONSUL_PORT_8500_TCP_ADDR": "10.43.7.3",
    "QUORATE_NODE_PORT": "tcp://10.43.7.4:8001",
    "QUORATE_RAFT_PORT_9001_UDP": "udp://10.43.7.5:9001",
}


def refusal(env: dict[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(env=env)
    return caught.value.detail


@pytest.mark.parametrize(("variable", "value"), KUBERNETES.items())
def test_each_variable_of_a_kubernetes_service_is_passed_over(variable: str, value: str) -> None:
    assert load(env={}).config == load(env={variable: value}).config


def test_all_of_them_together_are_told_in_one_sentence() -> None:
    (told,) = load(env=KUBERNETES).warnings
    assert "QUORATE_CONSUL_SERVICE_HOST" in told
    assert f"and {len(KUBERNETES) - 3} more" in told


@pytest.mark.parametrize(
    "variable", ["QUORATE_VERSION", "QUORATE_HTTP_ORIGIN", "QUORATE_NODE_IP", "QUORATE_DATA_DIR", "QUORATE_LOG_DIR"]
)
def test_another_programs_variable_is_told_and_passed_over(variable: str) -> None:
    (told,) = load(env={variable: "x"}).warnings
    assert variable in told


def test_what_our_own_scripts_read_is_not_told() -> None:
    ours = ["QUORATE_NODES", "QUORATE_CONSUL", "QUORATE_CA", "QUORATE_CONFIG", "QUORATE_TRACEBACK", "QUORATE_PYTHON"]
    tests = ["QUORATE_REQUIRE_SERVICES", "QUORATE_SERVICES_DIR", "QUORATE_TEST_MONGO_URL", "QUORATE_CHROMIUM"]
    assert () == load(env=dict.fromkeys([*ours, *tests], "x")).warnings


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("QUORATE_HTTP_LISTN", "QUORATE_HTTP_LISTEN"),
        ("QUORATE_HTP_LISTEN", "QUORATE_HTTP_LISTEN"),
        ("QUORATE_RAFT_ELECTION_TIMEOUT", "QUORATE_RAFT_ELECTION_TIMEOUT_MS"),
        ("QUORATE_MONGO_URI", "QUORATE_MONGO_URL"),
        ("QUORATE_RAFT_PEER", "QUORATE_RAFT_PEERS"),
        ("QUORATE_CONSUL_SERVICES", "QUORATE_CONSUL_SERVICE"),
        ("QUORATE_RAFT_KEYFILE", "QUORATE_RAFT_KEY_FILE"),
        ("QUORATE_LOGLEVEL", "QUORATE_LOG_LEVEL"),
        ("QUORATE_HTTP_THREAD", "QUORATE_HTTP_THREADS"),
        ("QUORATE_http_listen", "QUORATE_HTTP_LISTEN"),
    ],
)
def test_what_is_nearly_a_setting_is_refused_with_its_name(variable: str, meant: str) -> None:
    assert f"{variable} is not a setting; did you mean {meant}?" in refusal({variable: "x"})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("QUORATE_HTTP_THREADS", ""),
        ("QUORATE_HTTP_LISTEN", ""),
        ("QUORATE_RAFT_LISTEN", "9001"),
        ("QUORATE_RAFT_ADVERTISE", "x"),
        ("QUORATE_RAFT_PEERS", "127.0.0.1:9001"),
        ("QUORATE_RAFT_KEY", "short"),
        ("QUORATE_NODE_ID", ""),
        ("QUORATE_NODE_DATA", ""),
        ("QUORATE_SQLITE_PATH", ""),
        ("QUORATE_MONGO_URL", ""),
        ("QUORATE_NSQ_DEAD_LETTER", "votes"),
        ("QUORATE_FLUSH_SINK", "postgres"),
    ],
)
def test_an_empty_or_bad_value_names_its_variable(variable: str, value: str) -> None:
    assert variable in refusal({variable: value})


def test_a_contradiction_names_the_variable_and_not_settings_from_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "q.toml"
    file.write_text('[http]\nlisten = "127.0.0.1:9001"\n')
    with pytest.raises(ConfigError) as caught:
        load(file, env={"QUORATE_RAFT_LISTEN": "127.0.0.1:9001"})
    assert "($QUORATE_RAFT_LISTEN)" in caught.value.detail
    assert "QUORATE_HTTP_LISTEN" not in caught.value.detail
