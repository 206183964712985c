"""What a run found, in words: tables for the terminal and for RESULTS.md, and the comparison."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import bounds, figures, plots
from .figures import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

#: What each figure is called above its column.
HEADINGS = {
    "wall_us": "wall, µs",
    "cpu_us": "CPU, µs",
    "start_cpu_us": "start, CPU µs",
    "cpu_ms": "CPU, ms",
    "wall_ms": "wall, ms",
    "bytes": "bytes",
    "late_median_ms": "late, median ms",
    "late_max_ms": "latest, ms",
    "sockets_left": "sockets left",
    "tasks_left": "tasks left",
}
#: A core that works for a larger share of the time than this is counted as busy.
BUSY = 0.9
#: A change is worth a mark if it is larger than this, and the quartiles do not overlap.
CHANGE = 0.1


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Return a Markdown table that can be read as it stands; so many columns hold words first."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]

    def joined(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "| " + " | ".join(padded) + " |"

    return "\n".join([joined(lines[0]), joined(rule), *map(joined, lines[1:])])


def number(value: float) -> str:
    """Return a figure with about three digits that matter."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 or value == 0 else f"{value:.2f}"


def environment_as_text(environment: dict[str, Any]) -> str:
    """Return what the benchmark ran on, one fact a line."""
    return "\n".join(f"{name}: {value}" for name, value in _facts(environment)) + "\n"


def _facts(environment: dict[str, Any]) -> list[tuple[str, str]]:
    peers = ", ".join(f"{name} {version}" for name, version in environment["peers"].items())
    pinned = "client on one core, servers on another" if environment["pinned"] else "not pinned"
    return [
        ("System", environment["system"]),
        ("Processor", f"{environment['cores']} {TIMES} {environment['processor']}"),
        ("Memory", f"{environment['memory_gib']} GiB"),
        ("Python", f"{environment['python']} ({environment['built_with']})"),
        ("aioconnect", environment["aioconnect"]),
        ("Peers", peers),
        ("TLS", environment["openssl"]),
        ("C compiler for the servers", environment["compiler"]),
        ("Processes", pinned if environment["cores"] > 1 else "all on the one core there is"),
        ("Network namespace", environment["namespace"]),
        ("Load before", str(environment["load_before"])),
    ]


def scenario_as_text(name: str, scenario: figures.Scenario) -> str:
    """Return a scenario's title, table and remarks."""
    parts = [f"{scenario['title']}  ({name})", _scenario_table(scenario)]
    parts += _remarks(scenario)
    return "\n\n".join(parts) + "\n"


def _scenario_table(scenario: figures.Scenario) -> str:
    figure, floor = scenario["figure"], scenario["floor"]
    best = figures.best(scenario, figure, figures.is_peer)
    against = {"floor": floor, "best peer": best}
    against = {
        name: key for name, key in against.items() if key and figures.spread(scenario, key, figure)
    }
    if figure == "cpu_ms":
        against = {}
    extra = [
        other
        for other in HEADINGS
        if other != figure
        and any(other in sample for taken in scenario["samples"].values() for sample in taken)
    ]
    headings = ["contender", HEADINGS[figure], "quartiles"]
    headings += [f"{TIMES} {name}" for name in against] + [HEADINGS[other] for other in extra]
    rows = []
    for key, properties, found in figures.in_order(scenario, figure):
        shown = f"**{key}**" if properties["ours"] else key
        row = [shown, number(found.median), f"{number(found.low)} to {number(found.high)}"]
        for other in against.values():
            times = figures.ratio(scenario, key, other, figure)
            row.append(f"{times.median:.2f}" if times else "")
        for name in extra:
            # Of what must not happen even once, the worst round counts.
            worst = name.endswith(("_left", "_max_ms"))
            value = (figures.largest if worst else _median)(scenario, key, name)
            whole = name.endswith("_left")
            row.append("" if value is None else f"{value:.0f}" if whole else number(value))
        rows.append(row)
    return table(headings, rows)


def _median(scenario: figures.Scenario, key: str, figure: str) -> float | None:
    found = figures.spread(scenario, key, figure)
    return found and found.median


def _remarks(scenario: figures.Scenario) -> list[str]:
    remarks = []
    rounds = max((len(taken) for taken in scenario["samples"].values()), default=0)
    settings = f"{rounds} rounds" if rounds != 1 else "1 round"
    if "count" in scenario:
        settings += f" of {scenario['count']} connect" + "s" * (scenario["count"] != 1)
    best = figures.best(scenario, scenario["figure"], figures.is_peer)
    words = [settings + "."]
    if scenario["floor"]:
        words.append(f"The floor is {scenario['floor']}.")
    if best and scenario["figure"] != "cpu_ms":
        words.append(f"The best peer is {best}.")
    words.append(scenario["note"])
    remarks.append(" ".join(words).strip())
    if scenario.get("server"):
        remarks.append(_server_remark(scenario))
    if figures.is_crowded(scenario):
        remarks.append(
            f"**Others had the core for {scenario['others']:.0%} of the time.** Wall and lateness "
            "are worse than they would be alone."
        )
    if scenario["skipped"]:
        skipped = (f"{entry['contender']}: {entry['reason']}" for entry in scenario["skipped"])
        remarks.append("Skipped: " + "; ".join(skipped) + ".")
    return remarks


def _server_remark(scenario: figures.Scenario) -> str:
    """Say whether the server may have been what was measured."""
    busy = scenario.get("server_busy") or {}
    hottest = max(busy, key=busy.__getitem__, default=None)
    words = [f"Server in {scenario['server']}"]
    if hottest is not None:
        words.append(f"busy for {busy[hottest]:.0%} of the time at most (beside {hottest})")
    lost = scenario.get("overflows", 0) + scenario.get("dropped", 0)
    words.append(f"{lost} connections or packets lost" if lost else "nothing lost")
    remark = ", ".join(words) + "."
    # A client that uses its own core all the time has not waited for anybody.
    slow = [
        key
        for key, share in busy.items()
        if share > BUSY and (waited := figures.ratio_within(scenario, key, "cpu_us", "wall_us"))
        if waited < BUSY
    ]
    if slow or lost:
        beside = f" beside {', '.join(slow)}" if slow else ""
        remark += f" **It may have been the bottleneck{beside}: read the CPU, not the wall time.**"
    return remark


def exact_as_text(counted: dict[str, Any]) -> str:
    """Return the figures that repeat exactly."""
    floor = counted["figures"].get("bare connect", {}).get("instructions")
    rows = []
    ordered = sorted(
        counted["figures"].items(), key=lambda item: item[1].get("instructions", float("inf"))
    )
    for key, found in ordered:
        instructions, calls = found.get("instructions"), found.get("system_calls")
        times = f"{instructions / floor:.1f}" if instructions and floor else ""
        shown = f"**{key}**" if key.startswith("aioconnect") else key
        counts = [f"{c:,.0f}".replace(",", " ") if c else "" for c in (instructions, calls)]
        rows.append([shown, counts[0], times, counts[1]])
    text = table(["contender", "instructions", f"{TIMES} floor", "system calls"], rows)
    for figure, reason in counted["skipped"].items():
        text += f"\n\nSkipped: {figure.replace('_', ' ')}, {reason}."
    return text + "\n"


def bounds_as_text(rows: Sequence[bounds.Row]) -> str:
    """Return each bound beside what was measured."""
    lines: dict[tuple[str, str], dict[str, bounds.Row]] = {}
    for row in rows:
        lines.setdefault((row.bound.what, row.bound.against), {})[row.bound.loop] = row
    cells = []
    for (what, against), by_loop in lines.items():
        limits = list(dict.fromkeys(_limit(row.bound) for row in by_loop.values()))
        both = [by_loop[""]] * 2 if "" in by_loop else map(by_loop.get, ("asyncio", "uvloop"))
        best = {row.found.against for row in by_loop.values() if row.found} - {""}
        if "best" in against and best:
            against += f" ({' or '.join(sorted(best))})"
        cells.append([what, against, " and ".join(limits), *map(_measured, both)])
    judged = [row.met for row in rows if row.met is not None]
    summary = f"{sum(judged)} of {len(judged)} values that were measured are within their bound."
    headings = ["what", "against", "at most", "on asyncio", "on uvloop"]
    return table(headings, cells, words=3) + f"\n\n{summary}\n"


def _limit(bound: bounds.Bound) -> str:
    aim = "" if bound.aim is None else f" (aim {number(bound.aim)})"
    return (f"{number(bound.limit)} {bound.unit}" if bound.limit else "none") + aim


def _measured(row: bounds.Row | None) -> str:
    if row is None:
        return ""
    if row.found is None:
        return "not measured"
    clock = " (CPU)" if row.found.by_cpu else ""
    return number(row.found.value) + clock + ("" if row.met else " **over**")


def comparison(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Return what changed between two runs, as ratios to what both have measured beside it.

    Absolute times of two days or two machines say little. So each contender is divided by the
    floor of its own run, or where there is none by the peer that was best in the old one.
    """
    parts = []
    for name, scenario in new["scenarios"].items():
        before = old["scenarios"].get(name)
        if before is None:
            continue
        figure = scenario["figure"]
        base = scenario["floor"]
        if not figures.spread(scenario, base, figure) or not figures.spread(before, base, figure):
            base = figures.best(before, figure, figures.is_peer) or ""
        rows = [
            row
            for key, properties in scenario["contenders"].items()
            if key != base and (row := _change(before, scenario, key, base, figure))
            if properties["ours"] or row[-1]
        ]
        if rows:
            headings = [f"{name} (÷ {base})", "before", "now", "change", ""]
            parts.append(table(headings, rows))
    parts += _exact_changes(old.get("exact"), new.get("exact"))
    if not parts:
        return "The two runs have no scenario in common.\n"
    return "\n\n".join(["Since the old run (ours, and whatever else has moved):", *parts]) + "\n"


def _change(
    before: figures.Scenario, now: figures.Scenario, key: str, base: str, figure: str
) -> list[str] | None:
    old, new = figures.ratio(before, key, base, figure), figures.ratio(now, key, base, figure)
    if old is None or new is None:
        return None
    change = new.median / old.median - 1
    apart = new.low > old.high or new.high < old.low
    mark = ("slower" if change > 0 else "faster") if apart and abs(change) > CHANGE else ""
    return [key, f"{old.median:.2f}", f"{new.median:.2f}", f"{change:+.0%}", mark]


def _exact_changes(old: dict[str, Any] | None, new: dict[str, Any] | None) -> list[str]:
    rows = []
    for key, found in (new or {}).get("figures", {}).items():
        for figure, value in found.items():
            before = (old or {}).get("figures", {}).get(key, {}).get(figure)
            if before and abs(value / before - 1) > 0.005:
                change = f"{value / before - 1:+.1%}"
                cells = [
                    f"{key}, {figure.replace('_', ' ')}",
                    number(before),
                    number(value),
                    change,
                ]
                rows.append(cells)
    return [table(["exact", "before", "now", "change"], rows)] if rows else []


def write(results: dict[str, Any], folder: Path) -> None:
    """Write RESULTS.md, results.json and the plots into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    compact = json.dumps(results, ensure_ascii=False, separators=(",", ":"))
    # A line for each scenario, so that a change of one of them is a change of one line.
    (folder / "results.json").write_text(compact.replace('},"', '},\n"') + "\n")
    drawn = plots.draw(results, folder / "plots")
    (folder / "RESULTS.md").write_text(_markdown(results, drawn))


def _markdown(results: dict[str, Any], drawn: dict[str, str]) -> str:
    minutes = round(results.get("seconds", 0) / 60)
    origin = (
        f"Written by `python -m benchmarks` on {results['date']}: a {results['kind']} run of "
        f"{minutes} minutes. Absolute times belong to the machine below; the ratios carry over."
    )
    crowded = sum(map(figures.is_crowded, results["scenarios"].values()))
    if crowded:
        origin += f" **Others had the core in {crowded} of the scenarios: run it again, alone.**"
    if not results["collector"]:
        origin += " **The garbage collector was off in the measured stretches.**"
    ratios = (
        "A ratio is the median over all rounds of the ratio within each round, of wall times; of "
        "CPU where that is said, or where others had the core for more than "
        f"{figures.CROWDED:.0%} of the time."
    )
    parts = [
        "# What connecting costs",
        origin,
        "## What it ran on",
        table(["", ""], ([name, value] for name, value in _facts(results["environment"])), words=2),
        "## The bounds",
        ratios,
        bounds_as_text(bounds.judge(results)).strip(),
    ]
    if "growth" in drawn:
        parts += ["## Cost against the number in flight", _image("growth", drawn)]
    for name, scenario in results["scenarios"].items():
        parts += [f"## {scenario['title']}"]
        if name in drawn:
            parts.append(_image(name, drawn))
        parts.append(_scenario_table(scenario))
        parts += _remarks(scenario)
    if exact := results.get("exact"):
        parts += [
            "## Figures that repeat exactly",
            "For each connect to a literal TCP address, by callgrind (user space) and strace.",
            exact_as_text(exact).strip(),
        ]
    if results["not_run"]:
        parts.append("## Not run")
        parts.append(
            "\n".join(f"- {row['scenario']}: {row['reason']}" for row in results["not_run"])
        )
    if "" in drawn:
        parts.append(f"No plots: {drawn['']}.")
    parts += ["## How it is measured", _METHOD]
    return "\n\n".join(parts) + "\n"


def _image(name: str, drawn: dict[str, str]) -> str:
    return f"![{drawn[name]}](plots/{name}.svg)"


_METHOD = """\
- Each scenario runs in a process of its own, pinned to one core, and with root in a network
  namespace of its own. In it the contenders take turns, round by round; who begins changes from
  round to round. Each sample has a fresh event loop and a few connects to warm it up. The garbage
  collector runs before a measured stretch, and within it as in any program.
- A contender connects and closes. The floor blocks: `socket()`, `connect()`, `close()`.
- The server is another process on another core: an accept loop in C (in Python where there is no
  compiler). The client closes first; the server's sockets have `SO_LINGER` of zero, so that it
  answers with a reset and nothing stays in TIME_WAIT. No contender sets or pays for anything.
  After each sample the server is asked for its CPU time, and the kernel for overflown queues.
- CPU is user and system time of the client process. What packets cost in the other processes'
  time is not in it.
- The round trip is made by a process that carries packets between two TUN devices in two
  namespaces and holds each for half of it. A black hole is a route into a TUN device that nobody
  reads.
- Timeouts: ours, aiohttp's and httpcore's are told theirs; the others stand in `asyncio.timeout`,
  `anyio.fail_after` or `trio.fail_after`. Lateness counts from each task's own start.
- Bytes are tracemalloc's, over all of Python's memory and libuv's, with the task of each connect.
- "no second look" is ours with one thing switched off, from here alone: it then waits for the
  loop each time, as it does across a real round trip."""
