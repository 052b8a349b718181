"""What `run.sh` runs."""

import logging

# Loops of tests are in debug mode, and would tell of each slow step of this machine.
logging.getLogger("asyncio").setLevel(logging.ERROR)
