"""`python -m quorate.http.metrics > docs/metrics.md`"""

import sys

from quorate.http.metrics.page import page

sys.stdout.write(page())
