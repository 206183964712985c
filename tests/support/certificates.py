"""A certificate authority for one process, and what both sides need of it."""

from __future__ import annotations

import ssl

import trustme


class TLS:
    """A certificate for ``name.test``, ``localhost`` and 127.0.0.1, and contexts for both sides."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.certificate = authority.issue_cert("name.test", "localhost", "127.0.0.1")
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.certificate.configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)
