"""`quorate check`: says whether a history that `quorate chaos` wrote keeps the promise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, print_json
from quorate.cli.output import echo
from quorate.exit_code import DONE, FAILED, INCONCLUSIVE
from quorate.words import count

if TYPE_CHECKING:
    from quorate.chaos.figures import RunFigures
    from quorate.chaos.report.story import RunStory
    from quorate.chaos.verdict import Verdict

CODES = {"clean": DONE, "violated": FAILED, "inconclusive": INCONCLUSIVE}


def read_output(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """A file that is written in the end. That it cannot be written is said before anything else is done."""
    if value is None:
        return None
    if not value.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {value.absolute().parent}", ctx, param)
    is_new = not value.exists()
    if is_new or value.is_file():
        try:
            value.open("ab").close()
        except OSError as error:
            raise click.BadParameter(f"{value} cannot be written: {error.strerror}", ctx, param) from None
        if is_new:
            value.unlink()
    return value


def refuse_same_file(ctx: click.Context, history: Path | None, report: Path | None) -> None:
    if history is not None and report is not None and history.resolve() == report.resolve():
        raise click.UsageError("the report would be written over the history: give it another name.", ctx)


report_option = click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=read_output,
    metavar="FILE",
    help="Draw the run as a page: one HTML file, which needs nothing else and can be printed.",
)


@click.command()
@click.argument("history", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder for the temporary database, which takes about as much as HISTORY.",
)
@report_option
@as_json
@click.pass_context
def check(ctx: click.Context, history: Path, scratch: Path | None, report: Path | None, as_json: bool) -> int:
    """Say whether HISTORY keeps the promise: each acknowledged vote counted once, each read right, no vote after the
    close, and so on.

    A violation is shown with the operations that prove it, as they stand in HISTORY. The end says how much was checked.
    Ends with exit code 0 if the history is clean, 1 if it is violated, and 5 if it does not show enough to say either.
    """
    refuse_same_file(ctx, history, report)
    if not history.is_file():
        raise click.BadParameter("give a file: it is read more than once, as a pipe cannot be", param_hint="HISTORY")
    try:
        return _check(history, scratch, report, as_json=as_json)
    except (click.ClickException, BrokenPipeError):
        raise
    except Exception as error:
        return code_without_verdict(error, as_json=as_json)


def _check(history: Path, scratch: Path | None, report: Path | None, *, as_json: bool) -> int:
    from quorate.errors import Invalid

    try:
        run = judged_run(history, scratch=scratch, with_story=as_json or report is not None)
    except Invalid as error:
        raise click.BadParameter(error.detail, param_hint="HISTORY") from None
    drawn = run.draw(report)
    if as_json:
        print_json(run.to_machines())
    else:
        show(history, run.verdict)
        for line in drawn:
            echo(line)
    return CODES[run.verdict.verdict]


def code_without_verdict(error: Exception, *, as_json: bool) -> int:
    """Print the error. "Violated" is said by a verdict alone, so what fails otherwise is inconclusive."""
    from quorate.cli.exit_codes import exit_code_of

    code = exit_code_of(error, as_json=as_json)
    return INCONCLUSIVE if code == FAILED else code


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """What is told of a history, in words, as a page and to machines."""

    history: Path
    verdict: Verdict
    figures: RunFigures
    story: RunStory | None  # None: nobody asked for it

    def draw(self, report: Path | None) -> list[str]:
        """Lines that say where the page is. If it cannot be written, that is said, and the verdict stands."""
        from quorate.chaos.report.page import write_report

        if report is None or self.story is None:
            return []
        try:
            write_report(report, self.history, self.verdict, self.figures, self.story)
        except OSError as error:
            again = f"quorate check {self.history} --report FILE"
            echo(f"quorate: the report was not written: {error}; draw it again: {again}", err=True)
            return []
        return [f"report: {report}"]

    def to_machines(self) -> dict[str, Any]:
        """The verdict, the figures, and all that the page shows."""
        import msgspec

        from quorate.chaos.verdict import as_builtins

        told = {"history": str(self.history), **as_builtins(self.verdict)}
        return {**told, "figures": msgspec.to_builtins(self.figures), "report": msgspec.to_builtins(self.story)}


def judged_run(history: Path, *, scratch: Path | None, with_story: bool) -> JudgedRun:
    """Raises `Invalid` if the file is no history."""
    from quorate.chaos.figures import figures_of
    from quorate.chaos.report.gathering import gather
    from quorate.chaos.verdict import judge

    with busy("checking the history"):
        verdict = judge(history, scratch=scratch)
        story = gather(history, verdict.seconds) if with_story else None
        return JudgedRun(history, verdict, figures_of(history), story)


def show(history: Path, verdict: Verdict) -> None:
    for each in verdict.violations:
        echo(f"{each.property}: {each.words}", *(f"    {bytes(line).decode()}" for line in each.operations), "")
    for name, found in verdict.found.items():
        shown = sum(each.property == name for each in verdict.violations)
        if found > shown:
            echo(f"{name}: {count(found - shown, 'more violation')} not shown", "")
    echo(*_facts(history, verdict), *_checked(verdict), *_reached(verdict), _sentence(verdict))
    for reason in verdict.reasons:
        echo(f"  {reason}")


def _facts(history: Path, verdict: Verdict) -> list[str]:
    who = f"{count(verdict.clients, 'client')} on {count(verdict.nodes, 'node')}, {count(verdict.faults, 'fault')}"
    operations = f"{count(verdict.operations, 'operation')}, {verdict.unknown:,} of them with an unknown outcome"
    return [f"{history}: {verdict.seconds:,.1f} s, {who}, {operations}", ""]


def _checked(verdict: Verdict) -> list[str]:
    lines = ["checked"]
    for name, counts in verdict.checked.items():
        numbers = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
        lines.append(f"  {name:<14}{numbers or 'nothing'}")
    return [*lines, ""]


def _reached(verdict: Verdict) -> list[str]:
    if not verdict.reached and not verdict.missed:
        return []
    lines = [f"  {name:<40}{each.times:,} x" for name, each in verdict.reached.items()]
    return ["reached", *lines, *(f"  {name:<40}missed" for name in verdict.missed), ""]


def _sentence(verdict: Verdict) -> str:
    if verdict.verdict == "violated":
        return f"Violated: {count(sum(verdict.found.values()), 'violation')}."
    if verdict.verdict == "clean":
        return "Clean: no property is violated."
    return "Inconclusive: no property is violated, but the history does not show enough to call it clean."
