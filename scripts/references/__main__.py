"""Write both pages anew."""

from __future__ import annotations

from pathlib import Path

from scripts.references import commands, routes

DOCS = Path(__file__).resolve().parents[2] / "docs"

(DOCS / "commands.md").write_text(commands.page(), encoding="utf-8")
(DOCS / "http.md").write_text(routes.page(), encoding="utf-8")
