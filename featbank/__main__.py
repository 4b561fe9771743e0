"""Entry point of `python -m featbank`, which is `featbank`."""

import sys

from featbank.cli import main

if __name__ == "__main__":
    sys.exit(main())
