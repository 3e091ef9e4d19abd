"""One HTML file of a run: no script, nothing from elsewhere. It can be printed, and follows light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from quorate import __version__
from quorate.chaos.figures import RunFigures
from quorate.chaos.report import tables
from quorate.chaos.report.bands import fault_bands, node_lanes
from quorate.chaos.report.charts import over_time, queues_and_sinks
from quorate.chaos.report.drawing import Axis, numbered, safe
from quorate.chaos.report.head import WORDS, facts_part, figures_part, verdict_part
from quorate.chaos.report.story import RunStory
from quorate.chaos.report.violations import first_moment, violations_part
from quorate.chaos.verdict import Verdict

STYLE = Path(__file__).parent / "static" / "report.css"
HATCHES = (
    '<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch" width="3" height="6"/></pattern></defs></svg>'
)


def write_report(path: Path, history: Path, verdict: Verdict, figures: RunFigures, story: RunStory) -> None:
    """Raises `OSError`."""
    path.write_text(page(history, verdict, figures, story), encoding="utf-8")


def page(history: Path, verdict: Verdict, figures: RunFigures, story: RunStory) -> str:
    title = f"{WORDS[verdict.verdict][0]}: a chaos run of Quorate, seed {story.run.seed}"
    text = "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body>{HATCHES}",
            "<header><p>Quorate <span>chaos run</span></p></header><main>",
            *_parts(history, verdict, figures, story),
            f"<footer>Drawn by Quorate {safe(__version__)}.</footer></main></body></html>",
            "",
        ]
    )
    return numbered(text)


def _parts(history: Path, verdict: Verdict, figures: RunFigures, story: RunStory) -> Iterator[str]:
    axis, mark = Axis(0.0, story.run.span_s), first_moment(verdict)
    yield verdict_part(verdict)
    yield figures_part(verdict, figures, story)
    yield facts_part(verdict, story)
    yield violations_part(verdict, story)
    yield '<section aria-labelledby="time"><h2 id="time">Over time</h2>'
    yield over_time(story, figures, axis, mark)
    yield node_lanes(story, axis, mark)
    yield queues_and_sinks(story, axis, mark)
    yield fault_bands(story, axis, mark)
    yield tables.all_faults(story)
    yield "</section>"
    yield tables.by_fault(story)
    yield tables.reached_list(verdict, story)
    yield tables.checked(verdict)
    yield _again(history)


def _again(history: Path) -> str:
    return (
        '<section aria-labelledby="again"><h2 id="again">Check it again</h2><p>All of this was read from the history '
        f"of the run, in which each request and each answer stands on a line of its own: <code>quorate check "
        f"{safe(history.name)}</code>. Whoever distrusts the checker can write another one for the file.</p></section>"
    )
