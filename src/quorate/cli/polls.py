"""`quorate polls`"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from quorate.cli import completing
from quorate.cli.node_options import as_json, asks_nodes, client_of, level_option, print_json
from quorate.cli.output import change_is_made, echo
from quorate.cli.table import print_table
from quorate.errors import Conflict
from quorate.words import count

if TYPE_CHECKING:
    from quorate.client.http import JsonClient

OPTIONS_SHOWN_MAX = 8
NEVER = "never"  # the poll has no closing time
SECONDS_IN = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def read_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Read a time with its zone, or a duration from now such as +2h."""
    if value is None:
        return None
    try:
        if match := re.fullmatch(r"\+(\d{1,7})([smhd])", value):
            return datetime.now(UTC) + timedelta(seconds=int(match[1]) * SECONDS_IN[match[2]])
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except OverflowError:
        raise click.BadParameter(f"{value!r} is not in the years 1 to 9999", ctx, param) from None
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time; give 2026-05-01T12:00:00Z, or +10m from now", ctx, param
        ) from None
    raise click.BadParameter(f"{value!r} has no zone; add Z, or an offset as +02:00", ctx, param)


class ListByDefault(click.Group):
    """`quorate polls` means `quorate polls list`, also with options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing and not args:  # a shell completes what comes next
            return super().parse_args(ctx, args)
        if not args or (args[0] not in self.commands and args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ListByDefault)
def polls() -> None:
    """List, create, edit, open, close and delete polls."""


def read_moment_or_never(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | str | None:
    return NEVER if value == NEVER else read_moment(ctx, param, value)


@polls.command("list")
@click.option("--state", type=click.Choice(["draft", "open", "closed", "archived"]), help="Only polls in this state.")
@level_option()
@as_json
@asks_nodes()
def list_polls(state: str | None, level: str, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """List polls, without their tallies."""
    with client_of(nodes, timeout_s) as client:
        found = client.polls(state, level=level)
    if as_json:
        print_json(found)
    elif not found["polls"]:
        echo("There is no poll yet. Create one: quorate polls create mood --option happy --option sad")
    else:
        rows = [[p["id"], p["state"], len(p["options"]), p["title"], _some(p["options"])] for p in found["polls"]]
        print_table(["ID", "STATE", "OPTIONS", "TITLE", ""], rows)


@polls.command()
@click.argument("id", shell_complete=completing.polls)
@level_option()
@as_json
@asks_nodes()
def show(id: str, level: str, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Show a poll's definition. Its creation is a number that no other poll has, also not a later one of its name."""
    with client_of(nodes, timeout_s) as client:
        found = client.poll(id, level=level)
    if as_json:
        print_json(found)
        return
    number = f" (creation {found['creation']})" if found.get("creation") else ""
    echo(f"{found['id']}: {found['title']}{number}")
    echo(f"  {found['state']}" + (f", closes at {found['closes_at']}" if found.get("closes_at") else ""))
    echo("  any option counts (write-ins)" if found["write_ins"] else f"  {count(len(found['options']), 'option')}")
    for option in found["options"]:
        echo(f"    {option}")


@polls.command()
@click.argument("id")
@click.argument("also_options", metavar="[OPTION]...", nargs=-1)
@click.option("--title", default="", help="What is asked; the id if not given.")
@click.option("--option", "options", multiple=True, help="An option; give several, or give them after the id.")
@click.option("--options-file", type=click.File("rb"), help="A file with one option a line; - is stdin.")
@click.option("--draft", is_flag=True, help="Do not open it yet.")
@click.option(
    "--closes-at",
    metavar="TIME",
    callback=read_moment,
    help="When it closes: 2026-05-01T12:00:00Z, or +10m, +2h, +7d from now.",
)
@click.option("--write-ins", is_flag=True, help="Count any option that a vote for this poll names.")
@as_json
@asks_nodes()
def create(
    id: str,
    also_options: tuple[str, ...],
    title: str,
    options: tuple[str, ...],
    options_file: BinaryIO | None,
    draft: bool,
    closes_at: datetime | None,
    write_ins: bool,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Create a poll, open at once unless --draft. The same again is fine; another poll with that id is refused."""
    wanted = [*also_options, *options, *(_options_in(options_file) if options_file else ())]
    with client_of(nodes, timeout_s) as client:
        try:
            created = client.create_poll(
                id, wanted, title=title, state="draft" if draft else "open", closes_at=closes_at, write_ins=write_ins
            )
        except Conflict as error:
            name = shlex.quote(id)
            add = f"quorate polls edit {name} --add-option OPTION"
            error.fields["hint"] = f"See it: quorate polls show {name}. Options are added by: {add}"
            raise
        change_is_made()
        if as_json:
            print_json(client.poll(id))
            return
    echo(f"{id}: {'created' if created else 'was there already, the same'}")


@polls.command()
@click.argument("id", shell_complete=completing.polls)
@click.option("--title", help="What is asked from now on.")
@click.option("--add-option", "--option", "options", multiple=True, help="An option to add; give several.")
@click.option("--options-file", type=click.File("rb"), help="A file with one option to add a line; - is stdin.")
@click.option(
    "--closes-at",
    metavar="TIME",
    callback=read_moment_or_never,
    help="When it closes: 2026-05-01T12:00:00Z, or +10m, +2h, +7d from now, or never.",
)
@as_json
@asks_nodes()
def edit(
    id: str,
    title: str | None,
    options: tuple[str, ...],
    options_file: BinaryIO | None,
    closes_at: datetime | str | None,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Change a poll: all that is given, or nothing. Options are only added, and start from zero."""
    change: dict[str, Any] = {}
    if title is not None:
        change["title"] = title
    if wanted := [*options, *(_options_in(options_file) if options_file else ())]:
        change["add_options"] = wanted
    if closes_at is not None:
        change["closes_at"] = None if closes_at == NEVER else closes_at
    if not change:
        raise click.UsageError("give what is to change: --title, --add-option, --options-file or --closes-at")
    with client_of(nodes, timeout_s) as client:
        changed = client.change_poll(id, **change)
    change_is_made()
    if as_json:
        print_json(changed)
    else:
        echo(f"{id}: {'changed' if changed['changed'] else 'nothing to change, it is so already'}")


def _options_in(file: BinaryIO) -> Iterator[str]:
    from quorate.client.lines import numbered

    for number, line in numbered(file):
        try:
            text = line.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise click.UsageError(f"{file.name}: line {number:,} is not UTF-8 text") from None
        if text.strip():
            yield text


@polls.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=completing.polls)
@click.option("--creation", type=click.IntRange(min=0), help="The number that `show` says of the poll; for one ID.")
@as_json
@asks_nodes()
def delete(ids: tuple[str, ...], creation: int | None, as_json: bool, nodes: list[str], timeout_s: float) -> None:
    """Delete drafts or archived polls, with their results. Their names may be used again."""
    if creation is not None and len(ids) > 1:
        raise click.UsageError("--creation goes with one ID.")
    answers = []
    with client_of(nodes, timeout_s) as client:
        for id in ids:
            answers.append(_delete(client, id, creation))
            change_is_made()
            if not as_json:
                echo(f"{id}: deleted")
    if as_json:
        print_json(answers if len(ids) > 1 else answers[0])


def _delete(client: JsonClient, id: str, creation: int | None) -> Any:
    from quorate.errors import Deleted

    meant = client.poll(id).get("creation", 0) if creation is None else creation
    try:
        return client.delete_poll(id, meant)
    except Deleted as error:
        # It was there a moment ago: a first attempt, whose answer was lost, has done it. Or somebody else has.
        if creation is not None:
            raise
        return {"id": id, "creation": meant, "state": "deleted", "detail": error.detail}


def _state_command(name: str, state: str, text: str) -> None:
    @polls.command(name, help=text)
    @click.argument("id", shell_complete=completing.polls)
    @as_json
    @asks_nodes()
    def change(id: str, as_json: bool, nodes: list[str], timeout_s: float) -> None:
        with client_of(nodes, timeout_s) as client:
            answer = client.set_poll_state(id, state)
        change_is_made()
        if as_json:
            print_json(answer)
        else:
            echo(f"{id}: {state}")


_state_command("open", "open", "Open a poll: votes count from now on.")
_state_command("close", "closed", "Close a poll: its tally stands; it can be opened again.")
_state_command("archive", "archived", "Archive a closed poll: it answers until it is deleted and changes no more.")


def _some(options: list[str]) -> str:
    more = "" if len(options) <= OPTIONS_SHOWN_MAX else f", and {len(options) - OPTIONS_SHOWN_MAX} more"
    return ", ".join(options[:OPTIONS_SHOWN_MAX]) + more
