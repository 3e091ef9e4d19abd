"""Which settings say what callers without a token may do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from quorate.cli import main
from quorate.config import load
from tests.support.checkout import ROOT
from tests.support.tokens import write_tokens

BEYOND = {"http.listen": "127.0.0.1:8001, 10.0.0.1:8001"}
TOKENS = {"auth.file": "tokens.toml"}


@pytest.mark.parametrize(
    ("flags", "role"),
    [
        ({}, "operate"),
        (TOKENS, "operate"),
        ({"http.hosts": "votes.example"}, "vote"),
        ({**BEYOND, **TOKENS}, "public"),
        ({**BEYOND, **TOKENS, "http.insecure": "true"}, "public"),
        ({**BEYOND, "http.insecure": "true"}, "operate"),
        ({**BEYOND, "http.insecure": "true", "auth.anonymous": "read"}, "read"),
        ({**BEYOND, **TOKENS, "auth.anonymous": "read,vote"}, "vote"),
        ({"auth.anonymous": "vote"}, "vote"),
        ({"resp.listen": "10.0.0.1:6379", **TOKENS}, "public"),
        ({"auth.anonymous": ""}, "public"),
    ],
)
def test_what_needs_no_token_follows_from_who_can_ask(flags: Mapping[str, str], role: str) -> None:
    config = load(env={}, flags=flags).config
    assert role == config.auth.anonymous_role(config.http, config.resp)


def test_the_readme_s_example_for_several_hosts_is_taken(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "key").write_text("4f9a63c1d0e7b258" * 3 + "84c3a16be97f0d52")
    (tmp_path / "key").chmod(0o600)
    file = tmp_path / "quorate.toml"
    file.write_text(example.replace("/etc/quorate", str(tmp_path)))
    config = load(file, env={}).config
    assert "public" == config.auth.anonymous_role(config.http, config.resp)


def test_config_check_refuses_a_file_of_tokens_that_a_node_would_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens, file = write_tokens(tmp_path / "tokens.toml"), tmp_path / "quorate.toml"
    file.write_text('[auth]\nfile = "tokens.toml"')
    assert 0 == main(["config", "check", str(file)])
    tokens.chmod(0o644)
    assert 2 == main(["config", "check", str(file)])
    assert "chmod 600" in capsys.readouterr().err
