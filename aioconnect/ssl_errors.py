"""The errors of the ssl module; where Python was built without it, classes that nothing raises."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["SSLCertVerificationError", "SSLEOFError", "SSLError", "SSLZeroReturnError"]

if TYPE_CHECKING:
    from ssl import SSLCertVerificationError, SSLEOFError, SSLError, SSLZeroReturnError
else:
    try:
        from ssl import SSLCertVerificationError, SSLEOFError, SSLError, SSLZeroReturnError
    except ImportError:

        class SSLError(OSError):
            """Stands for ``ssl.SSLError``."""

        class SSLEOFError(SSLError):
            """Stands for ``ssl.SSLEOFError``."""

        class SSLZeroReturnError(SSLError):
            """Stands for ``ssl.SSLZeroReturnError``."""

        class SSLCertVerificationError(SSLError, ValueError):
            """Stands for ``ssl.SSLCertVerificationError``."""
