"""uvicorn has what this room overrides. A version without it would begin requests past the bounds, or not at all."""

from __future__ import annotations

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

OVERRIDDEN = ["_start_asgi_task", "on_response_complete", "on_message_begin", "on_message_complete", "shutdown"]


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_uvicorn_has_what_is_overridden(name: str) -> None:
    assert name in vars(HttpToolsProtocol)
