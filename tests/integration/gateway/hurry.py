"""The command line with some of the gateway's constants changed, so that tests need not wait: `HURRY=hub.STUCK_S=1 …`.

Run it as `python -m tests.integration.gateway.hurry gateway`.
"""

import importlib
import os
import sys

from ringback import cli

if __name__ == "__main__":
    for setting in os.environ["HURRY"].split():
        name, _, value = setting.partition("=")
        module, _, constant = name.rpartition(".")
        changed = importlib.import_module(f"gateway.{module}")
        assert isinstance(getattr(changed, constant), float), f"{name} is no number of seconds"
        setattr(changed, constant, float(value))
    sys.exit(cli.main())
