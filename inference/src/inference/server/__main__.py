"""`python -m inference.server`."""

import sys

from inference.server.cli import main

if __name__ == "__main__":
    sys.exit(main())
