"""deploy/grafana: every query asks for what nodes show, and every name of a line is a label that its query gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import promtool
from tests.unit.metrics.conftest import Scraped
from tests.unit.metrics.expressions import OF_SCRAPES, problems, selectors

ROOT = Path(__file__).parents[3]
BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "quorate.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
VALUES = {"$cluster": "c", "$__rate_interval": "1m", "$__range": "15m"}
ALERT = {"alertname", "alertstate", "severity"}


def filled(expression: str) -> str:
    """With the values that Grafana puts in."""
    for variable, value in VALUES.items():
        expression = expression.replace(variable, value)
    return expression


def queries() -> Iterator[tuple[str, str, str]]:
    """(where, expression, the name of its lines)."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], filled(target["expr"]), target["legendFormat"]
    for each in BOARD["annotations"]["list"]:
        yield each["name"], filled(each["expr"]), each["titleFormat"] + each["textFormat"]


QUERIES = list(queries())


@pytest.mark.parametrize(("title", "expression", "legend"), QUERIES, ids=[title for title, *_ in QUERIES])
def test_a_query_asks_for_what_nodes_show(title: str, expression: str, legend: str, scraped: Scraped) -> None:
    assert "$" not in expression, f"{title}: a variable that nobody fills"
    if expression.startswith("ALERTS{"):
        return
    asked = list(selectors(expression))
    assert asked
    assert [] == problems(expression, scraped.shown)
    assert all(("cluster", "=", "c") in matchers for _, matchers in asked), "it would mix clusters"
    labels = {label for name, _ in asked for sample in scraped.shown.get(name, []) for label in sample} | OF_SCRAPES
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels


@pytest.mark.parametrize(("title", "expression", "legend"), QUERIES, ids=[title for title, *_ in QUERIES])
def test_a_line_is_named_by_a_label_that_is_left(title: str, expression: str, legend: str) -> None:
    """`sum by (sink)` leaves the sink alone."""
    grouped = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    left = set(re.findall(r"\w+", grouped[0])) if grouped else None
    for label in re.findall(r"\{\{(\w+)\}\}", legend):
        assert left is None or label in left, title


def test_the_clusters_to_choose_from_are_those_of_a_metric(scraped: Scraped) -> None:
    (variable,) = (each for each in BOARD["templating"]["list"] if each["name"] == "cluster")
    found = re.fullmatch(r"label_values\((\w+), cluster\)", variable["definition"])
    assert found is not None
    assert found[1] in scraped.shown


def test_panels_have_room_and_say_what_they_show() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert [] == [panel["title"] for panel in PANELS if not panel["description"]]


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    rules = [{"record": f"query:{place}", "expr": expression} for place, (_, expression, _) in enumerate(QUERIES)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool.run("check", "rules", str(path))
    assert 0 == done.returncode, done.stdout + done.stderr
