"""The tests that `run.sh` runs."""

import logging

# The event loops of tests are in debug mode, and would log each slow step.
logging.getLogger("asyncio").setLevel(logging.ERROR)
