"""The names, kinds and texts of /metrics, and that a real node shows what docs/metrics.md says."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from quorate.cluster.flush.flusher import Phase
from quorate.cluster.raft.engine.elections import ROLES
from quorate.http.counts import Counts
from quorate.http.metrics import rendering
from quorate.http.metrics.http_table import REFUSED_WHY
from quorate.http.metrics.observation import Observation
from quorate.http.metrics.page import page
from quorate.http.metrics.raft_table import RAFT_ROLES
from quorate.http.metrics.table import SINK_PHASES, TABLE
from quorate.measures import Histogram, Measures
from tests.support import promtool
from tests.support.http_node import running
from tests.support.scraping import samples_of
from tests.support.tokens import access_by, bearer, write_tokens
from tests.unit.metrics.conftest import Scraped

ROOT = Path(__file__).parents[3]
BAD_ENDS = ("_s", "_ms", "_sec", "_millis", "_milliseconds", "_kb", "_mb", "_days", "_minutes", "_count", "_sum")


def test_the_page_of_metrics_is_up_to_date() -> None:
    assert page() == (ROOT / "docs" / "metrics.md").read_text(), "run: make metrics"


def test_names_follow_the_conventions() -> None:
    names = [metric.name for metric in TABLE]
    assert len(set(names)) == len(names)
    for metric in TABLE:
        assert re.fullmatch(r"quorate(_[a-z]+)+", metric.name), metric.name
        assert ("counter" == metric.kind) == metric.name.endswith("_total"), metric.name
        assert not metric.name.endswith(BAD_ENDS), metric.name
        assert not metric.help.endswith("."), metric.name
        assert len(metric.help.split()) > 1 or metric.help == "Polls", f"{metric.name}: its HELP says nothing"
        assert not {"le", "quantile", "instance", "job"} & set(metric.labels), metric.name


def test_the_words_of_labels_are_those_of_the_rooms() -> None:
    assert ("starting", *ROLES, "halted") == RAFT_ROLES
    assert tuple(phase.value for phase in Phase) == SINK_PHASES


def test_two_real_nodes_show_every_metric(scraped: Scraped) -> None:
    families = list(text_string_to_metric_families(scraped.leader)) + list(
        text_string_to_metric_families(scraped.follower)
    )
    shown = {sample.name for family in families for sample in family.samples}
    expected = {f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name for metric in TABLE}
    assert expected - shown == {"quorate_source_depth_messages"}, "nothing is known of a queue without nsqlookupd"
    kinds = {metric.name.removesuffix("_total"): metric.kind for metric in TABLE}
    own = [family for family in families if family.name.startswith("quorate_")]
    assert {family.name: family.type for family in own} == {family.name: kinds[family.name] for family in own}


def test_two_real_nodes_say_what_happened(scraped: Scraped) -> None:
    leader = samples_of(scraped.leader)
    follower = samples_of(scraped.follower)
    assert (1, 0) == (leader[("quorate_raft_is_leader",)], follower[("quorate_raft_is_leader",)])
    assert (1, 1) == (leader[("quorate_raft_has_leader",)], follower[("quorate_raft_has_leader",)])
    assert (2, 0) == tuple(leader[("quorate_raft_members", kind)] for kind in ("voter", "learner"))
    assert (1, 0) == tuple(leader[("quorate_raft_role", role)] for role in ("leader", "follower"))
    assert 1 == leader[("quorate_votes_total", "applied")] == leader[("quorate_dedup_share_held_ids", "1")]
    assert 1 == leader[("quorate_sink_phase", "flushing", "sqlite")]
    assert leader[("quorate_sink_documents_total", "written", "sqlite")] >= 1
    assert 0 == leader[("quorate_consul_registered",)]
    assert (1, 0) == tuple(leader[("quorate_resp_votes_total", outcome)] for outcome in ("applied", "duplicate"))
    assert (2, 1) == tuple(leader[("quorate_resp_commands_total", name)] for name in ("XADD", "AUTH"))
    assert 1 == leader[("quorate_resp_errors_total", "ERR")]
    assert (0, 0) == (leader[("quorate_resp_connections",)], leader[("quorate_resp_unknown_outcomes_total",)])
    refused = {why: leader[("quorate_auth_refused_total", why)] for why in REFUSED_WHY}
    assert {"missing": 0, "unknown": 1, "role": 1, "rate": 0} == refused
    assert leader[("quorate_raft_commit_seconds_count",)] >= 2
    assert leader[("quorate_raft_commit_seconds_count",)] == leader[("quorate_raft_entry_bytes_count",)]
    assert 3 == leader[("quorate_submit_batch_requests_count",)] == leader[("quorate_submit_batch_requests_sum",)]
    assert min(each[("quorate_raft_sync_seconds_count",)] for each in (leader, follower)) >= 2
    assert 0 < leader[("quorate_disk_free_bytes",)] <= leader[("quorate_disk_size_bytes",)]
    for use in ("http", "links"):
        assert 9 * 86_400 < leader[("quorate_tls_certificate_left_seconds", use)] <= 10 * 86_400


def test_promtool_has_no_complaint(scraped: Scraped) -> None:
    for text in (scraped.leader, scraped.follower, scraped.stream):
        done = promtool.run("check", "metrics", text=text)
        assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_a_node_that_reads_its_disk_shows_little_and_nothing_wrong() -> None:
    shown = rendering.as_text(Observation({"node": "n1", "raft": {"role": "starting"}, "tls": None})).decode()
    samples = samples_of(shown)
    assert 1 == samples[("quorate_raft_role", "starting")]
    assert 0 == samples[("quorate_raft_is_leader",)]
    assert not any(name.startswith(("quorate_raft_term", "quorate_tls")) for name, *_ in samples)


def test_backups_are_told_where_there_is_a_schedule() -> None:
    def shown(backups: dict[str, float | None] | None) -> dict[tuple[str, ...], float]:
        found = samples_of(rendering.as_text(Observation({"backups": backups})).decode())
        return {name: value for name, value in found.items() if name[0].startswith("quorate_backup")}

    assert {} == shown(None)
    assert {("quorate_backup_failing",): 0} == shown({"failing_s": None, "last_age_s": None})
    assert {("quorate_backup_failing",): 1, ("quorate_backup_last_seconds",): 86_401.5} == shown(
        {"failing_s": 1.0, "last_age_s": 86_401.5}
    )


def test_buckets_hold_those_below_them() -> None:
    times = Histogram((0.1, 1.0))
    for value in (0.1, 0.5, 0.5, 7.0):
        times.add(value)
    shown = rendering.as_text(Observation({}, measures=Measures({"sync": times}))).decode()
    name = "quorate_raft_sync_seconds"
    assert f'{name}_bucket{{le="0.1"}} 1.0\n{name}_bucket{{le="1.0"}} 3.0\n{name}_bucket{{le="+Inf"}} 4.0\n' in shown
    assert f"{name}_count 4.0\n{name}_sum 8.1\n" in shown


def test_what_refuses_a_caller_has_a_name_of_its_own() -> None:
    shown = samples_of(rendering.as_text(Observation({}, Counts(), refused={"rate": 3})).decode())
    assert {"rate": 3, "role": 0, "missing": 0, "unknown": 0} == {
        why: shown[("quorate_auth_refused_total", why)] for why in REFUSED_WHY
    }


def test_only_callers_with_a_token_are_told_the_id_of_the_cluster(tmp_path: Path) -> None:
    """As in /status: where tokens are configured, a caller without one is a stranger."""
    tokens = write_tokens(tmp_path / "tokens.toml")
    status = {"node": "n1", "raft": {"role": "leader"}, "state": {"cluster_id": "0997b5261f722695", "polls": 3}}
    with running(access=lambda: access_by(tokens, "read"), status=lambda: status) as node:
        for form in ("text", "json"):
            stranger = node.ask("GET", f"/metrics?format={form}")
            known = node.ask("GET", f"/metrics?format={form}", headers=bearer("read"))
            assert (200, 200) == (stranger.status, known.status)
            assert b"0997b5261f722695" in known.body
            assert b"0997b5261f722695" not in stranger.body
            assert b"quorate_state_polls" in stranger.body


def test_refused_callers_are_counted_by_why(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path / "tokens.toml", bounds={"vote": "rate = 1\nburst = 1"})
    with running(access=lambda: access_by(tokens)) as node:
        for secret, status in (("made up", 401), ("read", 403), ("vote", 404), ("vote", 429)):
            assert status == node.ask("POST", "/votes", {"option": "happy"}, bearer(secret)).status
        assert 401 == node.ask("POST", "/votes", {"option": "happy"}).status
        samples = samples_of(node.ask("GET", "/metrics", headers=bearer("read")).body.decode())
    assert {"missing": 1, "unknown": 1, "role": 1, "rate": 1} == {
        why: samples[("quorate_auth_refused_total", why)] for why in REFUSED_WHY
    }
