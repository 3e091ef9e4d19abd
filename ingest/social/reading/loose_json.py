"""JSON that is a little wrong, made right: bare line breaks within texts, and halves of surrogate pairs."""

from __future__ import annotations

import json


def mended(text: bytes) -> bytes | None:
    """The same object as right JSON. None if it is no object, or not a whole one."""
    try:
        loaded = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(loaded, dict):
        return None
    return json.dumps(loaded, ensure_ascii=False).encode("utf-8", "replace")
