"""CPython's own tests of asyncio, on its loop as it is or on one that dials through a dialer.

``python -m tests.support.cpython plain|ours MODULE`` prints, as JSON, how many tests ran, and which
of them failed, each with the last line of its traceback.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import unittest
from typing import Any

import aioconnect


def dial_through(dialer: aioconnect.Dialer) -> None:
    """Let each selector loop that is made from now on dial through the dialer."""
    plain = asyncio.SelectorEventLoop.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        plain(self, *args, **kwargs)
        aioconnect.loop_factory(dialer, base=lambda: self)()

    asyncio.SelectorEventLoop.__init__ = init  # type: ignore[method-assign]


def main(whose: str, module: str) -> None:
    """Run one module."""
    if whose == "ours":
        dial_through(aioconnect.Dialer())
    tests = unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{module}")
    result = unittest.TextTestRunner(stream=io.StringIO()).run(tests)
    failed = {
        test.id().split(".", 3)[3]: traceback.strip().splitlines()[-1]
        for test, traceback in (*result.failures, *result.errors)
    }
    sys.stdout.write(json.dumps({"ran": result.testsRun, "failed": failed}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
