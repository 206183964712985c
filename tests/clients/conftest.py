"""Unmodified clients against real servers run by ``make test-clients`` alone."""

import os

collect_ignore_glob = [] if os.environ.get("AIOCONNECT_CLIENTS") else ["test_*.py"]
