"""What `connect_many` costs and holds: `python -m benchmarks.many`.

A full run replaces MANY.md, many.json and the plots beside this file; a quick one prints what it
found.

    python -m benchmarks.many           # about five minutes
    python -m benchmarks.many --quick   # about one

What needs root, because it needs a network of its own, is skipped by name where it cannot be had.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from . import environment, figures, fleet, network, plots, report, servers
from .__main__ import Progress
from .figures import TIMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

HERE = Path(__file__).parent
#: How many times bare connect a target may cost.
BOUND = 1.25
#: What resident memory may still grow by and be called flat: the allocator's holes.
GROWTH = 0.05
#: How far a rate may be off.
OFF = 0.02


class Sizes(NamedTuple):
    """How much is done."""

    targets: int
    count: int
    rounds: int
    lacking: int
    seconds: int


FULL = Sizes(targets=100_000, count=10_000, rounds=15, lacking=2000, seconds=10)
QUICK = Sizes(targets=20_000, count=2000, rounds=3, lacking=500, seconds=2)

COLOURS = {
    f"{fleet.OURS} [asyncio]": ("#1f4e79", "-"),
    f"{fleet.OURS} [uvloop]": ("#5b9bd5", "--"),
    f"{fleet.TASKS} [asyncio]": ("#b5651d", "-"),
    f"{fleet.TASKS} [uvloop]": ("#e0a878", "--"),
}


def main() -> None:
    """Measure, print, and write the report of a full run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many", description="Measure what connecting to many costs."
    )
    parser.add_argument("--quick", action="store_true", help="a minute instead of five: less sure")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="write the report there")
    parser.add_argument(
        "--report", type=Path, metavar="RUN.json", help="do not measure: report that run again"
    )
    arguments = parser.parse_args()
    if arguments.report:
        results = json.loads(arguments.report.read_text())
        results["sizes"] = Sizes(*results["sizes"])
    else:
        results = measure(QUICK if arguments.quick else FULL)
    output = arguments.output or (HERE if results["sizes"] == FULL else None)
    if output is None:
        print("\n\n".join(chapters(results, {})))
        return
    output.mkdir(parents=True, exist_ok=True)
    drawn = draw(results, output / "plots")
    text = "\n\n".join(chapters(results, drawn)) + "\n"
    print(text)
    (output / "MANY.md").write_text(text)
    compact = json.dumps(results, ensure_ascii=False, separators=(",", ":"))
    # A line for each part, so that a change of one of them is a change of one line.
    (output / "many.json").write_text(compact.replace('],"', '],\n"') + "\n")
    print(f"Written: MANY.md, many.json and their plots in {output.name}/")


# Measuring ----------------------------------------------------------------------------------------


def measure(sizes: Sizes) -> dict[str, Any]:
    """Run each part in a process of its own, and return what all have found."""
    started = time.monotonic()
    why_not = network.why_no_namespace()
    results: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "environment": environment.describe(namespace=why_not),
        "sizes": sizes,
        "skipped": {},
    }
    print(report.environment_as_text(results["environment"]))
    with tempfile.TemporaryDirectory(prefix="aioconnect-bench-") as folder:
        directory = Path(folder)
        servers.compile_c("accept", directory)
        results["language"] = "C" if (directory / "accept").exists() else "Python"
        parts = list(plan(sizes))
        for position, (name, needs, words) in enumerate(parts, 1):
            if needs and (reason := network.why_no_tun()):
                results["skipped"][name] = reason
                print(f"{name}: skipped, {reason}", file=sys.stderr)
                continue
            progress = Progress(f"[{position}/{len(parts)}] {name}", started)
            results[name] = run(words, directory, why_not is None, progress)
            progress.done()
    results["minutes"] = (time.monotonic() - started) / 60
    return results


def plan(sizes: Sizes) -> Iterator[tuple[str, bool, list[str]]]:
    """Give each part: its name, whether it needs a network of its own, and its arguments."""
    rounds = ["--count", str(sizes.count), "--rounds", str(sizes.rounds)]
    yield "cost", False, ["cost", *rounds]
    yield "mixed", True, ["mixed", *rounds]
    for key in fleet.contenders():
        if key != fleet.BARE:
            words = ["memory", "--count", str(sizes.targets), "--contender", key]
            yield f"memory: {key}", False, words
            if key.startswith(fleet.OURS):
                yield f"memory, mixed: {key}", True, [*words, "--mixed"]
    yield "lacking", True, ["lacking", "--count", str(sizes.lacking)]
    yield "pace", False, ["pace", "--count", str(sizes.seconds)]


def run(
    words: Sequence[str], directory: Path, namespace: bool, progress: Progress
) -> list[dict[str, Any]]:
    """Run one part, and return what it said."""
    command = [sys.executable, "-m", "benchmarks.fleet", *words, "--directory", str(directory)]
    if namespace:
        command = [*network.UNSHARE, *command, "--namespace"]
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE.parent, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            said.append(event)
            progress(" ".join(f"{value}" for value in event.values())[:80])
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: failed")
    return said


# Reading what was found ---------------------------------------------------------------------------


def as_scenario(results: dict[str, Any], name: str, title: str, note: str) -> figures.Scenario:
    """Return a part whose contenders took turns in the form that the other reports have."""
    samples: dict[str, list[dict[str, Any]]] = {}
    others = 0.0
    for event in results[name]:
        if event["event"] == "sample":
            rest = {k: v for k, v in event.items() if k not in ("event", "contender")}
            samples.setdefault(event["contender"], []).append(rest)
        elif event["event"] == "end":
            others = event["others"]
    return {
        "title": title,
        "figure": "cpu_us",
        "floor": fleet.BARE,
        "note": note,
        "contenders": {
            key: {"ours": key.startswith(fleet.OURS), "blocks": key == fleet.BARE, "loop": ""}
            for key in samples
        },
        "skipped": [],
        "others": others,
        "samples": samples,
    }


def curves(results: dict[str, Any], prefix: str) -> dict[str, list[tuple[int, float]]]:
    """Return the resident memory over the targets that are done, for each contender."""
    return {
        name.removeprefix(prefix): [
            (event["done"], event["mib"]) for event in said if event["event"] == "resident"
        ]
        for name, said in results.items()
        if name.startswith(prefix)
    }


def found(results: dict[str, Any], name: str, kind: str) -> list[dict[str, Any]]:
    """Return the events of one kind that a part has said."""
    return [event for event in results[name] if event["event"] == kind]


# The report ---------------------------------------------------------------------------------------


def chapters(results: dict[str, Any], drawn: dict[str, str]) -> Iterator[str]:
    """Give the report, part by part."""
    sizes: Sizes = results["sizes"]
    yield "# What connecting to many costs"
    yield (
        f"Written by `python -m benchmarks.many` on {results['date']}, in "
        f"{results['minutes']:.0f} minutes. Absolute times belong to the machine below; the "
        "ratios carry over. Targets are spread over 127.0.0.0/8, none is dialled twice in a run, "
        f"and {fleet.LIMIT} are in flight at most. The server is a process of its own, in "
        f"{results['language']}."
    )
    yield "## What it ran on"
    facts = ([name, value] for name, value in report._facts(results["environment"]))
    yield report.table(["", ""], facts, words=2)
    yield "## The bounds"
    yield report.table(["what", "at most", "asyncio", "uvloop"], bounds(results), words=2)
    yield from cost(results, drawn)
    yield from memory(results, drawn)
    if "lacking" in results:
        yield from lacking(results)
    yield from pace(results, sizes)
    if results["skipped"]:
        yield "## Not run"
        yield "\n".join(f"- {name}: {reason}" for name, reason in results["skipped"].items())


def bounds(results: dict[str, Any]) -> Iterator[list[str]]:
    """Give each bound beside what was measured on both loops."""

    def row(what: str, limit: str, values: dict[str, tuple[str, bool]]) -> list[str]:
        cells = []
        for loop in ("asyncio", "uvloop"):
            text, met = values.get(loop, ("not measured", True))
            cells.append(text if met else f"{text} **over**")
        return [what, limit, *cells]

    for name, what, end in (
        ("cost", "CPU per target, over bare connect", ""),
        ("mixed", "CPU per target that answers, 32 % of them refusing, over bare connect", ""),
    ):
        if name not in results:
            continue
        scenario = as_scenario(results, name, "", "")
        values = {}
        for loop in fleet.loops():
            key = f"{fleet.OURS} [{loop}]{end}"
            spread = figures.ratio(scenario, key, fleet.BARE, "cpu_us")
            if spread:
                values[loop] = f"{spread.median:.2f} {TIMES}", spread.median <= BOUND
        yield row(what, f"{BOUND} {TIMES}", values)
    for prefix, mixture in (("memory: ", ""), ("memory, mixed: ", ", mixture")):
        grown, opened = {}, {}
        for key, points in curves(results, prefix).items():
            if not key.startswith(fleet.OURS):
                continue
            loop = key.partition("[")[2].rstrip("]")
            early, late = at(points, 10_000), points[-1][1]
            grown[loop] = f"{late / early - 1:+.1%}", late / early - 1 <= GROWTH
            most = found(results, prefix + key, "end")[0]["most_descriptors"]
            opened[loop] = str(most), most <= 1000
        count = report.number(results["sizes"].targets)
        if grown:
            what = f"Resident memory, from 10 000 to {count} targets{mixture}"
            yield row(what, f"{GROWTH:+.0%}", grown)
            yield row(f"Open descriptors{mixture}", "1000", opened)
    if "lacking" in results:
        lost: dict[str, int] = {}
        for event in found(results, "lacking", "lacking"):
            missing = results["sizes"].lacking - event["results"] + event["failed"]
            lost[event["loop"]] = lost.get(event["loop"], 0) + missing
        yield row(
            "Targets lost for want of ports and descriptors",
            "none",
            {loop: (str(number), number == 0) for loop, number in lost.items()},
        )
    off: dict[str, float] = {}
    for event in found(results, "pace", "pace"):
        error = event["found"] / event["rate"] - 1
        off[event["loop"]] = max(off.get(event["loop"], 0.0), error, key=abs)
    yield row(
        f"Rate over {results['sizes'].seconds} s, furthest off",
        f"{OFF:.0%}",
        {loop: (f"{error:+.2%}", abs(error) <= OFF) for loop, error in off.items()},
    )


def cost(results: dict[str, Any], drawn: dict[str, str]) -> Iterator[str]:
    """Give the chapters about time."""
    sizes: Sizes = results["sizes"]
    count = f"{report.number(sizes.count)} targets"
    note = (
        f"{count} each; all take turns in one process, the floor dials one after the other. "
        f"{fleet.OURS} has two short cuts for targets that are addresses, without which it is "
        "shown as well: no call for what is over at once, and no decisions where there are none."
    )
    scenario = as_scenario(results, "cost", "Cost per target, all connect", note)
    yield "## Cost per target, all connect"
    if "many-cost" in drawn:
        yield f"![{scenario['title']}](plots/many-cost.svg)"
    yield report._scenario_table(scenario)
    yield from report._remarks(scenario)
    if "mixed" not in results:
        return
    title = "Cost per target that answers: 32 % refuse"
    scenario = as_scenario(
        results,
        "mixed",
        title,
        f"{count} each, of which {fleet.REFUSED} % refuse and {fleet.DEAD} % are silent. The "
        "floor dials those that answer; so do all others but those that say otherwise.",
    )
    yield f"## {title}"
    yield report._scenario_table(scenario)
    yield from report._remarks(scenario)
    dead = sizes.count * fleet.DEAD // 100
    answering = sizes.count - dead
    each = []
    for loop in fleet.loops():
        key = f"{fleet.OURS} [{loop}]"
        gap = figures.difference(scenario, key + fleet.SILENT, key, "cpu_us")
        if gap:
            each.append(f"{gap.median * answering / dead:.0f} µs on {loop}")
    yield (
        f"A silent target costs {' and '.join(each)} of CPU, once: to begin, to watch, to give up "
        f"after {fleet.GIVE_UP} s, and to say so. No floor is drawn for it: a blocking program "
        "waits there for as long as it is told to, and does nothing else."
    )


def memory(results: dict[str, Any], drawn: dict[str, str]) -> Iterator[str]:
    """Give the chapter about memory and descriptors."""
    sizes: Sizes = results["sizes"]
    yield f"## {report.number(sizes.targets)} targets in one process"
    if "many-memory" in drawn:
        yield f"![{drawn['many-memory']}](plots/many-memory.svg)"
    rows = []
    for prefix, mixture in (("memory: ", ""), ("memory, mixed: ", ", mixture")):
        for key, points in curves(results, prefix).items():
            end = found(results, prefix + key, "end")[0]
            name = f"**{key}**" if key.startswith(fleet.OURS) else key
            rows.append(
                [
                    name + mixture,
                    f"{at(points, 10_000):.1f}",
                    f"{points[-1][1]:.1f}",
                    f"{max(mib for _, mib in points):.1f}",
                    str(end["most_descriptors"]),
                    f"{end['connected']:,}".replace(",", " "),
                    f"{end['failed']:,}".replace(",", " "),
                    f"{end['wall']:.1f}",
                    f"{end['cpu']:.1f}",
                ]
            )
    late = f"at {report.number(sizes.targets)}"
    headings = ["resident, MiB", "at 10 000", late, "most", "descriptors", "connected"]
    yield report.table([*headings, "failed", "wall, s", "CPU, s"], rows)
    yield (
        "Each in a fresh process that may have 1000 descriptors, with the garbage collector on. "
        f"The consumer of `connect_many` keeps the latest {fleet.KEPT} connections open. The "
        f"mixture is {fleet.REFUSED} % refused and {fleet.DEAD} % silent."
    )


def at(points: Sequence[tuple[int, float]], number: int) -> float:
    """Return the memory when so many were done, or at the end if there were not so many."""
    return next((mib for done, mib in points if done >= number), points[-1][1])


def lacking(results: dict[str, Any]) -> Iterator[str]:
    """Give the chapter about want."""
    yield "## Too few ports, too few descriptors"
    rows = []
    for event in found(results, "lacking", "lacking"):
        few = ["11 ports"] * event["ports"] + ["50 descriptors"] * event["descriptors"]
        rows.append(
            [
                f"{' and '.join(few)} [{event['loop']}]",
                str(event["results"]),
                str(event["failed"]),
                str(event["slowed"]),
                f"{event['seconds']:.1f}",
            ]
        )
    yield report.table(["what there is", "results", "failed", "SlowedDown", "wall, s"], rows)
    yield (
        f"{report.number(results['sizes'].lacking)} targets, 200 in flight at most, and a consumer "
        "that keeps five connections. With few ports all targets are one address."
    )


def pace(results: dict[str, Any], sizes: Sizes) -> Iterator[str]:
    """Give the chapter about rates."""
    yield "## The rate"
    rows = []
    for event in found(results, "pace", "pace"):
        rate = event["rate"]
        rows.append(
            [
                f"{report.number(rate)} a second [{event['loop']}]",
                f"{event['found']:.1f}",
                f"{event['found'] / rate - 1:+.2%}",
                f"{event['least']} to {event['most']}",
            ]
        )
    yield report.table(["rate", "measured", "off", "starts in 100 ms"], rows)
    yield f"Over {sizes.seconds} seconds, by the instants at which the targets were dialled."


# The plots ----------------------------------------------------------------------------------------


def draw(results: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draw the plots into `folder`; return what each shows, by name."""
    try:
        import matplotlib as mpl
    except ImportError:
        return {}
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(plots.STYLE):
        scenario = as_scenario(results, "cost", "Cost per target, all connect", "")
        plots._save(plots._bars(scenario), folder / "many-cost")
        plots._save(memory_figure(results), folder / "many-memory")
    return {"many-cost": scenario["title"], "many-memory": "Resident memory against targets done"}


def memory_figure(results: dict[str, Any]) -> Figure:
    """Draw the resident memory against the targets that are done."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.3, 3.0))
    for key, points in curves(results, "memory: ").items():
        colour, dashes = COLOURS[key]
        axes.plot(
            [done / 1000 for done, _ in points],
            [mib for _, mib in points],
            color=colour,
            linestyle=dashes,
            linewidth=1.2,
            label=key,
        )
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.set_xlabel("thousand targets done")
    axes.set_ylabel("resident memory, MiB")
    axes.set_title("Resident memory against targets done", loc="left", fontsize=10)
    axes.grid()
    figure.tight_layout()
    figure.legend(loc="upper center", ncols=2, bbox_to_anchor=(0.5, 0.0))
    return figure


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted: nothing is written.")
