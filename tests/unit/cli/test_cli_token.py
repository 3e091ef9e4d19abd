"""`quorate token new`: the token is shown once, and the file of tokens gets a hash."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from quorate.cli import main
from quorate.security.token_file import TokenFile
from quorate.security.tokens import read_tokens


def test_it_prints_a_token_and_the_lines_for_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["token", "new", "--role", "vote", "--name", "ann", "--poll", "mood", "--poll", 'caf\u00e9 "x"'])
    secret, _, rest = capsys.readouterr().out.partition("\n")
    found = read_tokens(rest).find(secret.encode())
    assert found is not None
    assert ("ann", "vote", frozenset({"mood", 'caf\u00e9 "x"'})) == (found.name, found.role, found.polls)
    assert secret not in rest


def test_it_appends_to_a_file_that_only_its_user_may_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, secrets = tmp_path / "tokens.toml", []
    for role in ("vote", "operate"):
        assert 0 == main(["token", "new", "--role", role, "--file", str(path)])
        secrets.append(capsys.readouterr().out.strip())
    tokens = TokenFile(path).tokens
    found = [tokens.find(secret.encode()) for secret in secrets]
    assert ["vote", "operate"] == [token and token.role for token in found]
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert not any(secret in path.read_text() for secret in secrets)


def test_it_keeps_what_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.touch(0o600)
    path.write_text("# ours")  # without an end of its line
    assert 0 == main(["token", "new", "--role", "read", "--file", str(path)])
    assert path.read_text().startswith("# ours\n\n[[token]]\n")


@pytest.mark.parametrize(
    ("content", "mode", "arguments"),
    [
        ("", 0o600, ["--role", "read", "--name", "a b"]),
        ("", 0o600, ["--role", "operate", "--poll", "mood"]),
        ("# open", 0o644, ["--role", "read"]),
        ("[[token", 0o600, ["--role", "read"]),
        ("x = 1\n", 0o600, ["--role", "read"]),
    ],
)
def test_what_makes_no_sense_changes_no_file(tmp_path: Path, content: str, mode: int, arguments: list[str]) -> None:
    path = tmp_path / "tokens.toml"
    path.touch(0o600)
    path.chmod(mode)
    path.write_text(content)
    assert 2 == main(["token", "new", *arguments, "--file", str(path)])
    assert content == path.read_text()


def test_its_answer_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["token", "new", "--role", "manage", "--json"])
    answer = json.loads(capsys.readouterr().out)
    found = read_tokens(answer["lines"]).find(answer["token"].encode())
    assert found is not None
    assert (answer["name"], "manage") == (found.name, found.role)
