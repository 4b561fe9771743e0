"""`python -m featbank`."""

import sys

from featbank.cli import main

sys.exit(main())
