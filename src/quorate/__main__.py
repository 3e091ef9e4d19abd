"""The `quorate` command, also as `python -m quorate`.

The commands are imported inside `main`: their import takes a moment, and Ctrl-C in that moment shows no traceback.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line. Returns the exit code."""
    try:
        from quorate.cli import main as run
    except KeyboardInterrupt:
        return 130  # quorate.cli.INTERRUPTED, which may not be there yet
    return run()


if __name__ == "__main__":
    sys.exit(main())
