"""Every command in the documents makes sense to the program that it is for, as far as that shows without running it.

They are run by the worlds of `tests.support.documents`, which also names the few that are not.
"""

from __future__ import annotations

import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from quorate.cli import quorate
from quorate.config.settings import SETTINGS
from quorate.http.routes import ROUTES
from quorate.http.routing import PLACEHOLDER
from tests.support.checkout import ROOT
from tests.support.documents import (
    NOT_RUN,
    NOT_RUN_LINES,
    RUN_BY_OTHERS,
    WHERE_INSTALLED,
    WORLDS,
    blocks,
    blocks_of,
    commands,
    documents,
    text_of,
)
from tests.support.reader import SAID
from tests.support.substitutions import TABLES

ON_PATH = ("curl", "echo", "export", "kill", "umask", "chmod", "openssl", "dig", "git", "cd", "make", "PYTHON")
OF_OTHERS = {
    "age": "a backup into another program",
    "mongosh": "MongoDB",
    "to_nsq": "NSQ",
    "nsq_to_file": "NSQ",
    "consul": "Consul",
}
FILES = (
    "quorate.toml",
    "n1/quorate.toml",
    "n2/quorate.toml",
    "votes.txt",
    "votes.backup",
    "posts.ndjson",
    "made-up.ndjson",
    "history.ndjson",
    "three-hosts/quorate.toml",
    "FILE",
)
COMMANDS = Path("docs/commands.md")  # made from the program: how commands are called, and no examples
COMMAND = re.compile(r" *(sudo )?(quorate|\.venv/|scripts/|curl|consul|dig|make|git|python) ")
MESSAGES = ("has its members already: …",)  # of a cluster named quorate
BY_CURL = re.compile(r"^http://127\.0\.0\.1:800\d(/[^?]*)")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the documents name. No command does anything."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "data" / "n1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(click.Command, "invoke", lambda self, context: None)
    return tmp_path


def lines() -> Iterator[tuple[Path, str]]:
    for block in blocks():
        if not block.is_program:
            yield from ((block.path, line) for line in block.lines)


def test_the_program_takes_every_command_of_ours(folder: Path) -> None:
    refused = []
    for path, line in lines():
        for words in commands(line):
            if words[0] in ("quorate", ".venv/bin/quorate"):
                try:
                    quorate.main(args=words[1:], prog_name="quorate", standalone_mode=False)
                except click.ClickException as error:
                    refused.append(f"{path}: {line}: {error.format_message()}")
    assert [] == refused


def test_every_other_program_is_known() -> None:
    """Scripts and modules exist. What else is called is on every machine, or somebody else's."""
    unknown = [
        f"{path}: {words[0]}"
        for path, line in lines()
        for words in commands(line)
        if not (is_ours(words) or words[0] in ON_PATH or words[0] in OF_OTHERS)
    ]
    assert [] == unknown


def is_ours(words: list[str]) -> bool:
    if words[:2] == [".venv/bin/python", "-m"]:
        return importlib.util.find_spec(words[2]) is not None
    if words[0] == ".venv/bin/pytest":
        return all((ROOT / word).exists() for word in words if word.startswith("tests/"))
    return words[0] in ("quorate", ".venv/bin/quorate", ".venv/bin/mypy") or (ROOT / words[0]).is_file()


def test_every_request_by_curl_has_its_route() -> None:
    wrong = []
    for path, line in lines():
        for words in (words for words in commands(line) if words[0] == "curl"):
            for url in filter(None, map(BY_CURL.match, words)):
                method = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
                if not any(method == route.method and matches(route.pattern, url[1]) for route in ROUTES):
                    wrong.append(f"{path}: {method} {url[1]}")
    assert [] == wrong


def matches(pattern: str, path: str) -> bool:
    return re.fullmatch(PLACEHOLDER.sub(".+", pattern), path) is not None


def test_commands_within_sentences_and_tables_exist_with_their_options() -> None:
    wrong = []
    for path in documents():
        for said in re.findall(r"(?<!`)`(?:\.venv/bin/)?quorate ([^`]+)`", text_of(path)):
            if said in MESSAGES:
                continue
            words = said.split()
            options, left = options_of(words)
            missing = [
                word for word in words if word.startswith("--") and word.split("=")[0].rstrip(",…") not in options
            ]
            if left or missing:
                wrong.append(f"{path}: quorate {said}: {left or missing}")
    assert [] == wrong


def options_of(words: list[str]) -> tuple[set[str], str]:
    """The options of the command that the words name; and a word that should name a command, and does not.

    An ellipsis stands for any command.
    """
    command: click.Command = quorate
    for word in words:
        if not isinstance(command, click.Group) or not re.fullmatch(r"[a-z-]+", word) or word.startswith("-"):
            break
        below = command.get_command(click.Context(command), word)
        if below is None:
            return set(), word
        command = below
    named = [command]
    if "…" in words and isinstance(command, click.Group):
        context = click.Context(command)
        named += [each for name in command.list_commands(context) if (each := command.get_command(context, name))]
    return {
        "--help",
        *(name for each in named for param in each.params for name in (*param.opts, *param.secondary_opts)),
    }, ""


def test_every_setting_in_the_documents_exists() -> None:
    wrong = []
    for path in documents():
        for text in re.findall(r"^```toml\n(.*?)^```", text_of(path), re.S | re.M):
            for section, values in tomllib.loads(text).items():
                wrong += [f"{path}: {section}.{key}" for key in values if f"{section}.{key}" not in SETTINGS]
    assert [] == wrong


def test_no_command_hides_in_a_block_that_is_not_read() -> None:
    """An indented block, or a fence without `sh`, would be run by nobody."""
    hidden = []
    for path in (path for path in documents() if path != COMMANDS):
        fenced = ""
        for line in text_of(path).splitlines():
            if line.startswith("```"):
                fenced = "" if fenced else line
            elif (fenced in ("```", "```text") or (not fenced and line.startswith("    "))) and COMMAND.match(line):
                hidden.append(f"{path}: {line}")
    assert [] == hidden


def test_so_many_commands_are_not_run_and_each_has_a_reason_that_still_holds() -> None:
    shown = [line for _, line in lines()]
    for pattern in (
        *NOT_RUN,
        *RUN_BY_OTHERS,
        *WHERE_INSTALLED,
        *SAID,
        *(pattern for table in TABLES for pattern in table),
    ):
        assert [line for line in shown if re.search(pattern, line)], f"no document shows {pattern}"
    assert NOT_RUN_LINES == len([line for line in shown if any(re.search(pattern, line) for pattern in NOT_RUN)])
    for file, words in RUN_BY_OTHERS.values():
        assert words in text_of(Path(file)), f"{file} has no {words}"


def test_each_world_is_a_test_that_runs_its_blocks() -> None:
    for file in WORLDS:
        assert blocks_of(file), f"no document has a block for {file}"
        assert f'blocks_of("{file}")' in text_of(Path(file))


def test_a_wrong_option_is_found(folder: Path) -> None:
    for words in (["results", "mood", "--no-such-option"], ["members", "ad"], ["polls", "create"]):
        with pytest.raises(click.ClickException):
            quorate.main(args=words, prog_name="quorate", standalone_mode=False)
    assert not matches("/polls/{id:path}/state", "/polls/mood/states")
    assert ("--json" in options_of(["members", "add"])[0], "ad") == (True, options_of(["members", "ad"])[1])
