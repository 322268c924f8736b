"""`python -m freezer_scheduler` is `freezer-scheduler`."""

import sys

from freezer_scheduler.cli import main

if __name__ == "__main__":
    sys.exit(main())
