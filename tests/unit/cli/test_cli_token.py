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


def test_it_writes_the_bounds_of_the_token(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens.toml"
    path.touch(0o600)
    path.write_text("# ours\n")
    for name, more in (("ann", "--rate 100 --burst 7"), ("bob", "--rate 0.5"), ("carl", "--share 5"), ("dora", "")):
        assert 0 == main(["token", "new", "--role", "vote", "--name", name, "--file", str(path), *more.split()])
    assert 0 == main(["token", "new", "--role", "vote", "--name", "bob", "--file", str(path)])
    assert 0 == main(["token", "new", "--role", "vote", "--name", "eve", "--share", "0", "--file", str(path)])
    assert 0 == main(["token", "new", "--role", "read", "--name", "rob", "--rate", "3", "--file", str(path)])
    expected = [
        ("ann", 1, 100.0, 7.0),
        ("bob", 2, 0.5, 0.0),
        ("carl", 5, None, 0.0),
        ("dora", 3, None, 0.0),
        ("bob", 2, None, 0.0),
        ("eve", 0, None, 0.0),
        ("rob", 0, 3.0, 0.0),
    ]
    assert expected == [(token.name, token.share, token.rate, token.burst) for token in TokenFile(path).tokens]
    assert "rate = 100\n" in path.read_text()
    assert "with the role vote and share 3 of the dedup window" in capsys.readouterr().err


def test_a_name_keeps_its_share_also_where_others_have_the_same(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    for name, more in (("ann", "--share 1"), ("bob", "--share 1"), ("ann", "")):
        assert 0 == main(["token", "new", "--role", "vote", "--name", name, "--file", str(path), *more.split()])
    assert [1, 1, 1] == [token.share for token in TokenFile(path).tokens]


def test_the_ninth_name_is_told_that_no_share_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tokens.toml"
    for number in range(8):
        assert 0 == main(["token", "new", "--role", "vote", "--name", f"t{number}", "--file", str(path)])
    assert "common" not in capsys.readouterr().err
    for more, told in (("--role manage", True), ("--role operate", False), ("--role vote --share 0", False)):
        assert 0 == main(["token", "new", "--name", "late", *more.split(), "--file", str(path)])
        assert told == ("so late has the common one" in capsys.readouterr().err)


def test_lines_that_are_only_printed_have_a_share_only_if_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["token", "new", "--role", "vote"])
    assert "share" not in capsys.readouterr().out
    assert 0 == main(["token", "new", "--role", "vote", "--share", "4", "--json"])
    assert 4 == json.loads(capsys.readouterr().out)["share"]


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
        ("", 0o600, ["--role", "vote", "--burst", "5"]),
        ("", 0o600, ["--role", "vote", "--rate", "0"]),
        ("", 0o600, ["--role", "vote", "--share", "9"]),
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


@pytest.mark.parametrize("rate", ["nan", "inf", "-inf", "-0", "1e400", "0", "0.0009", "1000001", "ten"])
def test_a_rate_that_is_none_is_told_in_words(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["token", "new", "--role", "vote", f"--rate={rate}"])
    assert f"--rate': give a number from 0.001 to 1,000,000, not '{rate}'" in capsys.readouterr().err


def test_its_answer_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["token", "new", "--role", "manage", "--json"])
    answer = json.loads(capsys.readouterr().out)
    found = read_tokens(answer["lines"]).find(answer["token"].encode())
    assert found is not None
    assert (answer["name"], "manage") == (found.name, found.role)
