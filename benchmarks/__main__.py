"""The command line: `python -m benchmarks`.

A full run replaces RESULTS.md, results.json and the plots beside this file. Any other run, quick
or of some scenarios only, prints what it found, and writes it where `--output` says.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bounds, contenders, environment, exact, imports, network, report, scenarios, servers

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
#: A worker that has not ended by then hangs.
LONGEST = 420


def main() -> None:
    """Measure what the command line asks for, and report it."""
    arguments = _arguments()
    if arguments.list:
        for name, title in _titles().items():
            print(f"{name:24} {title}")
        return
    known = arguments.report and json.loads(arguments.report.read_text())
    results = known or _run(arguments)
    rows = bounds.judge(results)
    if measured := [row for row in rows if row.found]:
        print(report.bounds_as_text(measured))
    if arguments.compare:
        print(report.comparison(json.loads(arguments.compare.read_text()), results))
    output = arguments.output
    if output is None and results["kind"] == "full":
        output = HERE
    if output is not None:
        report.write(results, output)
        print(f"Written: RESULTS.md, results.json and plots/ in {output.name}/")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure what connecting costs."
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="a minute instead of ten: less sure, and no 16 000")
    add("--only", default="", metavar="NAMES", help="these scenarios: names or patterns, by comma")
    add("--contenders", default="", metavar="WORD", help="contenders with this in their names")
    add("--no-gc", action="store_true", help="switch the garbage collector off while measuring")
    add("--exact", action="store_true", help="also count instructions and system calls")
    add("--compare", type=Path, metavar="OLD.json", help="say what changed since that run")
    add("--output", type=Path, metavar="FOLDER", help="write the report there")
    add("--report", type=Path, metavar="RUN.json", help="do not measure: report that run again")
    add("--verbose", action="store_true", help="print what the workers write to standard error")
    add("--list", action="store_true", help="say which scenarios there are")
    return parser.parse_args()


def _titles() -> dict[str, str]:
    titles = {scenario.name: scenario.heading for scenario in scenarios.SCENARIOS}
    titles["import"] = "Importing, whole process"
    titles["exact"] = "Instructions and system calls: only with --exact, or by this name"
    return titles


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the chosen scenarios, each in its own process, and return the results."""
    started = time.monotonic()
    names = _chosen(arguments)
    no_namespace = network.why_no_namespace()
    partial = arguments.only or arguments.contenders or arguments.no_gc
    results: dict[str, Any] = {
        "format": 1,
        "kind": "partial" if partial else "quick" if arguments.quick else "full",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "collector": not arguments.no_gc,
        "environment": environment.describe(namespace=no_namespace),
        "scenarios": {},
        "not_run": [],
    }
    print(report.environment_as_text(results["environment"]))
    with tempfile.TemporaryDirectory(prefix="aioconnect-bench-") as folder:
        directory = Path(folder)
        for program in ("accept", "delay", "dns"):
            servers.compile_c(program, directory)
        servers.make_certificate(directory)
        for position, name in enumerate(names, 1):
            progress = Progress(f"[{position}/{len(names)}] {name}", started)
            if name == "exact":
                results["exact"] = exact.count(directory, arguments.contenders, progress)
                progress.done()
                print(report.exact_as_text(results["exact"]))
                continue
            if name == "import":
                outcome = imports.measure(3 if arguments.quick else 25, progress)
            else:
                outcome = _measure(name, arguments, directory, no_namespace, progress)
            progress.done()
            if reason := outcome.get("obstacle"):
                results["not_run"].append({"scenario": name, "reason": reason})
                print(f"{name}: skipped, {reason}\n")
            else:
                results["scenarios"][name] = outcome
                print(report.scenario_as_text(name, outcome))
    results["seconds"] = round(time.monotonic() - started)
    return results


def _chosen(arguments: argparse.Namespace) -> list[str]:
    names = list(_titles())
    patterns = [pattern.strip() for pattern in arguments.only.split(",") if pattern.strip()]
    if patterns:
        chosen = [n for n in names if any(fnmatch.fnmatchcase(n, p) for p in patterns)]
        if not chosen:
            sys.exit(f"no scenario is called {arguments.only}; --list names them")
    elif arguments.quick:
        quick = {s.name for s in scenarios.SCENARIOS if s.quick_rounds} | {"import"}
        chosen = [name for name in names if name in quick]
    else:
        chosen = names[: names.index("exact")]
    if arguments.exact and "exact" not in chosen:
        chosen.append("exact")
    return chosen


def _measure(
    name: str,
    arguments: argparse.Namespace,
    directory: Path,
    no_namespace: str | None,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Run one scenario in a worker and return what it reported."""
    scenario = scenarios.find(name)
    if reason := scenario.obstacle():
        return {"obstacle": reason}
    command = [sys.executable, "-m", "benchmarks.worker", name, "--directory", str(directory)]
    if no_namespace is None:
        command = [*network.UNSHARE, *command, "--namespace"]
    if arguments.quick and scenario.quick_rounds:
        command.append("--quick")
        scenario = scenario.quick()
    if arguments.no_gc:
        command.append("--no-gc")
    command += ["--contenders", arguments.contenders]
    outcome: dict[str, Any] = {
        "title": scenario.heading,
        "figure": scenario.figure,
        "floor": scenario.floor,
        "note": scenario.note,
        "mode": scenario.way.mode,
        "count": scenario.way.count,
        "contenders": {},
        "skipped": [],
        "samples": {},
    }
    progress("starting")
    complaints = directory / "complaints"
    with (
        complaints.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, cwd=HERE.parent, text=True
        ) as worker,
    ):
        assert worker.stdout is not None
        watchdog = threading.Timer(LONGEST, worker.kill)
        watchdog.daemon = True
        watchdog.start()
        for line in worker.stdout:
            _note(json.loads(line), outcome, scenario, progress)
        watchdog.cancel()
    said = complaints.read_text()
    if said and (arguments.verbose or worker.returncode != 0):
        print(said, file=sys.stderr)
    if worker.returncode != 0:
        last = said.strip().splitlines()[-1:] or ["no reason given"]
        outcome["obstacle"] = f"the worker failed: {last[0].split(':')[0]}"
    return outcome


def _note(
    event: dict[str, Any],
    outcome: dict[str, Any],
    scenario: scenarios.Scenario,
    progress: Callable[[str], None],
) -> None:
    """Enter what a worker has said into the outcome."""
    kind = event.pop("event")
    if kind == "begin":
        outcome["server"] = event["server"]
        for key in event["contenders"]:
            properties = contenders.find(key)
            outcome["samples"][key] = []
            outcome["contenders"][key] = {
                "loop": properties.loop,
                "gives": properties.gives,
                "ours": properties.ours,
                "blocks": properties.blocks,
            }
    elif kind == "sample":
        key = event.pop("contender")
        progress(f"round {event['round'] + 1} of {scenario.rounds}: {key}")
        rounded = {name: float(f"{value:.5g}") for name, value in event.items()}
        outcome["samples"][key].append(rounded)
    elif kind == "skip":
        outcome["skipped"].append(event)
    elif kind == "obstacle":
        outcome["obstacle"] = event["reason"]
    else:
        outcome |= event


class Progress:
    """What is being measured now: one line, rewritten on a terminal, else one for a scenario."""

    def __init__(self, what: str, started: float) -> None:
        self.what = what
        self.started = started
        self.terminal = sys.stderr.isatty()
        self.shown = 0.0
        if not self.terminal:
            self._write("\n")

    def __call__(self, state: str) -> None:
        """Show how far it is, ten times a second at most."""
        if self.terminal and time.monotonic() - self.shown > 0.1:
            self.shown = time.monotonic()
            self._write("", state)

    def done(self) -> None:
        """Make room for the result."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def _write(self, end: str, state: str = "") -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        line = f"{minutes}:{seconds:02} {self.what}  {state}".rstrip()
        if self.terminal:
            line = f"\r\x1b[K{line[:120]}"
        print(line, end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Interrupted: nothing is written.")
