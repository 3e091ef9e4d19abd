"""docs/commands.md: every command as click knows it, and the codes that it ends with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any

import click

from quorate import exit_code
from quorate.cli import COMMANDS, quorate
from scripts.references.markdown import code, paragraph, table, words

HEAD = """\
# Commands

`quorate COMMAND --help` says the same in a terminal. This page is made from the code: `make references`.
How they find the cluster, and what they may do there, is alike for all that ask one: [common options](#common-options).
"""
# The options of commands that ask a cluster. They are alike in all of them, but for the time after which each gives up.
COMMON = ("--json", "--node", "--consul", "--ca", "--token-file", "--timeout")
SHOWN_FOR = "results"  # the command whose common options are shown
CODES = {
    exit_code.DONE: "done",
    exit_code.FAILED: "refused, or failed",
    exit_code.USAGE: "wrong usage, or wrong settings",
    exit_code.NOT_REACHED: "no leader, or no node reachable: surely nothing was done",
    exit_code.UNKNOWN: "it may have been done: send it again with the same id",
    exit_code.INCONCLUSIVE: "no verdict: the history does not show enough, or nobody could compare all",
    exit_code.PASSED_OVER: "done, but for lines that were passed over, or letters that stay",
    exit_code.REMOVED: "this node was removed from the cluster",
    exit_code.HALTED: "this node stopped itself, because it could have given wrong answers",
    exit_code.INTERRUPTED: "interrupted, as by Ctrl-C",
}
OWN_CODES = {  # besides those that every command may end with
    "node": (exit_code.REMOVED, exit_code.HALTED),
    "feed": (exit_code.PASSED_OVER,),
    "stream replay": (exit_code.PASSED_OVER,),
    "dead-letters replay": (exit_code.PASSED_OVER,),
    "audit": (exit_code.INCONCLUSIVE,),
    "chaos": (exit_code.INCONCLUSIVE,),
    "check": (exit_code.INCONCLUSIVE,),
}


def page() -> str:
    rows = [(f"[`{name}`](#quorate-{name})", text) for name, (_, text) in COMMANDS.items()]
    lines = [*HEAD.splitlines(), "", *table(("command", "what it does"), rows), "", *_codes(), "", *_common()]
    for context in _contexts(click.Context(quorate, info_name="quorate")):
        lines += ["", *_command(context)]
    return "\n".join(lines) + "\n"


def _codes() -> list[str]:
    return [
        "## Exit codes",
        "",
        *paragraph(
            "Every command may end with 0, 1, 2 or 130, and one that asks a cluster with 3 or 4. Where a command has "
            "another code, its section says so."
        ),
        "",
        *table(("code", "what it means"), list(CODES.items())),
    ]


def _common() -> list[str]:
    shown = quorate.get_command(click.Context(quorate), SHOWN_FOR)
    assert shown is not None
    context = click.Context(shown, info_name=SHOWN_FOR)
    options = [each for each in shown.get_params(context) if isinstance(each, click.Option) and _is_common(each)]
    return [
        "## Common options",
        "",
        "Commands that ask a cluster have these. `--timeout` has a default of its own where the section says so.",
        "",
        *_options(context, options),
    ]


def _contexts(above: click.Context) -> Iterator[click.Context]:
    """The contexts of all commands below this one, each before those that it has."""
    assert isinstance(above.command, click.Group)
    for name in above.command.list_commands(above):
        command = above.command.get_command(above, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=above)
        yield context
        if isinstance(command, click.Group):
            yield from _contexts(context)


def _command(context: click.Context) -> list[str]:
    path, command = context.command_path, context.command
    params = [each for each in command.get_params(context) if isinstance(each, click.Option) and not each.hidden]
    own = [each for each in params if not _is_common(each) and "--help" not in each.opts]
    common = [each for each in params if _is_common(each)]
    lines = [f"{'#' * len(path.split())} {path}", "", "```text", " ".join(_usage(context)), "```", ""]
    lines += _help(command)
    if own:
        lines += [*_options(context, own), ""]
    return [*lines, *_ends(context, common)][: None if common or _own_codes(context) else -1]


def _usage(context: click.Context) -> Iterator[str]:
    yield context.command_path
    yield from context.command.collect_usage_pieces(context)


def _help(command: click.Command) -> list[str]:
    """The text of the command. What follows a line with \\b alone keeps its line breaks."""
    lines: list[str] = []
    for text in inspect.cleandoc(command.help or "").split("\f")[0].split("\n\n"):
        if text.startswith("\b"):
            lines += ["```text", *text.splitlines()[1:], "```", ""]
        else:
            lines += [*paragraph(text), ""]
    return lines


def _options(context: click.Context, options: Sequence[click.Option]) -> list[str]:
    return table(
        ("option", "what it is", "default", "values", "environment"), [_row(context, each) for each in options]
    )


def _row(context: click.Context, option: click.Option) -> tuple[str, ...]:
    extra: dict[str, Any] = dict(option.get_help_extra(context))
    written = [_with_value(context, option, names) for names in (option.opts, option.secondary_opts) if names]
    said, _, default = (option.help or "").removesuffix("]").partition("[default: ")
    return (
        " / ".join(written),
        words(said.strip().removesuffix(".")),
        "needed" if "required" in extra else default or code(re.sub(r"\.0$", "", extra.get("default", ""))),
        _values(option, extra.get("range", "")),
        " ".join(code(each) for each in extra.get("envvars", ())),
    )


def _values(option: click.Option, bounds: str) -> str:
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{each}`" for each in option.type.choices)
    bounds = re.sub(r"^(.+)<=x<=(.+)$", r"\1 to \2", bounds)
    return re.sub(r"^x>=(.+)$", r"at least \1", bounds)


def _with_value(context: click.Context, option: click.Option, names: list[str]) -> str:
    value = "" if option.is_flag or option.count else f" {option.make_metavar(context)}"
    if isinstance(option.type, click.Choice):
        value = " …"
    return ", ".join(f"`{name}{re.sub(r' RANGE$', '', value)}`" for name in names)


def _is_common(option: click.Option) -> bool:
    return bool(set(COMMON) & set(option.opts))


def _own_codes(context: click.Context) -> tuple[int, ...]:
    return OWN_CODES.get(context.command_path.removeprefix("quorate "), ())


def _ends(context: click.Context, common: list[click.Option]) -> list[str]:
    sentences = []
    names = [each.opts[0] for each in common]
    if len(names) == len(COMMON):
        sentences.append(f"Besides: the [common options](#common-options){_patience(common)}.")
    elif names:
        listed = " and ".join([*([", ".join(map(code, names[:-1]))] if names[1:] else []), code(names[-1])])
        sentences.append(f"Besides, of the [common options](#common-options): {listed}.")
    if own := _own_codes(context):
        each = " or ".join(f"{number} ({CODES[number]})" for number in own)
        sentences.append(f"May also end with {each}.")
    return paragraph(" ".join(sentences))


def _patience(common: list[click.Option]) -> str:
    (default,) = (each.default for each in common if "--timeout" in each.opts)
    return f"; `--timeout` is {default:g} s" if isinstance(default, (int, float)) else ""
