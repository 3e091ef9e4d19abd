"""Stop a build whose source tree lost its links: it would quietly make a wheel of three files."""

import pathlib

from setuptools import setup

for name in ("cluster", "http", "ingest", "resp", "sinks"):
    if not (pathlib.Path(__file__).parent / "src" / "quorate" / name).is_dir():
        raise SystemExit(
            f"src/quorate/{name} should be a link to ../../{name}: clone with symlinks, or unpack with tar."
        )
setup()
