"""deploy/prometheus: every rule asks for what nodes show, has a test of its own, and is explained in docs/alerts.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import promtool
from tests.unit.metrics.conftest import Scraped
from tests.unit.metrics.expressions import problems, selectors

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


RULES = {rule["alert"]: rule for group in read("alerts.yml")["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_asks_for_what_nodes_show(name: str, scraped: Scraped) -> None:
    expression = RULES[name]["expr"]
    assert list(selectors(expression)), expression
    assert [] == problems(expression, scraped.shown)


def test_what_no_node_shows_is_found(scraped: Scraped) -> None:
    shown = scraped.shown
    assert problems("quorate_raft_leads == 0", shown)
    assert problems('sum(quorate_raft_members{sort="voter"})', shown)
    assert problems("sum by (node) (quorate_raft_is_leader)", shown)
    assert [] == problems('sum by (cluster, peer) (quorate_raft_peer_open{instance="n1"})', shown)


def test_every_rule_says_how_bad_it_is_and_what_to_do() -> None:
    for name, rule in RULES.items():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
        assert {"summary", "description", "what_to_do"} == set(rule["annotations"]), name
        assert f"docs/alerts.md#{name.lower()}" == rule["annotations"]["what_to_do"]


def test_every_rule_has_its_section_and_no_section_is_left_over() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    assert list(RULES) == re.findall(r"^### (\w+)$", page, re.MULTILINE), "in the order of the rules"


def test_every_rule_has_a_test_in_which_it_fires() -> None:
    tests = [test for each in read("alerts-test.yml")["tests"] for test in each["alert_rule_test"]]
    assert set(RULES) == {test["alertname"] for test in tests if test["exp_alerts"]}


def test_nodes_are_found_in_consul_by_what_they_register() -> None:
    from quorate.cluster.discovery import registration

    (job,) = read("prometheus-consul.yml")["scrape_configs"]
    registered = Path(registration.__file__).read_text()
    targets = {}
    for relabel in job["relabel_configs"]:
        (source,) = relabel["source_labels"]
        key = source.removeprefix("__meta_consul_service_metadata_")
        assert f'"{key}": ' in registered, f"nodes register no {key}"
        targets[relabel["target_label"]] = key
    assert {"cluster": "cluster", "instance": "node"} == targets
    (static,) = read("prometheus.yml")["scrape_configs"]
    assert job["job_name"] == static["job_name"] == "quorate"
    assert all({"cluster", "instance"} == set(each["labels"]) for each in static["static_configs"])


@pytest.mark.parametrize(
    "what", ["check rules alerts.yml", "check config prometheus.yml", "test rules alerts-test.yml"]
)
def test_promtool_takes_the_files(what: str) -> None:
    done = promtool.run(*what.split(), folder=FOLDER)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(("asked", "outcome"), [("1", pytest.fail.Exception), ("0", pytest.skip.Exception)])
def test_a_machine_without_promtool_is_told_what_to_install(
    asked: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promtool, "find", lambda: None)
    monkeypatch.setenv("QUORATE_REQUIRE_SERVICES", asked)
    with pytest.raises(outcome, match="apt install prometheus"):
        promtool.run("--version")
