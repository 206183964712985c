"""The plots: a bar for each contender between its quartiles, and cost against number in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import figures

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, PEER, FLOOR = "#1f4e79", "#b8b8b8", "#404040"
#: One line each in the growth plots: colour and marker, so that it reads in black and white too.
LINES = {
    "aioconnect.connect [asyncio]": ("#1f4e79", "o", "-"),
    "aioconnect.connect [uvloop]": ("#5b9bd5", "o", "--"),
    "loop.sock_connect [asyncio]": ("#b5651d", "s", "-"),
    "loop.sock_connect [uvloop]": ("#e0a878", "s", "--"),
    "aiohappyeyeballs [asyncio]": ("#6a8f3c", "^", "-"),
    "loop.create_connection [uvloop]": ("#8c5a9e", "D", "--"),
    "asyncio.open_connection [asyncio]": ("#c0504d", "v", "-"),
    "trio.socket [trio]": ("#8a8a8a", "P", "-"),
    "anyio.connect_tcp [asyncio]": ("#c9a400", "X", "-"),
    "bare connect": ("#000000", "", ":"),
}
STYLE = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral", "Times New Roman", "Times"],
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "legend.fontsize": 8,
    # Letters, not their outlines: a fifth of the size.
    "svg.fonttype": "none",
    # The same figures give the same file.
    "svg.hashsalt": "aioconnect",
}
# A date or a version in the file would change it when nothing in it has changed.
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
LABELS = {
    "wall_us": "wall time per connect, µs",
    "cpu_us": "CPU time per connect, µs",
    "cpu_ms": "CPU time of the whole process, ms",
    "bytes": "bytes per pending connect, with its task",
}


def draw(results: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draw every plot of a run into `folder`, as SVG and PNG.

    Returns what each shows, by name; under the empty name, why there are none.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        return {"": "matplotlib is not installed"}
    mpl.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    with mpl.rc_context(STYLE):
        for name, scenario in results["scenarios"].items():
            if any(scenario["samples"].values()):
                _save(_bars(scenario), folder / name)
                drawn[name] = scenario["title"]
        if figure := _growth(results["scenarios"]):
            _save(figure, folder / "growth")
            drawn["growth"] = "Cost per connect and lateness, against the number in flight"
    return drawn


def _save(figure: Figure, path: Path) -> None:
    import matplotlib.pyplot as plt

    figure.savefig(path.with_suffix(".svg"), bbox_inches="tight", metadata=NO_METADATA)
    figure.savefig(path.with_suffix(".png"), bbox_inches="tight", dpi=120)
    plt.close(figure)


def _bars(scenario: figures.Scenario) -> Figure:
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    shown = scenario["figure"]
    rows = list(figures.in_order(scenario, shown))[::-1]
    figure, axes = plt.subplots(figsize=(6.3, 0.6 + 0.19 * len(rows)))
    medians = [found.median for _, _, found in rows]
    errors = [
        [found.median - found.low for _, _, found in rows],
        [found.high - found.median for _, _, found in rows],
    ]
    colours = [
        OURS if properties["ours"] else FLOOR if properties["blocks"] else PEER
        for _, properties, _ in rows
    ]
    axes.barh(
        [key for key, _, _ in rows],
        medians,
        xerr=errors,
        color=colours,
        height=0.68,
        error_kw={"elinewidth": 0.8, "capsize": 1.8, "capthick": 0.8, "ecolor": "#000000"},
    )
    furthest = max(found.high for _, _, found in rows)
    for position, (_, _, found) in enumerate(rows):
        text = _spaced(found.median) if found.median >= 100 else f"{found.median:.1f}"
        axes.text(found.high + furthest * 0.012, position, text, va="center", ha="left", fontsize=7)
    floor = figures.spread(scenario, scenario["floor"], shown) if scenario["floor"] else None
    if floor:
        axes.axvline(floor.median, color=FLOOR, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlim(0, furthest * 1.1)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel(LABELS[shown])
    axes.set_title(scenario["title"], loc="left", fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    kinds = {"aioconnect": OURS, "peer": PEER}
    if any(properties["blocks"] for _, properties, _ in rows):
        kinds["blocking"] = FLOOR
    axes.legend(
        handles=[Patch(color=colour, label=kind) for kind, colour in kinds.items()],
        # Below the names, beside the axis: there is room whatever the bars do.
        loc="upper right",
        bbox_to_anchor=(0, 0),
        ncols=len(kinds),
        columnspacing=1.2,
    )
    axes.xaxis.set_major_formatter(_spaced)
    return figure


def _spaced(value: float, _position: int = 0) -> str:
    return f"{value:,.0f}".replace(",", " ")


def _growth(scenarios: dict[str, figures.Scenario]) -> Figure | None:
    """Draw three panels: loopback, black hole, lateness; None if there is nothing to draw."""
    import matplotlib.pyplot as plt

    panels = (
        ("together-", "cpu_us", "started together, loopback", "CPU time per connect, µs"),
        ("black-holed-", "cpu_us", "never answered, 1 s timeout", "CPU time per connect, µs"),
        ("black-holed-", "late_max_ms", "never answered, 1 s timeout", "latest timeout, ms late"),
    )
    series = [_series(scenarios, prefix, figure) for prefix, figure, _, _ in panels]
    if not any(len(points) > 1 for lines in series for points in lines.values()):
        return None
    figure, all_axes = plt.subplots(1, 3, figsize=(9.6, 3.1))
    for axes, lines, (_, _, title, label) in zip(all_axes, series, panels, strict=True):
        _lines(axes, lines)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("connects in flight")
        axes.set_ylabel(label)
    handles = {
        label: handle
        for axes in all_axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.tight_layout(rect=(0, 0.2, 1, 1))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=4)
    return figure


def _series(
    scenarios: dict[str, figures.Scenario], prefix: str, figure: str
) -> dict[str, list[tuple[int, figures.Spread]]]:
    """Return for each line its points: number in flight and figure."""
    lines: dict[str, list[tuple[int, figures.Spread]]] = {}
    for name, scenario in scenarios.items():
        if name.startswith(prefix):
            for key in LINES:
                if found := figures.spread(scenario, key, figure):
                    lines.setdefault(key, []).append((scenario["count"], found))
    return {key: sorted(points) for key, points in lines.items()}


def _lines(axes: Axes, lines: dict[str, list[tuple[int, figures.Spread]]]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    for key, points in lines.items():
        colour, marker, dashes = LINES[key]
        axes.errorbar(
            [count for count, _ in points],
            [found.median for _, found in points],
            yerr=[
                [found.median - found.low for _, found in points],
                [found.high - found.median for _, found in points],
            ],
            color=colour,
            marker=marker,
            linestyle=dashes,
            markersize=3.5,
            linewidth=1,
            elinewidth=0.6,
            label=key,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    lowest, highest = axes.get_ylim()
    for axis, steps in ((axes.xaxis, (1,)), (axes.yaxis, (1, 2, 5))):
        # 10 000 and not a power of ten; between them, as many labels as the range can hold.
        sparse = axis is axes.yaxis and highest / lowest > 100
        axis.set_major_locator(LogLocator(subs=(1,) if sparse else steps))
        axis.set_major_formatter(_spaced)
        axis.set_minor_formatter(NullFormatter())
    axes.grid(which="major")
