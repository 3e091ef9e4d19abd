"""All places that name the supported Pythons name the same ones, and CI runs no action that can change unseen."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from tests.support.checkout import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"
FULL_COMMIT = re.compile(r"@[0-9a-f]{40}(\s|$)")


def project() -> dict[str, Any]:
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"])


def supported() -> list[str]:
    """The minor versions of the classifiers, oldest first."""
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", name) for name in project()["classifiers"])
    return [match[1] for match in found if match]


def test_the_package_installs_on_the_pythons_it_names() -> None:
    oldest, newest = supported()[0], int(supported()[-1].removeprefix("3."))
    assert f">={oldest},<3.{newest + 1}" == project()["requires-python"]


def test_ci_runs_each_supported_python() -> None:
    (matrix,) = re.findall(r"^ +python: \[(.*)\]$", WORKFLOW.read_text(encoding="utf-8"), re.M)
    assert supported() == re.findall(r'"(3\.\d+)"', matrix)


def test_the_set_up_tries_and_accepts_each_supported_python() -> None:
    script = (ROOT / "scripts" / "setup.sh").read_text(encoding="utf-8")
    tried = re.findall(r"python(3\.\d+)\b", re.findall(r"for candidate in (.*); do", script)[0])
    assert supported() == tried[::-1]
    bounds = {tuple(found) for found in re.findall(r"\(3, (\d+)\) <= sys\.version_info\[:2\] <= \(3, (\d+)\)", script)}
    assert {(supported()[0].removeprefix("3."), supported()[-1].removeprefix("3."))} == bounds


def test_actions_are_pinned_to_a_commit() -> None:
    """A tag can be moved to other code; a commit cannot."""
    used = re.findall(r"uses: (.*)", WORKFLOW.read_text(encoding="utf-8"))
    assert used
    assert [] == [action for action in used if not FULL_COMMIT.search(action)]
