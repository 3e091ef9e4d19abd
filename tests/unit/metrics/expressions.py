"""What the expressions of alerts and dashboards name: metrics, and the labels that they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator

SELECTOR = re.compile(r"\b((?:quorate|process)_\w+|up)\b\s*(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")
OF_SCRAPES = {"job", "cluster", "instance"}  # the labels that Prometheus adds


def selectors(expression: str) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each metric, with (label, operator, value) of what is asked of it."""
    for name, matchers in SELECTOR.findall(expression):
        yield name, MATCHER.findall(matchers)


def problems(expression: str, shown: dict[str, list[dict[str, str]]]) -> list[str]:
    """What in an expression a node does not show."""
    found, known = [], set(OF_SCRAPES)
    for name, matchers in selectors(expression):
        samples = [{}] if name == "up" else shown.get(name, [])
        if not samples:
            found.append(f"{name}: no node shows it")
        known |= {label for sample in samples for label in sample}
        for label, _, _ in matchers:
            if samples and label not in OF_SCRAPES and not any(label in sample for sample in samples):
                found.append(f"{name} has no label {label}")
    for group in GROUPED.findall(expression):
        found += [f"nothing has the label {label}" for label in re.findall(r"\w+", group) if label not in known]
    return found
