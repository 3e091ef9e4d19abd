"""See the package."""

from __future__ import annotations

import sys

from quorate.chaos.victim.seams import VictimSeams
from quorate.cli import main
from quorate.seams import Seams

if __name__ == "__main__":
    own = VictimSeams()
    sys.exit(main(seams=Seams(own.open_files, own.environment, own.sized)))
