"""`python -m quorate.config > docs/settings.md`"""

import sys

from quorate.config.write import page

sys.stdout.write(page())
