"""Which addresses IANA has set apart, and which IPv6 addresses are in use at all: data, no code.

The rows are those of four registries, most of them word for word:

- IPv4 Special-Purpose Address Space (RFC 6890, RFC 8190), last updated 2025-10-09;
- IPv6 Special-Purpose Address Space (the same), last updated 2025-10-09;
- IPv6 Global Unicast Address Assignments, last updated 2025-10-10;
- IPv4 and IPv6 Address Space, last updated 2025-10-23, for multicast and for site-local addresses,
  which the first two leave out.

``CHECKED`` is the day on which the rows were last compared with the registries; ``make lint``
prints a line when that is two years ago.  To bring them up to date, read the registries under
https://www.iana.org/numbers, change the rows and the dates above, and set ``CHECKED``.

Reachable is the registry's column "Globally Reachable".  Where it says N/A (Teredo, 6to4) or
nothing (blocks that were given back) it is False here: what is no clear yes is a no.
"""

from __future__ import annotations

__all__ = ["CHECKED", "IPV4", "IPV6", "IPV6_ASSIGNED", "IPV6_UNICAST"]

CHECKED = "2026-07-18"
"""The day on which these rows were last compared with the registries."""

IPV4: tuple[tuple[str, str, bool], ...] = (
    ("0.0.0.0/8", "this network", False),  # RFC 791
    ("0.0.0.0/32", "this host", False),  # RFC 1122; connect(2) takes it for loopback
    ("10.0.0.0/8", "private use", False),  # RFC 1918
    ("100.64.0.0/10", "shared address space", False),  # RFC 6598
    ("127.0.0.0/8", "loopback", False),  # RFC 1122
    ("169.254.0.0/16", "link local", False),  # RFC 3927
    ("172.16.0.0/12", "private use", False),  # RFC 1918
    ("192.0.0.0/24", "IETF protocol assignments", False),  # RFC 6890
    ("192.0.0.0/29", "IPv4 service continuity prefix", False),  # RFC 7335
    ("192.0.0.8/32", "IPv4 dummy address", False),  # RFC 7600
    ("192.0.0.9/32", "Port Control Protocol anycast", True),  # RFC 7723
    ("192.0.0.10/32", "TURN anycast", True),  # RFC 8155
    ("192.0.0.170/32", "NAT64/DNS64 discovery", False),  # RFC 8880, RFC 7050
    ("192.0.0.171/32", "NAT64/DNS64 discovery", False),  # RFC 8880, RFC 7050
    ("192.0.2.0/24", "documentation, TEST-NET-1", False),  # RFC 5737
    ("192.31.196.0/24", "AS112-v4", True),  # RFC 7535
    ("192.52.193.0/24", "AMT", True),  # RFC 7450
    ("192.88.99.0/24", "6to4 relay anycast, deprecated", False),  # RFC 7526
    ("192.88.99.2/32", "6a44 relay anycast", False),  # RFC 6751
    ("192.168.0.0/16", "private use", False),  # RFC 1918
    ("192.175.48.0/24", "AS112 direct delegation", True),  # RFC 7534
    ("198.18.0.0/15", "benchmarking", False),  # RFC 2544
    ("198.51.100.0/24", "documentation, TEST-NET-2", False),  # RFC 5737
    ("203.0.113.0/24", "documentation, TEST-NET-3", False),  # RFC 5737
    ("224.0.0.0/4", "multicast", False),  # RFC 5771; of the address space registry
    ("240.0.0.0/4", "reserved", False),  # RFC 1112
    ("255.255.255.255/32", "limited broadcast", False),  # RFC 8190, RFC 919
)
"""Block, name, globally reachable.  What is in none of them is in use, all over the world."""

IPV6: tuple[tuple[str, str, bool], ...] = (
    ("::1/128", "loopback", False),  # RFC 4291
    ("::/128", "unspecified, this host", False),  # RFC 4291; connect(2) takes it for loopback
    ("::ffff:0:0/96", "IPv4-mapped", False),  # RFC 4291
    ("64:ff9b::/96", "NAT64", True),  # RFC 6052
    ("64:ff9b:1::/48", "NAT64 for local use", False),  # RFC 8215
    ("100::/64", "discard only", False),  # RFC 6666
    ("100:0:0:1::/64", "dummy prefix", False),  # RFC 9780
    ("2001::/23", "IETF protocol assignments", False),  # RFC 2928
    ("2001::/32", "Teredo", False),  # RFC 4380, RFC 8190
    ("2001:1::1/128", "Port Control Protocol anycast", True),  # RFC 7723
    ("2001:1::2/128", "TURN anycast", True),  # RFC 8155
    ("2001:1::3/128", "DNS-SD service registration anycast", True),  # RFC 9665
    ("2001:2::/48", "benchmarking", False),  # RFC 5180, errata 1752
    ("2001:3::/32", "AMT", True),  # RFC 7450
    ("2001:4:112::/48", "AS112-v6", True),  # RFC 7535
    ("2001:10::/28", "ORCHID, deprecated", False),  # RFC 4843
    ("2001:20::/28", "ORCHIDv2", True),  # RFC 7343
    ("2001:30::/28", "drone remote identification", True),  # RFC 9374
    ("2001:db8::/32", "documentation", False),  # RFC 3849
    ("2002::/16", "6to4", False),  # RFC 3056
    ("2620:4f:8000::/48", "AS112 direct delegation", True),  # RFC 7534
    ("3fff::/20", "documentation", False),  # RFC 9637
    ("5f00::/16", "segment routing identifiers", False),  # RFC 9602
    ("fc00::/7", "unique local", False),  # RFC 4193, RFC 8190
    ("fe80::/10", "link local", False),  # RFC 4291
    ("fec0::/10", "site local, deprecated", False),  # RFC 3879; of the address space registry
    ("ff00::/8", "multicast", False),  # RFC 4291; of the address space registry
)
"""Block, name, globally reachable."""

IPV6_UNICAST = "2000::/3"
"""The part of IPv6 of which IANA assigns global unicast addresses."""

IPV6_ASSIGNED: tuple[str, ...] = (
    *("2001:200::/23", "2001:400::/23", "2001:600::/23", "2001:800::/22", "2001:c00::/23"),
    *("2001:e00::/23", "2001:1200::/23", "2001:1400::/22", "2001:1800::/23", "2001:1a00::/23"),
    *("2001:1c00::/22", "2001:2000::/19", "2001:4000::/23", "2001:4200::/23", "2001:4400::/23"),
    *("2001:4600::/23", "2001:4800::/23", "2001:4a00::/23", "2001:4c00::/23", "2001:5000::/20"),
    *("2001:8000::/19", "2001:a000::/20", "2001:b000::/20", "2003::/18", "2400::/12"),
    *("2410::/12", "2600::/12", "2610::/23", "2620::/23", "2630::/12", "2800::/12", "2a00::/12"),
    *("2a10::/12", "2c00::/12"),
)
"""What of it IANA has assigned to the five regional registries.  The rest is in use nowhere yet,
or only within a network that has helped itself."""
