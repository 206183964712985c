"""What the scripted name server does for each name ``<behaviour>.fault.test``.

One label may stand between: ``moves.mine.fault.test`` moves for those who ask for that name.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from .dns import (
    AAAA,
    FORMERR,
    NOTIMP,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    TXT,
    A,
    HangUp,
    Send,
    address,
    alias,
    authority,
    encode_name,
    record,
    reply,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .dns import Question

ZONE = "fault.test"
V4, V6 = "10.0.0.1", "fd00::1"
OTHER4, OTHER6 = "10.0.0.2", "fd00::2"
LESS6, MORE6 = "3ffe::1", "2001:db8::7"
"""Two addresses of which the second is to be preferred in the lab."""

LATE = 0.6
"""Seconds: more than c-ares' adaptive time limit for a second family (0.25), less than a try."""

BEHAVIOURS: dict[str, Callable[[Question], Iterator[Send | HangUp]]] = {}


def script(question: Question) -> Iterator[Send | HangUp]:
    """Answer as the first label says; other names do not exist."""
    labels = question.name.lower().split(".")
    behaviour = BEHAVIOURS.get(labels[0]) if labels[-2:] == ZONE.split(".") else None
    if behaviour is None or len(labels) > 4 or question.type not in (A, AAAA):
        yield Send(reply(question, rcode=NXDOMAIN, authorities=[authority("test")]))
    else:
        yield from behaviour(question)


def behaviour(
    function: Callable[[Question], Iterator[Send | HangUp]],
) -> Callable[[Question], Iterator[Send | HangUp]]:
    BEHAVIOURS[function.__name__.strip("_").replace("_", "-")] = function
    return function


def good(question: Question, ttl: int = 300, **options: object) -> bytes:
    text = V6 if question.type == AAAA else V4
    return reply(question, [address(question.name, text, ttl)], **options)  # type: ignore[arg-type]


def other(question: Question, ttl: int = 300) -> bytes:
    text = OTHER6 if question.type == AAAA else OTHER4
    return reply(question, [address(question.name, text, ttl)])


def nodata(question: Question) -> bytes:
    return reply(question, authorities=[authority(ZONE)])


@behaviour
def both(question: Question) -> Iterator[Send]:
    yield Send(good(question))


@behaviour
def under_score(question: Question) -> Iterator[Send]:
    yield Send(good(question))


BEHAVIOURS["_under_score"] = BEHAVIOURS.pop("under-score")


@behaviour
def several(question: Question) -> Iterator[Send]:
    texts = (V6, OTHER6) if question.type == AAAA else (V4, OTHER4)
    yield Send(reply(question, [address(question.name, text) for text in texts]))


@behaviour
def not_sorted(question: Question) -> Iterator[Send]:
    texts = (LESS6, MORE6) if question.type == AAAA else (OTHER4, V4)
    yield Send(reply(question, [address(question.name, text) for text in texts]))


@behaviour
def twice_the_same(question: Question) -> Iterator[Send]:
    text = V6 if question.type == AAAA else V4
    yield Send(reply(question, [address(question.name, text)] * 2))


@behaviour
def only4(question: Question) -> Iterator[Send]:
    yield Send(good(question) if question.type == A else nodata(question))


@behaviour
def only6(question: Question) -> Iterator[Send]:
    yield Send(good(question) if question.type == AAAA else nodata(question))


@behaviour
def empty(question: Question) -> Iterator[Send]:
    yield Send(reply(question))


@behaviour
def neither(question: Question) -> Iterator[Send]:
    yield Send(nodata(question))


@behaviour
def nxdomain(question: Question) -> Iterator[Send]:
    yield Send(reply(question, rcode=NXDOMAIN, authorities=[authority(ZONE)]))


@behaviour
def nxdomain6(question: Question) -> Iterator[Send]:
    bad = reply(question, rcode=NXDOMAIN, authorities=[authority(ZONE)])
    yield Send(good(question) if question.type == A else bad)


@behaviour
def servfail(question: Question) -> Iterator[Send]:
    yield Send(reply(question, rcode=SERVFAIL))


@behaviour
def servfail6(question: Question) -> Iterator[Send]:
    yield Send(good(question) if question.type == A else reply(question, rcode=SERVFAIL))


@behaviour
def servfail4(question: Question) -> Iterator[Send]:
    yield Send(good(question) if question.type == AAAA else reply(question, rcode=SERVFAIL))


@behaviour
def servfail_once(question: Question) -> Iterator[Send]:
    yield Send(good(question) if question.times else reply(question, rcode=SERVFAIL))


@behaviour
def refused(question: Question) -> Iterator[Send]:
    yield Send(reply(question, rcode=REFUSED))


@behaviour
def formerr(question: Question) -> Iterator[Send]:
    yield Send(reply(question, rcode=FORMERR))


@behaviour
def notimp(question: Question) -> Iterator[Send]:
    yield Send(reply(question, rcode=NOTIMP))


@behaviour
def formerr_for_edns(question: Question) -> Iterator[Send]:
    yield Send(reply(question, rcode=FORMERR) if question.edns else good(question))


@behaviour
def lost(question: Question) -> Iterator[Send]:
    yield from ()


@behaviour
def lost6(question: Question) -> Iterator[Send]:
    if question.type == A:
        yield Send(good(question))


@behaviour
def lost4(question: Question) -> Iterator[Send]:
    if question.type == AAAA:
        yield Send(good(question))


@behaviour
def lost_once(question: Question) -> Iterator[Send]:
    if question.times:
        yield Send(good(question))


@behaviour
def slow6(question: Question) -> Iterator[Send]:
    yield Send(good(question), LATE if question.type == AAAA else 0)


@behaviour
def slow4(question: Question) -> Iterator[Send]:
    yield Send(good(question), LATE if question.type == A else 0)


@behaviour
def truncated(question: Question) -> Iterator[Send]:
    yield Send(good(question) if question.tcp else reply(question, truncated=True))


@behaviour
def truncated_tcp_silent(question: Question) -> Iterator[Send | HangUp]:
    # At last it hangs up: glibc would wait for ever, and its thread with it.
    yield HangUp(4.0) if question.tcp else Send(reply(question, truncated=True))


@behaviour
def truncated_tcp_hangs_up(question: Question) -> Iterator[Send | HangUp]:
    yield HangUp() if question.tcp else Send(reply(question, truncated=True))


@behaviour
def wrong_id_first(question: Question) -> Iterator[Send]:
    yield Send(reply(question, number=question.id ^ 0x5A5A, rcode=NXDOMAIN))
    yield Send(good(question), 0.05)


@behaviour
def wrong_id(question: Question) -> Iterator[Send]:
    yield Send(good(question, number=question.id ^ 0x5A5A))


@behaviour
def wrong_question(question: Question) -> Iterator[Send]:
    packet = bytearray(good(question))
    packet[13] ^= 1  # another name in the question
    yield Send(bytes(packet))
    yield Send(other(question), 0.05)


@behaviour
def from_a_stranger(question: Question) -> Iterator[Send]:
    yield Send(other(question), stranger=True)
    yield Send(good(question), 0.05)


@behaviour
def garbage_first(question: Question) -> Iterator[Send]:
    yield Send(os.urandom(64))
    yield Send(b"\x00")
    yield Send(good(question), 0.05)


@behaviour
def garbage(question: Question) -> Iterator[Send]:
    yield Send(os.urandom(200))


@behaviour
def garbage_with_the_id(question: Question) -> Iterator[Send]:
    yield Send(struct.pack("!H", question.id) + b"\x81\x80" + b"\xff" * 60)


@behaviour
def cut_short(question: Question) -> Iterator[Send]:
    yield Send(good(question)[:-3])


@behaviour
def compression_loop(question: Question) -> Iterator[Send]:
    packet = reply(question, [b""])
    at = len(packet)
    pointer = struct.pack("!H", 0xC000 | at)  # it points to itself
    yield Send(packet + pointer + struct.pack("!HHIH", question.type, 1, 300, 4) + b"\x0a\0\0\x01")


@behaviour
def wrong_length(question: Question) -> Iterator[Send]:
    yield Send(reply(question, [record(question.name, question.type, b"\x0a\0\0\x01\x02", 300)]))


@behaviour
def another_type(question: Question) -> Iterator[Send]:
    text = V4 if question.type == AAAA else V6
    yield Send(reply(question, [address(question.name, text)]))


@behaviour
def with_strange_records(question: Question) -> Iterator[Send]:
    text = V6 if question.type == AAAA else V4
    strange = [record(question.name, TXT, b"\x02hi"), record(question.name, 65399, b"\0" * 9)]
    yield Send(reply(question, [*strange, address(question.name, text)]))


@behaviour
def thousand(question: Question) -> Iterator[Send]:
    if not question.tcp:
        yield Send(reply(question, truncated=True))
        return
    prefix = "fd00::%x" if question.type == AAAA else None
    texts = [prefix % n if prefix else f"10.0.{n >> 8}.{n & 255}" for n in range(1, 1001)]
    # The name as a pointer to the question: spelt out, they would not fit into 64 KiB.
    records = [b"\xc0\x0c" + address("", text)[1:] for text in texts]
    yield Send(reply(question, records))


@behaviour
def chain(question: Question) -> Iterator[Send]:
    text = V6 if question.type == AAAA else V4
    yield Send(
        reply(
            question,
            [
                alias(question.name, "middle." + ZONE, 60),
                alias("middle." + ZONE, "end." + ZONE, 20),
                address("end." + ZONE, text, 300),
            ],
        )
    )


@behaviour
def dangling(question: Question) -> Iterator[Send]:
    yield Send(reply(question, [alias(question.name, "nowhere." + ZONE)]))


@behaviour
def loop(question: Question) -> Iterator[Send]:
    there, back = alias(question.name, "back." + ZONE), alias("back." + ZONE, question.name)
    yield Send(reply(question, [there, back]))


@behaviour
def loop_to_itself(question: Question) -> Iterator[Send]:
    yield Send(reply(question, [alias(question.name, question.name)]))


@behaviour
def ttl0(question: Question) -> Iterator[Send]:
    yield Send(other(question, 0) if question.times else good(question, 0))


@behaviour
def moves(question: Question) -> Iterator[Send]:
    yield Send(other(question) if question.times else good(question))


@behaviour
def appears(question: Question) -> Iterator[Send]:
    yield Send(good(question) if question.times else reply(question))


@behaviour
def ttl_of_ages(question: Question) -> Iterator[Send]:
    yield Send(good(question, 0xFFFFFFFF))


@behaviour
def answered_twice(question: Question) -> Iterator[Send]:
    yield Send(good(question))
    yield Send(other(question))


@behaviour
def mixed_case(question: Question) -> Iterator[Send]:
    # RFC 4343: case does not matter, and the answer may have another one.
    text = V6 if question.type == AAAA else V4
    yield Send(reply(question, [address(question.name.swapcase(), text)]))


@behaviour
def of_another_name(question: Question) -> Iterator[Send]:
    text = V6 if question.type == AAAA else V4
    yield Send(reply(question, [address("unrelated." + ZONE, text)]))


LONG_LABEL = "l" * 63
BEHAVIOURS[LONG_LABEL] = both

assert encode_name(LONG_LABEL)[0] == 63
