"""/openapi.json is true: made-up requests for every route get an answer that it describes, and none makes a node fail.

Schemathesis makes the requests of the description: examples, edges of each schema, and chance. A failure prints the
request, and the seed by which it comes again (`--hypothesis-seed`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from quorate.http.routes import ROUTES
from quorate.processes.cluster import FreshCluster

ENDLESS = "/events"  # an answer without an end; tests/unit/http has its tests
EXAMPLES = 12  # a route
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def node_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with FreshCluster(tmp_path_factory.mktemp("openapi"), size=1) as cluster:
        with cluster.client() as client:
            client.create_poll("mood", ["happy", "sad"])
        yield cluster.nodes[0].url
        assert cluster.nodes[0].running, cluster.nodes[0].tail()


@pytest.fixture(scope="module")
def described(node_url: str) -> Any:
    return schemathesis.openapi.from_url(f"{node_url}/openapi.json")


@pytest.mark.parametrize(("method", "path"), [(each.method, each.path) for each in ROUTES if each.path != ENDLESS])
def test_every_answer_is_as_it_is_described(method: str, path: str, described: Any) -> None:
    operation = described[re.sub(r":\w+}", "}", path)][method]

    valid, invalid = (operation.as_strategy(generation_mode=mode) for mode in GenerationMode)

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(case=valid | invalid)
    def try_it(case: Case[Any]) -> None:
        answer = case.call(timeout=30.0)
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code != 500, answer.text
        if answer.status_code >= 400 and path != "/readyz":
            assert answer.json()["status"] == answer.status_code

    try_it()
