"""What several system tests are given."""

from __future__ import annotations

from tests.system.old_version import old

__all__ = ["old"]
