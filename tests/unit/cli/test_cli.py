"""The commands, against a real HTTP server: what they print, and their exit codes."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.cli import COMMANDS
from tests.support.http_node import Node
from tests.unit.cli.told import Capture, Told

NOWHERE = "http://127.0.0.1:1"


# ---- the frame ------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_loads_none() -> None:
    code = "import sys; from quorate.cli import main; main(['--help']); print([m for m in sys.modules if m in %r])"
    slow = ["requests", "rich", "msgspec", "quorate.cluster", "quorate.node"]
    done = subprocess.run([sys.executable, "-c", code % slow], capture_output=True, text=True, timeout=30, check=True)
    assert "[]" == done.stdout.splitlines()[-1]
    assert [] == [name for name in COMMANDS if f"\n  {name} " not in done.stdout]


def test_every_command_has_help(capsys: Capture) -> None:
    for name in COMMANDS:
        told = Told(capsys, name, "--help")
        assert (0, "") == (told.code, told.err)


def test_a_misspelt_command_is_told_the_nearest(capsys: Capture) -> None:
    told = Told(capsys, "vot", "happy")
    assert 2 == told.code
    assert "No such command 'vot'. Did you mean vote?" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vote"], "Missing argument 'OPTION'"),
        (["vote", "happy", "--weight", "0"], "0 is not in the range"),
        (["vote", "happy", "--node", "ftp://x"], "is no node's URL"),
        (["vote", "happy", "--id", ""], "Invalid value for '--id': it is empty; leave the flag out"),
        (["vote", "happy", "--poll", " "], "Invalid value for '--poll': it is empty; leave the flag out"),
        (["vote", "happy", "--node", ""], "it is empty; leave the flag out"),
        (["status", "--node", ","], "it is empty; leave the flag out"),
        (["status", "--consul", ""], "it is empty; leave the flag out"),
        (["feed", "/no/such/file"], "does not exist"),
        (["polls", "create", "p", "--closes-at", "noon"], "'noon' is no time"),
        (["polls", "edit", "p", "--closes-at", "noon"], "'noon' is no time"),
        (["polls", "edit", "p"], "give what is to change"),
        (["polls", "create", "p", "--closes-at", "2030-01-01T00:00:00"], "has no zone"),
        (["polls", "create", "p", "--closes-at", "+9999999d"], "not in the years 1 to 9999"),
        (["polls", "create", "p", "--closes-at", "9999-12-31T23:59:59-12:00"], "not in the years 1 to 9999"),
        (["node", "--set", "loglevel"], "is not section.key=value"),
        (["node", "--set", "log.levl=debug"], "did you mean log.level?"),
        (["node", "--config", "/no/such/file"], "cannot be read"),
        (["dev", "--set", "node.id=n7"], "each node has its own"),
        (["token", "new"], "Missing option '--role'. Choose from:\n  read,"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(capsys: Capture, arguments: list[str], said: str) -> None:
    told = Told(capsys, *arguments)
    assert 2 == told.code
    assert said in told.err


def test_a_bug_is_called_one_and_shows_no_traceback(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.cli.version.platform", None)
    told = Told(capsys, "version")
    assert 1 == told.code
    assert "something failed that should not: AttributeError" in told.err
    assert "Traceback" not in told.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m quorate config show | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_version_tells_itself(capsys: Capture) -> None:
    assert {"version", "python"} == set(Told(capsys, "version", "--json").json)
    assert Told(capsys, "version").out.startswith("quorate ")


# ---- votes ----------------------------------------------------------------------------------------------------------


def test_a_vote_counts_once_under_its_id(node: Node, capsys: Capture) -> None:
    first, second = Told(capsys, "vote", "happy", "--id", "u1"), Told(capsys, "vote", "happy", "--id", "u1")
    assert (0, 0) == (first.code, second.code)
    assert first.out.startswith("happy: counted (id u1, version ")
    assert second.out.startswith("happy: counted before; nothing changed")
    assert 1 == node.tally()["happy"]


def test_a_vote_carries_poll_and_weight(node: Node, capsys: Capture) -> None:
    told = Told(capsys, "vote", "sad", "--poll", "mood", "--weight", "5", "--json")
    assert (0, 1) == (told.code, told.json["applied"])
    assert 5 == node.tally()["sad"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["vote", "angry"], "No open poll has this option"),
        (["vote", "happy", "--poll", "none"], "No such poll"),
        (["vote", "sad", "--id", "taken"], "It does not fit what is there"),
        (["results", "none"], "No such poll"),
        (["polls", "archive", "mood"], "open can become closed"),
        (["polls", "create", "mood", "--option", "a", "--option", "b"], "another poll has this id"),
        (["polls", "create", "p", "--option", "a"], "a poll needs at least 2"),
        (["polls", "edit", "mood", "--option", "calm"], "changing a poll needs"),
    ],
)
def test_what_the_cluster_refuses_ends_with_1_and_says_why(
    node: Node, capsys: Capture, arguments: list[str], said: str
) -> None:
    node.vote(option="happy", id="taken")
    told = Told(capsys, *arguments)
    assert 1 == told.code
    assert said in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hapy"], ["'hapy'", "Did you mean happy?"]),
        (["HAPPY"], ["'HAPPY'", "Did you mean happy?"]),
        (["xyz"], ["'xyz'", "There are happy, sad."]),
        (["hapy", "--poll", "mood"], ["'hapy' in poll mood", "Did you mean happy?"]),
        (["happy", "--poll", "mod"], ["no poll 'mod'", "Did you mean mood?"]),
        (["soup", "--poll", "lunch"], ["lunch is a draft and not open yet", "Open it first: quorate polls open lunch"]),
        (["late", "--poll", "over"], ["over is closed"]),
        (["late"], ["over is closed"]),
    ],
    ids=str,
)
def test_a_refused_vote_is_told_what_it_may_have_meant(
    node: Node, capsys: Capture, arguments: list[str], said: list[str]
) -> None:
    node.ask("POST", "/polls", {"id": "lunch", "options": ["soup", "stew"], "state": "draft"})
    node.ask("POST", "/polls", {"id": "over", "options": ["late", "early"]})
    node.ask("POST", "/polls/over/state", {"state": "closed"})
    told = Told(capsys, "vote", *arguments)
    assert 1 == told.code
    assert [] == [words for words in said if words not in told.err], told.err


def test_one_vote_is_1_vote(node: Node, capsys: Capture) -> None:
    node.vote(option="happy", id="u1")
    assert "1 vote in mood" in Told(capsys, "results", "mood").out


def test_where_nobody_listens_it_ends_soon_with_3_and_says_what_to_do(capsys: Capture) -> None:
    told = Told(capsys, "vote", "happy", "--node", NOWHERE)
    assert 3 == told.code
    assert f"{NOWHERE} cannot be reached" in told.err
    assert "`quorate dev` starts one" in told.err


def test_without_a_leader_it_ends_with_3(node: Node, capsys: Capture) -> None:
    def lose() -> None:
        node.replica.leader = None

    node.call(lose)
    told = Told(capsys, "vote", "happy", "--timeout", "20")
    assert (3, "") == (told.code, told.out)
    assert "Nothing was changed" in told.err


def test_the_command_that_votes_again_can_be_copied(node: Node, capsys: Capture) -> None:
    def hold() -> None:
        node.replica.held = []

    node.call(hold)
    arguments = ["--id", "it's u1", "--poll", "mood", "--weight", "3", "happy"]
    told = Told(capsys, "vote", *arguments, "--timeout", "20")
    command = told.err.partition("counted twice: ")[2].splitlines()[0]
    assert ["quorate", "vote", *arguments[:-1], "--", "happy"] == shlex.split(command)


def test_an_outcome_nobody_knows_ends_with_4_and_gives_the_id_to_send_again(node: Node, capsys: Capture) -> None:
    def hold() -> None:
        node.replica.held = []

    node.call(hold)
    told = Told(capsys, "vote", "happy", "--id", "u1", "--timeout", "20")
    assert 4 == told.code
    assert "it will not be counted twice: quorate vote --id u1 -- happy\n" in told.err


def test_the_command_to_send_again_asks_the_nodes_that_flags_named(node: Node, capsys: Capture) -> None:
    """Without, it would ask those of the environment, which may be another cluster's."""

    def hold() -> None:
        node.replica.held = []

    node.call(hold)
    told = Told(capsys, "vote", "happy", "--id", "u1", "--timeout", "20", "--node", f"127.0.0.1:{node.port}")
    assert f"quorate vote --id u1 --node=http://127.0.0.1:{node.port} -- happy\n" in told.err


def test_status_stands_in_two_columns_and_shows_nothing_as_a_dash(node: Node, capsys: Capture) -> None:
    lines = Told(capsys, "status", "--all").out.splitlines()
    width = max(len(line.partition(" ")[0]) for line in lines)
    assert [] == [line for line in lines if line[width] != " " or line[width + 1] == " "]
    assert [] == [line for line in lines if line.split(maxsplit=1)[1] in ("None", "", "[]")]


def test_nobody_says_how_many_dead_letters_there_are_where_no_nsqd_answers(capsys: Capture) -> None:
    told = Told(capsys, "dead-letters", "list", "--nsqd", "127.0.0.1:1")
    assert (3, "") == (told.code, told.out)
    assert "No nsqd answers" in told.err


def test_errors_are_problem_documents_with_json(node: Node, capsys: Capture) -> None:
    told = Told(capsys, "vote", "angry", "--json")
    problem = json.loads(told.err)
    assert (1, "") == (told.code, told.out)
    assert ("unknown-option", 404, True) == (problem["type"], problem["status"], problem["definite"])


def test_several_nodes_are_tried_in_turn(node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_NODES", f"{NOWHERE},127.0.0.1:{node.port}")
    assert 0 == Told(capsys, "vote", "happy").code
    monkeypatch.setenv("QUORATE_NODES", NOWHERE)
    assert 0 == Told(capsys, "vote", "happy", "--node", NOWHERE, "--node", f"http://127.0.0.1:{node.port}/").code


def test_a_consul_that_cannot_be_asked_is_said_and_both_ways_at_once_are_refused(capsys: Capture) -> None:
    told = Told(capsys, "leader", "--consul", "127.0.0.1:1")
    assert (3, "") == (told.code, told.out)
    assert "Consul at 127.0.0.1:1: no connection" in told.err
    both = Told(capsys, "leader", "--consul", "127.0.0.1:1", "--node", NOWHERE)
    assert (2, True) == (both.code, "--node and --consul both say whom to ask" in both.err)
    wrong = Told(capsys, "leader", "--consul", "ftp://here")
    assert (2, True) == (wrong.code, "give host:port, or a URL" in wrong.err)


def test_nodes_given_by_flag_outrank_the_environments_consul(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUORATE_CONSUL", "127.0.0.1:1")
    assert 0 == Told(capsys, "leader", "--node", f"http://127.0.0.1:{node.port}").code
    assert 0 == Told(capsys, "leader").code, "and so do QUORATE_NODES"
    monkeypatch.delenv("QUORATE_NODES")
    assert 3 == Told(capsys, "leader").code
    monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{node.port}")
    assert 3 == Told(capsys, "leader", "--consul", "127.0.0.1:1").code


# ---- the cluster ----------------------------------------------------------------------------------------------------


def test_nodes_leader_and_status_are_shown(node: Node, capsys: Capture) -> None:
    assert Told(capsys, "leader").out.startswith("n1 leads since term 1: http://127.0.0.1:8001")
    assert Told(capsys, "nodes").out.splitlines()[0].split()[:3] == ["ID", "ROLE", "REACHABLE"]
    assert "n1" == Told(capsys, "nodes", "--json").json["nodes"][0]["id"]
    assert "raft.role" in Told(capsys, "status", "--all").out
    assert "n1" == Told(capsys, "status", "--json").json["node"]


def test_without_a_leader_the_leader_command_ends_with_3(node: Node, capsys: Capture) -> None:
    def lose() -> None:
        node.replica.leader = None

    node.call(lose)
    assert 3 == Told(capsys, "leader", "--timeout", "20").code


@pytest.mark.parametrize("variable", ["QUORATE_NODES", "QUORATE_CONSUL"])
def test_a_bad_value_in_the_environment_names_its_variable(
    variable: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "ftp://here")
    told = Told(capsys, "leader")
    assert (2, True) == (told.code, variable in told.err), told.err


@pytest.mark.parametrize("variable", ["QUORATE_NODES", "QUORATE_CONSUL", "QUORATE_CONFIG"])
def test_an_empty_variable_of_a_command_is_as_good_as_none(
    variable: str, node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "")
    assert 0 == Told(capsys, "config", "check").code
    assert 0 == Told(capsys, "leader", "--node", f"127.0.0.1:{node.port}").code


# ---- config ---------------------------------------------------------------------------------------------------------


def test_another_programs_variable_is_told_and_stops_nothing(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_HTTP_SERVICE_HOST", "10.43.7.1")
    told = Told(capsys, "config", "check")
    assert (0, 1) == (told.code, told.err.count("QUORATE_HTTP_SERVICE_HOST"))
    told = Told(capsys, "config", "check", "--json")
    assert ("", 1) == (told.err, len(told.json["warnings"]))


def test_config_check_tells_of_a_small_dedup_window(capsys: Capture, tmp_path: Path) -> None:
    settings = tmp_path / "small.toml"
    settings.write_text("[votes]\ndedup_window = 1000\n")
    told = Told(capsys, "config", "check", str(settings))
    assert (0, True) == (told.code, "could count twice meanwhile" in told.err)


def test_config_check_says_fine_or_what_is_wrong(capsys: Capture, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[raft]\npeers = ["n1=127.0.0.1:9001", "n2=127.0.0.1:9002"]\n')
    bad.write_text("[http]\nlistn = 1\n")
    assert "fine. This is n1 of n1, n2." in Told(capsys, "config", "check", str(good)).out
    told = Told(capsys, "config", "check", str(bad))
    assert (2, "") == (told.code, told.out)
    assert "did you mean http.listen?" in told.err


def test_config_show_masks_secrets_and_tells_where_values_come_from(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "q.toml"
    file.write_text('[raft]\nkey = "a-very-secret-key"\n')
    monkeypatch.setenv("QUORATE_HTTP_THREADS", "3")
    told = Told(capsys, "config", "show", str(file), "--set", "log.level=debug", "--json")
    assert {"value": "***", "from": str(file)} == told.json["raft.key"]
    assert {"value": 3, "from": "$QUORATE_HTTP_THREADS"} == told.json["http.threads"]
    assert {"value": "debug", "from": "a flag"} == told.json["log.level"]
    assert {"value": ["sqlite"], "from": "default"} == told.json["flush.sinks"]
    assert "a-very-secret-key" not in Told(capsys, "config", "show", str(file)).out


def test_recover_looks_at_the_settings_before_it_asks_for_unsafe(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "quorate.toml").write_text("[node]\nnames = 1\n")
    told = Told(capsys, "recover", "--config", str(tmp_path / "quorate.toml"))
    assert 2 == told.code
    assert "node.names is not a setting" in told.err
