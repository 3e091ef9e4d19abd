"""`quorate node` in a process that may have only so many files and sockets open, and whose log begins files often.

    FEW_DESCRIPTORS=256 python -m tests.system.few_descriptors node --config FILE

The limit is the hard one, so the node cannot raise it.
"""

from __future__ import annotations

import os
import resource
import sys
from functools import partial
from unittest.mock import patch

from quorate import node
from quorate.cli import main
from quorate.cluster.raft.environment import ReplicaSettings

SEGMENT_BYTES = 128 * 1024

if __name__ == "__main__":
    limit = int(os.environ["FEW_DESCRIPTORS"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    with patch.object(node, "ReplicaSettings", partial(ReplicaSettings, segment_bytes=SEGMENT_BYTES)):
        sys.exit(main())
