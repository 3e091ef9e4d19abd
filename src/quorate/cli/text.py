"""Text in arguments and variables: it must be UTF-8, because the cluster takes nothing else.

Python reads other bytes as characters that stand for no text, and they would fail wherever they are used. Names of
files may have such bytes: no text is made of them.
"""

from __future__ import annotations

import click


class Text(click.types.StringParamType):
    """Refuses what is not UTF-8."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(super().convert(value, param, ctx))
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.fail(f"{text!a} is not UTF-8 text", param, ctx)
        return text


TEXT = Text()


def take_text_only(command: click.Command) -> None:
    """Have all arguments of a command, and of the commands below it, checked. Idempotent."""
    for param in command.params:
        if type(param.type) is click.types.StringParamType:
            param.type = TEXT
    if isinstance(command, click.Group):
        for below in command.commands.values():
            take_text_only(below)
