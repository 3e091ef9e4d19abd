"""`quorate dead-letters`: what could not be counted from NSQ, shown and replayed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.nsqds import nsqds_named
from quorate.cli.output import change_is_made, echo
from quorate.cli.settings import warn
from quorate.cli.table import print_table
from quorate.words import count

if TYPE_CHECKING:
    from quorate.ingest.nsq.letter_box import LetterBox
    from quorate.ingest.nsq.publisher import NoNsqd
    from quorate.ingest.replay import Replay

SOME_STAY = 6  # exit code: all others are replayed
CONTENT_SHOWN = 60  # characters


@dataclass(frozen=True, slots=True)
class Letters:
    """Where the letters are."""

    nsqds: Sequence[str]
    topic: str
    auth_secret: str

    def box(self, nsqd: str) -> LetterBox:
        from quorate.ingest.nsq.letter_box import LetterBox

        return LetterBox(nsqd, self.topic, auth_secret=self.auth_secret)


def _asks_nsqds(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that say where the letters are. It gets them as `letters`."""

    @functools.wraps(command)
    def asking(
        *, nsqd: tuple[str, ...], lookupd: tuple[str, ...], topic: str | None, settings: Path | None, **others: Any
    ) -> Any:
        from quorate.config import load
        from quorate.errors import Invalid

        flags: dict[str, Any] = {"nsq.nsqd": list(nsqd), "nsq.lookupd": list(lookupd), "nsq.dead_letter": topic}
        loaded = load(settings, flags={name: value for name, value in flags.items() if value})
        nsq = loaded.config.nsq
        if not others["as_json"]:
            warn(loaded.warnings)
        if not nsq.dead_letter:
            raise Invalid("nsq.dead_letter is empty, so no dead letters are kept; --topic names another topic")
        with nsqds_named(loaded) as nsqds:
            return command(letters=Letters(nsqds, nsq.dead_letter, nsq.auth_secret), **others)

    decorated: Callable[..., Any] = click.option(
        "--config",
        "settings",
        type=click.Path(dir_okay=False, path_type=Path),
        envvar="QUORATE_CONFIG",
        help="A node's TOML file: its [nsq] says where.",
    )(asking)
    for flag, metavar, several, text in reversed(
        [
            ("--nsqd", "HOST:PORT", True, "TCP address of an nsqd; all are asked."),
            ("--lookupd", "HOST:PORT", True, "HTTP address of an nsqlookupd that knows them."),
            ("--topic", "NAME", False, "Topic of the dead letters.  [default: votes_dead]"),
        ]
    ):
        decorated = click.option(flag, metavar=metavar, multiple=several, help=text)(decorated)
    return decorated


@click.group("dead-letters")
def dead_letters() -> None:
    """Show what could not be counted from NSQ, or replay it."""


@dead_letters.command("list")
@click.option("--limit", type=click.IntRange(1, 50_000), default=1_000, show_default=True, help="Letters to show.")
@as_json
@_asks_nsqds
def show(limit: int, as_json: bool, letters: Letters) -> None:
    """Show the dead letters, oldest first. They stay where they are."""
    found: list[dict[str, Any]] = []
    with busy("reading the dead letters"):
        unreached = _at_each(letters.nsqds, lambda nsqd: found.extend(_shown(letters, nsqd, limit)))
    found = sorted(found, key=lambda shown: str(shown["since"]))[:limit]
    if found or unreached is None:  # otherwise nobody knows how many there are
        _print_letters(found, as_json)
    if unreached is not None:
        raise unreached


def _at_each(nsqds: Sequence[str], do: Callable[[str], None]) -> NoNsqd | None:
    """Do it at each nsqd. One that is down keeps no other from its turn: the answer is the first such error."""
    from quorate.ingest.nsq.publisher import NoNsqd

    unreached = None
    for nsqd in nsqds:
        try:
            do(nsqd)
        except NoNsqd as error:
            unreached = unreached or error
    return unreached


def _print_letters(found: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"letters": found})
        return
    if found:
        headings = ["since", "reason", "votes", "nsqd", "content"]
        print_table(headings, [[*(each[name] for name in headings[:-1]), _brief(each["content"])] for each in found])
    reasons = Counter(str(each["reason"]) for each in found)
    by_reason = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    echo(f"{count(len(found), 'letter')}{f': {by_reason}' if found else ''}")


def _shown(letters: Letters, nsqd: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with letters.box(nsqd) as box:
        while len(found) < limit and (taken := box.take(limit - len(found))):
            found += [_fields(nsqd, each.published_ns, each.body) for each in taken]
    return found


def _fields(nsqd: str, published_ns: int, body: bytes) -> dict[str, Any]:
    from quorate.errors import Invalid
    from quorate.ingest.dead_letters import read_letter
    from quorate.ingest.replay import REPLAYED

    since = datetime.fromtimestamp(published_ns // 1_000_000_000, UTC).isoformat().replace("+00:00", "Z")
    shown: dict[str, Any] = {"since": since, "nsqd": nsqd, "votes": None}
    try:
        letter = read_letter(body)
    except Invalid as error:
        return shown | {"reason": "unreadable", "detail": error.detail, "content": _text(body)}
    if letter.reason in REPLAYED or letter.reason == "conflict":
        shown["votes"] = len(letter.lines)
    content = _text(letter.content)
    return shown | {"reason": letter.reason, "detail": letter.detail, "origin": letter.origin, "content": content}


def _text(content: bytes) -> str:
    return content.decode(errors="backslashreplace").rstrip("\n")


def _brief(content: str) -> str:
    line, _, more = content.partition("\n")
    return f"{line[:CONTENT_SHOWN]} …" if more or len(line) > CONTENT_SHOWN else line


@dead_letters.command()
@as_json
@_asks_nsqds
@asks_nodes(timeout_s=30.0)
def replay(as_json: bool, letters: Letters, nodes: list[str], timeout_s: float) -> int:
    """Submit the votes of dead letters again, each under its id, so that it counts once.

    Run it when the missing poll is there, or the closed one is open again. Letters whose votes all count are gone
    afterwards. The others stay: votes that still cannot count, conflicts, and messages that are no votes. It may be
    interrupted, killed and run again as often as one likes. If letters stay, the exit code is 6.
    """
    from quorate.errors import QuorateError
    from quorate.ingest.replay import Replay
    from quorate.ingest.replay import replay as replay_box

    done = Replay()

    @functools.cache
    def since_ms(poll: str) -> int:
        return client.poll_counts_from_ms(poll)

    def replay_at(nsqd: str) -> None:
        with letters.box(nsqd) as box:
            replay_box(box, client.cast, done, since_ms)

    with client_of(nodes, timeout_s) as client:
        client.leader()  # if no node can be reached, say so before a letter is taken
    try:
        with busy("replaying"), client_of(nodes, timeout_s, unreached_s=None, shows_wait=False) as client:
            if unreached := _at_each(letters.nsqds, replay_at):
                raise unreached
    except QuorateError as error:
        if done.letters or done.stay:
            _report(done, as_json)
        error.fields.setdefault("hint", "The letters that are not replayed stay. Run it again: no vote counts twice.")
        raise
    change_is_made()
    _report(done, as_json)
    return SOME_STAY if done.stay else 0


def _report(done: Replay, as_json: bool) -> None:
    stay = sum(done.stay.values())
    if as_json:
        report = {"replayed": done.letters, "applied": done.applied, "duplicates": done.duplicates}
        print_json({**report, "stay": stay, "stay_by_reason": dict(done.stay)})
        return
    before = f", {done.duplicates:,} had been counted before" if done.duplicates else ""
    echo(f"{count(done.letters, 'letter')} replayed: {count(done.applied, 'vote')} counted{before}")
    if stay:
        echo(f"{count(stay, 'letter')} stay:" if stay > 1 else "1 letter stays:")
        for reason, number in done.stay.most_common():
            example = next((detail for known, detail in done.examples if known == reason), "")
            echo(f"  {number:,} {reason}{f': {example}' if example else ''}")
