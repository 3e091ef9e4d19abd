"""Finds the Chromium for the browser tests: one that is installed, never a download of the driver.

`python -m tests.browser.chromium` prints its path, or exits with 1 if there is none.
"""

from __future__ import annotations

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
MISSING = (
    "no Chromium here (tried $QUORATE_CHROMIUM, " + ", ".join(NAMES) + "). Debian: apt install chromium;"
    " Fedora: dnf install chromium; macOS: brew install --cask google-chrome; or set QUORATE_CHROMIUM to its path"
)
# The browser must load nothing but the page, and report nothing. The driver adds a new, empty user data folder,
# --headless, --no-sandbox (root needs that), and some more of this kind.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def find() -> str | None:
    asked = os.environ.get("QUORATE_CHROMIUM")
    if asked:
        return shutil.which(asked)
    return next(filter(None, map(shutil.which, [*NAMES, MACOS])), None)


if __name__ == "__main__":
    path = find()
    print(path or MISSING, file=sys.stdout if path else sys.stderr)
    sys.exit(path is None)
