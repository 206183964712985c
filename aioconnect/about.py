"""What this distribution is called: the import is ``aioconnect``, the package index's name is not.

The index has had another project called ``aioconnect`` since 2021, which installs a folder of that
name too.
"""

from __future__ import annotations

__all__ = ["DISTRIBUTION"]

DISTRIBUTION = "asyncio-connect"
"""What to install; an extra of it is ``asyncio-connect[idna]``."""
