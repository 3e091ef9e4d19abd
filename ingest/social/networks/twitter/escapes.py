"""Twitter and X escape three characters in texts, and no others."""

from __future__ import annotations


def unescaped(text: str) -> str:
    if "&" not in text:
        return text
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
