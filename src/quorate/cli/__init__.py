"""The `quorate` command: its subcommands and its exit codes.

Every command ends with a code that tells a script what to do next: 0 done, 1 refused or failed, 2 wrong usage, 3 no
leader or no node reachable (surely not done), 4 outcome unknown (send it again with the same id), 5 no verdict, because
the history does not show enough (`check`) or nobody could compare all (`audit`), 6 done, but for lines that were passed
over (`feed --skip-bad`) or letters that stay (`dead-letters replay`), 7 this node was removed from the cluster, 8 this
node stopped itself since it could have given wrong answers (both `node`).
Errors are shown as sentences, not as tracebacks. The module of a command is imported only when the command is called.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import click

from quorate import __version__
from quorate.cli import output
from quorate.cli.text import take_text_only
from quorate.exit_code import INTERRUPTED

COMMANDS = {  # name: (module, the first line of its help)
    "dev": ("dev", "Run a cluster on this machine, with a live view."),
    "node": ("node", "Run one node."),
    "vote": ("vote", "Cast a vote."),
    "polls": ("polls", "List, create, open, close and delete polls."),
    "results": ("results", "Show a poll's tally; --watch follows it."),
    "watch": ("watch", "Follow the tallies of several polls, or of all that are open."),
    "history": ("history", "Show how a poll's tally changed over the last hour, or week."),
    "export": ("export", "Write the results of a poll to a file, as CSV or JSON."),
    "feed": ("feed", "Count the votes in a file, each once however often it is fed."),
    "stream": ("stream", "Count the votes that posts of a social network are."),
    "producers": ("producers", "List producer sessions, and forget some."),
    "publish": ("publish", "Publish the votes in a file to NSQ, each once however often it is published."),
    "dead-letters": ("dead_letters", "Show what could not be counted from NSQ, or replay it."),
    "chaos": ("chaos", "Break a cluster while clients vote, and say whether every promise was kept."),
    "bench": ("bench", "Measure how many votes this cluster confirms a second."),
    "doctor": ("doctor", "Say what is wrong with this machine and the cluster, and what to do."),
    "status": ("status", "Show a node as it sees itself."),
    "nodes": ("status", "Show all nodes of the cluster."),
    "leader": ("status", "Say who leads."),
    "members": ("members", "Show, add, remove and replace the members of the cluster."),
    "settings": ("cluster_settings", "Show and set what holds for the whole cluster."),
    "log": ("log", "Show the log of a node, and check that of a stopped one."),
    "log-level": ("log_level", "Show and change how much nodes write to their logs."),
    "token": ("token", "Make a token for a file of tokens."),
    "audit": ("audit", "Compare all nodes, and every sink with the tallies."),
    "sink": ("sink", "Show where tallies are written, or take that over."),
    "backup": ("backup", "Write a backup of the cluster to a file, while it counts."),
    "restore": ("restore", "Make a new cluster of a backup."),
    "recover": ("recover", "Go on from one survivor when a majority is lost for ever."),
    "check": ("check", "Say whether a history of `quorate chaos` keeps the promise."),
    "config": ("config", "Check and show settings."),
    "completion": ("completion", "Print a script that has a shell complete commands and polls."),
    "version": ("version", "Show which version this is."),
}


class ReaderGone(Exception):
    """The reader of our output has ended, as in `quorate results | head -1`. click would call that a failure."""


class Commands(click.Group):
    """Knows the names of all commands, and imports only the command that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"quorate.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        take_text_only(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGone from None
        except Exception as error:
            if not output.is_change_made(ctx):
                raise
            output.not_shown(error)
            return 0
        return result

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], COMMANDS, 1)
            raise click.UsageError(f"{error.message} Did you mean {near[0]}?" if near else error.message, ctx) from None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="quorate")
def quorate() -> None:
    """Count votes exactly once, on a cluster that survives the death of any minority of its nodes.

    Begin with `quorate dev`: three nodes on this machine, a sample poll, and what to try next.
    """


def main(argv: Sequence[str] | None = None, seams: object = None) -> int:
    """Run the command line. Returns the exit code. `seams` are those of `quorate node`: see `seams.py`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    output.prepare()
    try:
        code = quorate.main(args=arguments, prog_name="quorate", standalone_mode=False, obj=seams)
        sys.stdout.flush()
    except (ReaderGone, BrokenPipeError):
        code = 0
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except Exception as error:
        from quorate.cli.exit_codes import exit_code_of

        code = exit_code_of(error, as_json="--json" in arguments)
    if not output.works(sys.stdout):
        output.discard(sys.stdout)
    return code if isinstance(code, int) else 0
