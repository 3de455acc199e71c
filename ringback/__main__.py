"""`python -m ringback`: the command line."""

import sys

from ringback import cli

sys.exit(cli.main())
