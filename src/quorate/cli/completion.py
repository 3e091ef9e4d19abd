"""`quorate completion`"""

from __future__ import annotations

import click

from quorate.cli.output import echo

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_QUORATE_COMPLETE"  # by it the scripts ask `quorate` for words; click answers


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a script that has SHELL complete commands, flags, and the names of polls.

    \b
    bash:  quorate completion bash > ~/.local/share/bash-completion/completions/quorate
    zsh:   quorate completion zsh > ~/.zfunc/_quorate     (a folder of fpath)
    fish:  quorate completion fish > ~/.config/fish/completions/quorate.fish

    bash must be 4.4 or newer. Names of polls are asked of --node or QUORATE_NODES, for a second at most; a token and
    certificates are those of QUORATE_TOKEN_FILE and QUORATE_CA.
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    from quorate.cli import quorate

    kind = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    names = kind(quorate, {}, "quorate", VARIABLE)
    for line in (kind.source_template % names.source_vars()).splitlines():
        echo(line)
