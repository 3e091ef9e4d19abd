"""`quorate publish`"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli import completing
from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, print_json
from quorate.cli.nsqds import nsqds_named
from quorate.cli.numbers import NumberRange
from quorate.cli.output import change_is_made, echo
from quorate.cli.settings import warn
from quorate.client.lines import LINE_BYTES_MAX, chunks, numbered
from quorate.words import count

if TYPE_CHECKING:
    from quorate.ingest.nsq.publisher import Publisher
    from quorate.vote import Vote

BAD_LINES_SHOWN = 10
RUN_ID_BYTES_MAX = 100  # a vote's id is made of it, the line and the place in the line


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--nsqd", multiple=True, metavar="HOST:PORT", help="TCP address of an nsqd; several are tried in turn.")
@click.option("--lookupd", multiple=True, metavar="HOST:PORT", help="HTTP address of an nsqlookupd that knows them.")
@click.option("--topic", help="Topic to publish to.  [default: votes]")
@click.option(
    "--config",
    "settings",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="QUORATE_CONFIG",
    help="A node's TOML file: its [nsq] says where.",
)
@click.option("--both", is_flag=True, help="Publish to two nsqds, to survive the loss of one.")
@click.option("--pack", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Votes a message.")
@click.option("--poll", shell_complete=completing.polls, help="Count votes that name no poll in this one alone.")
@click.option(
    "--run-id", help="What ids are made of where votes have none, with the line. [default: the file's content]"
)
@click.option("--skip-bad", is_flag=True, help="Pass over lines that are no votes.")
@click.option(
    "--timeout",
    "timeout_s",
    type=NumberRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="Seconds to try one batch.",
)
@as_json
def publish(
    file: Path,
    nsqd: tuple[str, ...],
    lookupd: tuple[str, ...],
    topic: str | None,
    settings: Path | None,
    both: bool,
    pack: int,
    poll: str | None,
    run_id: str | None,
    skip_bad: bool,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Publish the votes in FILE (- is standard input) to NSQ, each confirmed, and safe to publish again.

    A line is a vote in JSON, {"option": "happy"}, or just an option. A vote without an id gets one from run id and
    line, so that a file published twice, or again after an interruption, counts once. Standard input is published as it
    comes, under a run id of its own unless you give one.
    """
    from quorate.config import load
    from quorate.ingest.nsq.publisher import Publisher, batches, messages

    flags: dict[str, Any] = {"nsq.nsqd": list(nsqd), "nsq.lookupd": list(lookupd), "nsq.topic": topic}
    loaded = load(settings, flags={name: value for name, value in flags.items() if value})
    nsq = loaded.config.nsq
    if not as_json:
        warn(loaded.warnings)
    with busy(f"reading {file}"):
        lines = VoteLines(file, run_id, poll, skip_bad)
    told: dict[str, Any] = {} if as_json else {"on_wait": lambda why: warn([why])}
    with nsqds_named(loaded) as nsqds:
        publisher = Publisher(nsqds, nsq.topic, both=both, timeout_s=timeout_s, auth_secret=nsq.auth_secret, **told)
        with publisher, _progress(shown=not as_json) as show:
            for votes in lines.chunks():
                for batch in batches(messages(votes, pack)):
                    publisher.publish(batch)
                show(lines.votes)
    change_is_made()
    _report(lines, publisher, as_json)


@contextlib.contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int], object]]:
    """How many votes are published, on a terminal. Nothing if a program reads along."""
    if not shown or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.completed:,.0f} votes published"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda votes: progress.update(task, completed=votes)


class VoteLines:
    """The votes of a file or of standard input. `chunks` reads a file in pieces, and a pipe as it comes."""

    def __init__(self, file: Path, run_id: str | None, poll: str | None, skip_bad: bool) -> None:
        from quorate.vote import check_text

        self._file, self._poll, self._skip_bad = file, poll, skip_bad
        self.votes = self.bad_lines = self._line_number = 0
        if run_id is not None:
            run_id = check_text(run_id, "run id", RUN_ID_BYTES_MAX)
        if str(file) == "-":
            self.run_id = run_id or f"publish-{uuid.uuid4().hex}"
        else:
            self.run_id = run_id or f"publish-{self._check_file()}"

    def _check_file(self) -> str:
        """Read the whole file before anything is sent. Returns its digest. Raises `Invalid` if it has bad lines."""
        digest = hashlib.blake2b(f"{self._poll or ''}\0".encode(), digest_size=16)
        bad, bad_lines = [], 0
        with self._file.open("rb") as opened:
            for number, line in numbered(opened):
                digest.update(line)
                if why := self._why_bad(line):
                    bad_lines += 1
                    if bad_lines <= BAD_LINES_SHOWN:
                        bad.append(f"line {number:,}: {why}")
        if bad and not self._skip_bad:
            raise _bad(bad, bad_lines, "Nothing was published")
        return digest.hexdigest()

    def _why_bad(self, line: bytes) -> str:
        from quorate.errors import QuorateError

        try:
            self._read(line)
        except QuorateError as error:
            return error.detail
        return ""

    def _read(self, line: bytes) -> list[Vote]:
        from quorate.errors import Invalid
        from quorate.ingest.bodies import read_body

        if len(line) > LINE_BYTES_MAX:
            raise Invalid(f"longer than {LINE_BYTES_MAX:,} bytes")
        if not line.strip():
            return []
        body = read_body(line.rstrip(b"\r\n"))
        if body.refused:
            raise Invalid(body.refused[0].detail)
        return body.votes

    def chunks(self) -> Iterator[list[Vote]]:
        stream = sys.stdin.buffer if str(self._file) == "-" else self._file.open("rb")
        with stream:
            for lines in chunks(stream):
                yield [vote for line in lines for vote in self._votes(line)]

    def _votes(self, line: bytes) -> Iterator[Vote]:
        from quorate.errors import QuorateError

        self._line_number += 1
        try:
            votes = self._read(line)
        except QuorateError as error:
            self.bad_lines += 1
            if not self._skip_bad:
                before = f"What stands before it, {count(self.votes, 'vote')}, may be published"
                raise _bad([f"line {self._line_number:,}: {error.detail}"], 1, before) from None
            return
        for place, vote in enumerate(votes):
            vote.id = vote.id or (f"{self.run_id}-{self._line_number}" + (f".{place}" if place else ""))
            vote.poll = vote.poll or self._poll
            self.votes += 1
            yield vote


def _bad(shown: list[str], bad_lines: int, consequence: str) -> Exception:
    from quorate.errors import Invalid

    more = [f"and {bad_lines - len(shown):,} more"] if bad_lines > len(shown) else []
    return Invalid("\n".join([*shown, *more, f"{consequence}. Correct it, or pass over such lines with --skip-bad."]))


def _report(lines: VoteLines, publisher: Publisher, as_json: bool) -> None:
    report = {
        "votes": lines.votes,
        "messages": publisher.messages,
        "nsqd": sorted(publisher.used),
        "only_one_copy": publisher.single,
        "bad_lines": lines.bad_lines,
        "run_id": lines.run_id,
    }
    if as_json:
        print_json(report)
        return
    places = " and ".join(sorted(publisher.used)) or "nobody"
    text = f"{count(lines.votes, 'vote')} published in {count(publisher.messages, 'message')} to {places}"
    if publisher.single:
        text += f"; of {publisher.single:,} there is one copy only"
    if lines.bad_lines:
        text += f"; {count(lines.bad_lines, 'bad line')} passed over"
    echo(text, f"run id {lines.run_id}: published again under it, they count once")
