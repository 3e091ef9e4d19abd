"""What a node's process does before there is a node."""

from __future__ import annotations

import subprocess
import sys

NOT_AT_START = {
    *("flask", "werkzeug", "jinja2", "prometheus_client"),  # no vote needs them; other requests load them
    *("requests", "consul", "pymongo", "nsq", "tornado", "cryptography.x509"),  # loaded if a setting asks for them
    *("rich", "quorate.client", "quorate.dev", "quorate.processes"),  # only commands need them
}


def test_a_node_starts_without_the_libraries_that_its_first_vote_does_not_need() -> None:
    """Each of them would make each start slower. Flask alone would add half of the time."""
    program = "import sys, quorate.cli.node, quorate.runtime; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert set() == NOT_AT_START & set(done.stdout.split())
