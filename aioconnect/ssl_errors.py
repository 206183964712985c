"""The exceptions of ``ssl``; where Python was built without it, classes that nobody raises.

So an error of ours can be a ``TLSError`` or not on every Python, as asyncio works on every one.
"""

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
            """Of whatever goes wrong in a TLS connection."""

        class SSLCertVerificationError(SSLError, ValueError):
            """Of a certificate that was not accepted."""

        class SSLEOFError(SSLError):
            """Of a connection that ended within TLS."""

        class SSLZeroReturnError(SSLError):
            """Of a TLS connection that was ended."""
