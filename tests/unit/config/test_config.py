"""Settings: which layer overrides which, and what is refused in which words."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from quorate.config import SETTINGS, load, masked_config, parse_address, to_toml, under_new_names
from quorate.config.write import page, shown
from quorate.errors import ConfigError

ROOT = Path(__file__).parents[3]
THREE = "n1=127.0.0.1:9001,n2=127.0.0.1:9002,n3=127.0.0.1:9003"
OPEN = {"raft.insecure": "true", "http.insecure": "true", "flush.sinks": ""}
KEY = "7c9e0b45f1d2a836"
FINDING = {"raft.bootstrap_expect": "3", "consul.address": "127.0.0.1:8500"}


def refusal(
    file: Path | None = None, *, env: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file, env=env or {}, flags=flags)
    return caught.value.detail


def write_secret(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)


def write(folder: Path, text: str) -> Path:
    file = folder / "quorate.toml"
    file.write_text(text)
    return file


def test_a_flag_overrides_the_environment_which_overrides_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, '[http]\nthreads = 2\ndrain_s = 2\nkeep_alive_s = 2\n[log]\nlevel = "debug"\n')
    env = {"QUORATE_HTTP_DRAIN_S": "3", "QUORATE_HTTP_KEEP_ALIVE_S": "3"}
    loaded = load(file, env=env, flags={"http.keep_alive_s": "4"})
    http = loaded.config.http
    assert (2, 3, 4, 5_000) == (http.threads, http.drain_s, http.keep_alive_s, http.timeout_ms)
    assert str(file) == loaded.origins["http.threads"]
    assert "$QUORATE_HTTP_DRAIN_S" == loaded.origins["http.drain_s"]
    assert "http.timeout_ms" not in loaded.origins


def test_defaults_are_a_valid_node_of_its_own() -> None:
    config = load(env={}).config
    assert {"n1": parse_address("127.0.0.1:9001")} == config.members()
    assert "http://127.0.0.1:8001" == config.http.url


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[http]\nlistn = "x"', "http.listn is not a setting; did you mean http.listen?"),
        ("[http]\ndedup_window = 5", "http.dedup_window is not a setting; did you mean votes.dedup_window?"),
        ("[http]\nqqqq = 5", "http.qqqq is not a setting; [http] has listen, advertise,"),
        ("[rafft]\nkey = 1", "[rafft] is not a section; did you mean raft?"),
        ("http = 3", "http is a section: write [http]"),
        ('[http]\nthreads = "8"', "http.threads is '8'; give a whole number from 1 to 256"),
        ("[http]\nthreads = 0", "http.threads is 0; give a whole number from 1 to 256"),
        ("[http]\nthreads = true", "http.threads is True; give a whole number"),
        ("[raft]\nbootstrap = 1", "raft.bootstrap is 1; give true or false"),
        ("[raft]\nelection_timeout_ms = 99", "give a whole number from 100 to 60,000"),
        ('[raft]\npeers = "n1=127.0.0.1:9001"', "give a list of texts"),
        ("[votes]\nqueue_bytes = 65536", "votes.queue_bytes is 65536; give a whole number from 8,388,608 to"),
        ('[flush]\nsink = "postgres"', "flush.sink is 'postgres'; give one of sqlite, mongo, none"),
        ('[flush]\nsinks = "mongo"', "flush.sinks is 'mongo'; give a list of names, of sqlite, mongo"),
        ('[flush]\nsinks = ["postgres"]', "flush.sinks has 'postgres', which is no sink; there are sqlite, mongo"),
        ('[flush]\nsinks = ["mongo", "mongo"]', "flush.sinks has mongo twice; give it once"),
        ('[flush]\nsink = "mongo"\nsinks = ["mongo"]', "flush.sink and flush.sinks are both set; give flush.sinks"),
        ('[flush]\npath = "a"\n[sqlite]\npath = "b"', "flush.path and sqlite.path are both set; give sqlite.path"),
        ('[flush]\nsnk = "mongo"', "flush.snk is not a setting; did you mean flush.sinks?"),
        ("[sqlit]", "[sqlit] is not a section; did you mean sqlite?"),
        ('[sqlite]\npth = "x"', "sqlite.pth is not a setting; did you mean sqlite.path?"),
        ('[node]\nid = "a b"', "node.id is 'a b'; give a name"),
        ("[http]\nlisten = 8001", "http.listen is 8001; give a text"),
        ("[http\n", "is not TOML"),
        ('[http]\nlisten = "*:8001"', "http.listen: '*:8001': for all addresses give [::]:8001, or 0.0.0.0:8001"),
        ('[http]\nlisten = "8001"', "http.listen: '8001' is not host:port, as 127.0.0.1:9001"),
        ('[http]\nlisten = "::1:8001"', "put an IPv6 address in brackets"),
        ('[http]\nlisten = "h:70000"', "the port must be a number from 0 to 65535"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_in_words(tmp_path: Path, toml: str, said: str) -> None:
    assert said in refusal(write(tmp_path, toml))


def test_every_problem_is_told_at_once_with_its_file(tmp_path: Path) -> None:
    file = write(tmp_path, "[http]\nthreds = 1\n[votes]\ndedup_window = -1\n")
    lines = refusal(file).splitlines()
    assert 2 == len(lines)
    assert all(line.startswith(f"{file}: ") for line in lines)


def test_a_secret_of_the_wrong_type_is_not_repeated(tmp_path: Path) -> None:
    assert "raft.key is ***; give a text" in refusal(write(tmp_path, "[raft]\nkey = 123456789\n"))


def test_unreadable_file_is_said_in_words(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in refusal(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"[node]\nid = '\xe9'\n")
    assert "is not UTF-8 text" in refusal(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("QUORATE_HTTP_LISTN", "QUORATE_HTTP_LISTN is not a setting; did you mean QUORATE_HTTP_LISTEN?"),
        ("QUORATE_HTP_LISTEN", "did you mean QUORATE_HTTP_LISTEN?"),
    ],
)
def test_a_typo_in_the_environment_is_refused(variable: str, said: str) -> None:
    assert said in refusal(env={variable: "127.0.0.1:1"})


def test_variables_of_others_are_left_alone() -> None:
    load(env={"QUORATE_NODES": "http://x", "QUORATE_REQUIRE_SERVICES": "1", "QUORATE_CONFIG": "f", "HTTP_LISTEN": "x"})


def test_environment_and_flags_carry_lists_numbers_and_booleans() -> None:
    env = {"QUORATE_RAFT_PEERS": THREE.replace(",", " , "), "QUORATE_RAFT_BOOTSTRAP": "true"}
    config = load(env=env, flags={"http.threads": "3"}).config
    assert ["n1", "n2", "n3"] == list(config.members())
    assert (True, 3) == (config.raft.bootstrap, config.http.threads)


def test_a_path_is_relative_to_what_sets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path / "conf", '[node]\ndata = "."\n[flush]\npath = "../ballots.db"\n')
    config = load(file, env={"QUORATE_LOG_FILE": "n.log"}).config
    expected = (str(tmp_path / "conf"), str(tmp_path / "ballots.db"), str(tmp_path / "n.log"))
    assert expected == (config.node.data, config.sqlite.path, config.log.file)


def test_a_secret_can_stand_in_a_file(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", KEY + "\n")
    file = write(tmp_path, '[raft]\nkey_file = "key"\n')
    assert KEY == load(file, env={}).config.raft.key
    loaded = load(env={"QUORATE_RAFT_KEY_FILE": str(tmp_path / "key")})
    assert (KEY, str(tmp_path / "key")) == (loaded.config.raft.key, loaded.origins["raft.key"])


def test_byte_order_marks_are_passed_over(tmp_path: Path) -> None:
    """As editors on other systems write them."""
    write_secret(tmp_path / "key", f"\ufeff{KEY}\r\n")
    file = tmp_path / "quorate.toml"
    file.write_bytes(b'\xef\xbb\xbf[raft]\r\nkey_file = "key"\r\n')
    assert KEY == load(file, env={}).config.raft.key


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_files_in_another_encoding_are_refused_by_name(tmp_path: Path, encoding: str) -> None:
    key, file = tmp_path / "key", tmp_path / "quorate.toml"
    key.write_bytes("ein-Schlüssel-mit-Umlaut".encode(encoding))
    file.write_bytes('[node]\nid = "ü"\n'.encode(encoding))
    assert f"{file}: is not UTF-8 text" in refusal(file)
    assert f"{key} cannot be read: it is not UTF-8 text" in refusal(env={"QUORATE_RAFT_KEY_FILE": str(key)})


def test_bytes_in_the_environment_that_are_no_utf_8_are_refused() -> None:
    assert "QUORATE_RAFT_KEY: raft.key is ***; give a text" in refusal(env={"QUORATE_RAFT_KEY": "\udcff" * 16})


def test_of_a_secret_and_its_file_the_higher_layer_holds(tmp_path: Path) -> None:
    write_secret(tmp_path / "key", "from-a-file-of-its-own")
    file = write(tmp_path, f'[raft]\nkey = "{KEY}"\n')
    key_file = str(tmp_path / "key")
    assert "from-a-file-of-its-own" == load(file, env={"QUORATE_RAFT_KEY_FILE": key_file}).config.raft.key
    assert KEY == load(env={"QUORATE_RAFT_KEY_FILE": key_file}, flags={"raft.key": KEY}).config.raft.key
    both = refusal(env={"QUORATE_RAFT_KEY_FILE": key_file, "QUORATE_RAFT_KEY": KEY})
    assert "raft.key and raft.key_file are both set; give one" in both


def test_a_missing_or_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    assert "cannot be read: No such file" in refusal(env={"QUORATE_RAFT_KEY_FILE": str(tmp_path / "no")})
    assert "is empty" in refusal(env={"QUORATE_RAFT_KEY_FILE": str(tmp_path / "empty")})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"raft.peers": "n1=127.0.0.1:9001,n1=127.0.0.1:9002"}, "two nodes have the id n1"),
        ({"raft.peers": "n1=127.0.0.1:9001,n2=127.0.0.1:9001"}, "n1 and n2 have the same address"),
        ({"raft.peers": THREE, "node.id": "n4"}, "but not this node's own id n4: add n4=host:port"),
        ({"raft.peers": "n1=0.0.0.0:9001"}, "no address that others can reach"),
        ({"raft.peers": "127.0.0.1:9001"}, "is not id=host:port"),
        ({"raft.listen": "0.0.0.0:9001", "raft.advertise": "10.0.0.1:9001"}, "there is no raft.key"),
        ({"raft.key": "short"}, "fewer than 16 characters"),
        ({"raft.listen": "127.0.0.1:8001"}, "http.listen and raft.listen are both 127.0.0.1:8001"),
        ({"http.listen": "0.0.0.0:8001"}, "set http.advertise"),
        ({"http.listen": "[::1]:8001, 10.0.0.1:8001"}, "http.listen is 10.0.0.1:8001, open to other hosts, and there"),
        ({"http.listen": "votes.example:8001"}, "set auth.file, or set http.insecure = true"),
        ({"auth.anonymous": "read, admin"}, "auth.anonymous has 'admin'; give roles of read, vote, manage, operate"),
        ({"auth.anonymous": "auto, read"}, "give auto alone"),
        ({"http.listen": "[::1]:8001, 0.0.0.0:8002"}, "http.listen is 0.0.0.0:8002, which tells others no address"),
        ({"http.listen": "127.0.0.1:8001, 8002"}, "http.listen: '8002' is not host:port"),
        ({"http.listen": "127.0.0.1:8001, [::1]:8001, 127.0.0.1:8001"}, "http.listen has 127.0.0.1:8001 twice"),
        ({"http.listen": "0.0.0.0:80, 10.0.0.1:80"}, "http.listen has 10.0.0.1:80, which 0.0.0.0:80 takes too"),
        ({"raft.listen": "[::1]:9001, [::]:8001"}, "http.listen has 127.0.0.1:8001 and raft.listen has [::]:8001"),
        ({"raft.listen": "[::1]:9001, 10.0.0.1:9001"}, "raft.listen is 10.0.0.1:9001, open to other hosts"),
        ({"http.advertise": "n1:8001"}, "give a URL"),
        ({"http.hosts": "https://votes.example"}, "http.hosts has 'https://votes.example'; give host names"),
        ({"http.hosts": "votes.example,*"}, "http.hosts has '*'"),
        ({"raft.peers": "n1=10.0.0.1:9001,n2=10.0.0.2:9001"}, "flush.sinks has sqlite, a file on this host, but n2"),
        ({"mongo.url": "localhost:27017"}, "must begin with mongodb://"),
        ({"nsq.dead_letter": "votes"}, "is the topic of the votes itself"),
        ({"nsq.dead_letter": "votes dead"}, "nsq.dead_letter is 'votes dead'; give a name"),
        ({**FINDING, "raft.peers": THREE}, "raft.peers says who forms the cluster, and so does raft.bootstrap_expect"),
        ({**FINDING, "raft.bootstrap": "true"}, "raft.bootstrap forms a cluster of raft.peers: leave it out"),
        ({"raft.bootstrap_expect": "3"}, "set consul.address"),
        ({**FINDING, "raft.listen": "127.0.0.1:0"}, "give raft.listen a port, or set raft.advertise"),
        ({**FINDING, "raft.listen": "0.0.0.0:9001", "raft.key": KEY}, "set raft.advertise or raft.peers"),
        ({**FINDING, "raft.listen": "10.0.0.1:9001", "raft.key": KEY}, "may find nodes on others"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(flags: Mapping[str, str], said: str) -> None:
    assert said in refusal(flags=flags)


@pytest.mark.parametrize("given", ['"127.0.0.1:8001, [::1]:8001"', '["127.0.0.1:8001", "[::1]:8001"]'])
def test_several_addresses_are_one_text_or_a_list(tmp_path: Path, given: str) -> None:
    file = tmp_path / "quorate.toml"
    file.write_text(f"[http]\nlisten = {given}\n")
    config = load(file, env={}).config
    assert ["127.0.0.1:8001", "[::1]:8001"] == [str(address) for address in config.http.addresses]
    assert "127.0.0.1:8001, [::1]:8001" == config.http.listen


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("127.0.0.1:8001", "127.0.0.1:8001"),
        ("[::1]:8001", "[::1]:8001"),
        ("127.0.0.1:8001, [fd00::5]:8002", "[fd00::5]:8002"),
        ("[::]:8001, votes.example:8001", "votes.example:8001"),
        ("[::1]:8001, 127.0.0.1:8001", "[::1]:8001"),
    ],
)
def test_others_are_told_an_address_that_they_can_reach_if_there_is_one(listen: str, told: str) -> None:
    config = load(env={}, flags={"http.listen": listen, "raft.listen": listen.replace("800", "900"), **OPEN}).config
    assert f"http://{told}" == config.http.url
    assert told.replace("800", "900") == str(config.raft_address())


@pytest.mark.parametrize(
    "flags",
    [
        {"raft.listen": "0.0.0.0:9001", "raft.advertise": "10.0.0.1:9001", "raft.key": KEY},
        {"raft.listen": "0.0.0.0:9001", "raft.advertise": "10.0.0.1:9001", "raft.insecure": "true"},
        {"raft.peers": "n1=10.0.0.1:9001,n2=10.0.0.2:9001", "flush.sink": "mongo"},
        {"raft.peers": "n1=10.0.0.1:9001,n2=10.0.0.1:9002"},
        {"raft.listen": "[::1]:9001"},
        {"raft.listen": "127.0.0.1:9001, [::1]:9001"},
        {"http.listen": "[::]:8001, 10.0.0.1:8001, 127.0.0.1:8001", "http.insecure": "true"},
        {"http.listen": "10.0.0.1:8001", "auth.file": "tokens.toml"},
        {"http.listen": "localhost:8001"},
        {"auth.anonymous": ""},
        FINDING,
        {**FINDING, "raft.listen": "10.0.0.1:9001", "raft.key": KEY, "flush.sink": "mongo"},
        {"nsq.dead_letter": ""},
        {"flush.sinks": "sqlite, mongo"},
        {"raft.peers": "n1=10.0.0.1:9001,n2=10.0.0.2:9001", "flush.sinks": ""},
        {"raft.peers": "n1=10.0.0.1:9001,n2=10.0.0.2:9001", "sqlite.shared": "true"},
    ],
)
def test_settings_that_agree_are_taken(flags: Mapping[str, str]) -> None:
    load(env={}, flags=flags)


@pytest.mark.parametrize("none", ["", "[]", " [ ] "])
def test_no_items_may_be_spelt_as_errors_spell_them(none: str) -> None:
    """Errors say "[] for none" to those who set it by the environment or a flag, too."""
    config = load(env={"QUORATE_AUTH_ANONYMOUS": none}, flags={"flush.sinks": none}).config
    assert ([], []) == (config.auth.anonymous, config.flush.sinks)


@pytest.mark.parametrize(
    ("flags", "sinks", "origin"),
    [
        ({}, ["sqlite"], None),
        ({"flush.sink": "mongo"}, ["mongo"], "a flag"),
        ({"flush.sink": "none"}, [], "a flag"),
        ({"flush.sinks": "mongo,sqlite"}, ["mongo", "sqlite"], "a flag"),
        ({"flush.sinks": ""}, [], "a flag"),
    ],
)
def test_the_old_name_of_the_sinks_is_still_read(
    flags: Mapping[str, str], sinks: list[str], origin: str | None
) -> None:
    loaded = load(env={}, flags=flags)
    assert (sinks, origin) == (loaded.config.flush.sinks, loaded.origins.get("flush.sinks"))
    assert "flush.sink" not in loaded.origins


def test_of_an_old_name_and_the_new_one_the_higher_layer_holds(tmp_path: Path) -> None:
    file = write(tmp_path, '[flush]\nsink = "mongo"\npath = "old.db"\n')
    config = load(file, env={"QUORATE_FLUSH_SINKS": "sqlite"}, flags={"sqlite.path": "/new.db"}).config
    assert (["sqlite"], "/new.db") == (config.flush.sinks, config.sqlite.path)
    file = write(tmp_path, '[flush]\nsinks = ["mongo"]\n[sqlite]\npath = "new.db"\n')
    config = load(file, env={"QUORATE_FLUSH_PATH": "/old.db"}, flags={"flush.sink": "none"}).config
    assert ([], "/old.db") == (config.flush.sinks, config.sqlite.path)


def test_settings_are_written_down_under_their_new_names() -> None:
    old = {"flush.sink": "none", "flush.path": "a", "http.threads": 2}
    assert {"flush.sinks": [], "sqlite.path": "a", "http.threads": 2} == under_new_names(old)
    assert {"flush.sinks": ["mongo"]} == under_new_names({"flush.sink": "none", "flush.sinks": ["mongo"]})


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    loaded = load(env={}, flags={"raft.key": KEY, "mongo.url": "mongodb://u:hidden@h", "consul.token": "hidden"})
    text = repr(shown(loaded)) + repr(masked_config(loaded.config)) + repr(loaded.config)
    assert KEY not in text
    assert "hidden" not in text
    assert "***" == masked_config(loaded.config)["raft"]["key"]
    assert "" == masked_config(load(env={}).config)["raft"]["key"]


def test_a_written_file_reads_back_the_same(tmp_path: Path) -> None:
    values = {
        "node.id": "n2",
        "raft.peers": THREE.split(","),
        "raft.bootstrap": True,
        "raft.key": 'a"b\\c\x7fé😀' + KEY,
    }
    file = write(tmp_path, to_toml(values, head="Made for a test."))
    loaded = load(file, env={})
    assert values == {name: getattr(getattr(loaded.config, (n := name.split("."))[0]), n[1]) for name in values}


@pytest.mark.parametrize(
    ("name", "said"), [("http.listn", "did you mean http.listen?"), ("htp.listen", "http.listen"), ("http", "http")]
)
def test_what_is_no_setting_is_not_dropped_from_a_written_file(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match="is not a setting") as caught:
        to_toml({"node.id": "n1", name: "x"})
    assert said in caught.value.detail


def test_an_old_name_is_written_where_it_is_given(tmp_path: Path) -> None:
    """A file that is made for a node of an earlier version."""
    file = write(tmp_path, to_toml({"flush.path": "/old.db", "flush.sink": "none"}))
    config = load(file, env={}).config
    assert ("/old.db", []) == (config.sqlite.path, config.flush.sinks)


def test_a_written_file_names_every_setting(tmp_path: Path) -> None:
    uncommented = "\n".join(
        line.removeprefix("# ") for line in to_toml({}).splitlines() if " = " in line or line.startswith("# [")
    )
    new = {name for name, setting in SETTINGS.items() if not setting.replaced_by}
    assert new == {f"{s}.{k}" for s, values in tomllib.loads(uncommented).items() for k in values}


def test_every_setting_is_described_and_every_secret_has_a_file() -> None:
    for setting in SETTINGS.values():
        assert setting.meta.description, setting.name
        if setting.secret:
            assert SETTINGS[f"{setting.name}_file"].path, setting.name


def test_the_page_of_settings_is_up_to_date() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert page() == written, "run: python -m quorate.config > docs/settings.md"
