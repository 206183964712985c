"""What the tests of this folder share."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from ..support.servers import black_hole, peers
from .scenarios import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def dead() -> Iterator[tuple[str, int]]:
    """Give an address that never answers."""
    with black_hole() as address:
        yield address


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give what all scenarios stand on."""
    authority = trustme.CA()
    certificate = tmp_path_factory.mktemp("tls") / "certificate.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with black_hole() as dead, peers(certificate) as servers:
        yield World(dead, servers, trusting, ssl.create_default_context())
