"""`python -m freezer_agent` is `freezer-agent`."""

import sys

from freezer_agent.cli import main

sys.exit(main())
