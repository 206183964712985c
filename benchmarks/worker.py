"""The process that measures one scenario.

A scenario has a process of its own, in a network namespace of its own where that can be had, on
one core. It reports on standard output, one JSON object a line: what it skipped and why, each
sample as it is taken, and at the end how busy the server was.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import json
import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from . import contenders, measure, network, places, scenarios, servers


def main() -> None:
    """Measure the scenario that the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--namespace", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--contenders", default="")
    parser.add_argument("--no-gc", action="store_true")
    arguments = parser.parse_args()

    # A library's complaint about itself costs time in the middle of its own measurement.
    warnings.simplefilter("ignore")
    descriptors = servers.raise_descriptor_limit()
    if arguments.namespace:
        network.prepare_namespace()
        hosts = "127.0.0.1 localhost\n::1 localhost\n"
        network.replace_file("/etc/hosts", hosts, arguments.directory)
    measure.Stretch.collecting = not arguments.no_gc
    server_core = pin()
    scenario = scenarios.find(arguments.scenario)
    if arguments.quick:
        scenario = scenario.quick()
    if scenario.way.mode != "sequential" and scenario.way.count + 200 > descriptors:
        say(event="obstacle", reason=f"needs {scenario.way.count + 200} descriptors")
        return
    surroundings = places.Surroundings(server_core, arguments.directory)
    with scenario.place(surroundings) as place:
        chosen = choose(scenario, place.endpoint, arguments.contenders)
        run(scenario, place, chosen)


def pin() -> int | None:
    """Keep this process on one core, and return another for the servers, if there is one."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    return cores[1] if len(cores) > 1 else cores[0]


def others() -> float:
    """Return for how many seconds something else than this process has had its core.

    By the kernel's own count, in ticks, of other processes, interrupts and other machines.
    """
    with contextlib.suppress(OSError, AttributeError):
        core = min(os.sched_getaffinity(0))
        for line in Path("/proc/stat").read_text().splitlines():
            if line.startswith(f"cpu{core} "):
                user, nice, system, _, _, irq, softirq, steal = map(int, line.split()[1:9])
                busy = user + nice + system + irq + softirq + steal
                return busy / os.sysconf("SC_CLK_TCK") - time.process_time()
    return 0.0


def say(**event: Any) -> None:
    """Report one event."""
    print(json.dumps(event), flush=True)


def choose(
    scenario: scenarios.Scenario, endpoint: contenders.Endpoint, wanted: str
) -> list[contenders.Contender]:
    """Return who takes part: those that are chosen, are there, and can do it at all."""
    chosen = []
    for candidate in contenders.CONTENDERS:
        if wanted and wanted not in candidate.key and candidate.key != scenario.floor:
            continue
        if not scenario.chosen(candidate):
            continue
        if reason := contenders.why_missing(candidate):
            say(event="skip", contender=candidate.key, reason=reason)
        elif try_out(candidate, endpoint, scenario.way):
            chosen.append(candidate)
    return chosen


def try_out(
    candidate: contenders.Contender, endpoint: contenders.Endpoint, way: measure.Way
) -> bool:
    """Whether a contender can do it: a sample of one or two tells, and fills what is cached."""
    short = measure.Way(way.mode, min(way.count, 2), way.fails, warm_up=0)
    if way.mode == "timeout":
        endpoint = dataclasses.replace(endpoint, timeout=0.05)
    try:
        if not (candidate.blocks and way.mode in ("cancel", "memory")):
            measure.take(candidate, endpoint, short)
            return True
    except contenders.Unsupported:
        pass
    except Exception as error:
        say(event="skip", contender=candidate.key, reason=f"fails: {type(error).__name__}")
        print(f"{candidate.key}: {error!r}", file=sys.stderr)
    return False


def run(
    scenario: scenarios.Scenario, place: places.Place, chosen: list[contenders.Contender]
) -> None:
    """Take the samples, round by round, and say how busy the server was meanwhile."""
    overflows, dropped, before_others = network.overflows(), network.dropped("near"), others()
    busy: dict[str, list[float]] = {}
    started = time.monotonic()
    # What the imports have left is not for the collector to walk through before each sample.
    gc.collect()
    gc.freeze()
    say(event="begin", contenders=[c.key for c in chosen], server=place.language)
    for number in range(scenario.rounds):
        # Who runs first in a round, and after whom, changes from round to round.
        turn = number % len(chosen) if chosen else 0
        for candidate in chosen[turn:] + chosen[:turn]:
            before = place.counts()[1] if place.counts else 0.0
            try:
                sample = measure.take(candidate, place.endpoint, scenario.way)
            except Exception as error:
                reason = f"failed in round {number + 1}: {type(error).__name__}"
                print(f"{candidate.key}: {error!r}", file=sys.stderr)
                say(event="skip", contender=candidate.key, reason=reason)
                chosen = [c for c in chosen if c is not candidate]
                continue
            if place.counts:
                wall = sample["wall_us"] * scenario.way.count / 1e6
                share = (place.counts()[1] - before) / wall
                busy.setdefault(candidate.key, []).append(share)
            say(event="sample", contender=candidate.key, round=number, **sample)
        if time.monotonic() - started > scenario.budget:
            break
    say(
        event="end",
        server_busy={key: statistics.median(shares) for key, shares in busy.items()},
        others=(others() - before_others) / (time.monotonic() - started),
        overflows=network.overflows() - overflows,
        dropped=network.dropped("near") - dropped,
    )


if __name__ == "__main__":
    main()
