"""`quorate node` whose leader does not compare by itself, in the time of a test, what a sink stores with what it wrote.

Otherwise it does so every 10 s, and mends what a test has altered for an audit to find.

    python -m tests.system.rare_checks node --config FILE
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from quorate.cli import main
from quorate.cluster.flush import leadership

if __name__ == "__main__":
    with patch.object(leadership, "CHECK_EVERY_S", 3_600.0):
        sys.exit(main())
