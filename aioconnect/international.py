"""Internationalised names: the ASCII form in which they are asked for and compared.

Source: UTS 46.
"""

from __future__ import annotations

import re

from .causes import not_a_target
from .text import safe

__all__ = ["MOST_BYTES", "MOST_CHARACTERS", "NO_JOINERS", "name_key", "shown_host", "to_ascii"]

MOST_BYTES = 253
"""Bytes of a name without its final dot.  A host with more characters is refused before a codec
sees it, whose time may grow with the square of the length."""

MOST_CHARACTERS = 1024
"""Characters that are looked at: none that says more fits into 253 bytes."""


def name_key(name: str) -> str:
    """Return the one form in which names are compared: ASCII, lower case, no final dot.

    Raises:
        InvalidTarget: it is no valid internationalised name.
    """
    if not name.isascii():
        name = to_ascii(name)
    return name.lower().removesuffix(".")


def to_ascii(host: str) -> str:
    """Return an internationalised name as browsers send it (UTS 46, non-transitional).

    Symbols are allowed, and of labels in ASCII everything that is allowed without others beside
    them: an underscore, hyphens in places 3 and 4.
    """
    if len(host) > MOST_CHARACTERS:
        raise not_a_target(f"{shown_host(host)}: a name has at most {MOST_BYTES} bytes")
    try:
        import idna
    except ImportError:
        return _to_ascii_by_codec(host)
    try:
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        labels = []
        for label in mapped.split("."):
            if label.isascii():
                labels.append(label)
                continue
            if len(label) > 63 or label.startswith("xn--"):
                raise idna.IDNAError("a label is too long, or has a prefix that says ASCII")
            idna.check_initial_combiner(label)
            idna.check_bidi(label)
            for place, character in enumerate(label):
                if character in _JOINERS and not idna.valid_contextj(label, place):
                    raise idna.IDNAError("a joiner that joins nothing")
            labels.append("xn--" + label.encode("punycode").decode("ascii"))
    except (idna.IDNAError, UnicodeError, ValueError) as exc:
        said = safe(str(exc))
        raise not_a_target(
            f"{shown_host(host)} is not a valid internationalised name: {said}"
        ) from None
    return ".".join(labels)


_JOINERS = "\u200c\u200d"
NO_JOINERS = dict.fromkeys(map(ord, _JOINERS))


def _to_ascii_by_codec(host: str) -> str:
    """Return an internationalised name in ASCII without ``idna``, where that is safe.

    The standard codec knows IDNA 2003, to which ``fa\u00df`` is ``fass``: what it takes for
    another name is refused.
    """
    from encodings.idna import ToASCII, ToUnicode
    from unicodedata import normalize

    from .about import DISTRIBUTION

    labels = []
    for label in _DOTS.split(host):
        if label.isascii():
            labels.append(label)
            continue
        try:
            encoded = ToASCII(label).decode("ascii")
            same = ToUnicode(encoded) == normalize("NFC", label.lower())
        except UnicodeError as exc:
            raise not_a_target(
                f"{shown_host(host)} is not a valid internationalised name ({exc}) without idna: "
                f"install {DISTRIBUTION}[idna], or give the xn-- form"
            ) from None
        if not same:
            raise not_a_target(
                f"{shown_host(host)} could be taken for another name: "
                f"install {DISTRIBUTION}[idna], or give the xn-- form"
            )
        labels.append(encoded)
    return ".".join(labels)


_DOTS = re.compile("[.\u3002\uff0e\uff61]")


def shown_host(text: str) -> str:
    """Return a host for an error."""
    # What stands before an @ may be a password.
    return "the target" if "@" in text else f"'{safe(text)}'"
