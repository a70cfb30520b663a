"""The hours in one figure: memory, descriptors, the stores, and when something was killed."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.common import svg
from benchmarks.service.soak.samples import Sample
from benchmarks.service.soak.stack import KILLED_HOST

_WIDTH, _HEIGHT = 9.0, 2.4  # inches a panel
_MEGABYTE = 10**6
_MEASURES = (("rss", "resident, MB", _MEGABYTE), ("descriptors", "descriptors", 1), ("threads", "threads", 1))


def draw(samples: Sequence[Sample], killed: Sequence[tuple[float, str]], path: Path) -> None:
    """Write the SVG. Killed processes are drawn thin, with a gap where one ended."""
    began = samples[0]["at"]
    minutes = [(sample["at"] - began) / 60 for sample in samples]
    figure = Figure(figsize=(_WIDTH, 5 * _HEIGHT), layout="constrained")
    axes = figure.subplots(5, 1, sharex=True)
    for axis, (measure, label, unit) in zip(axes, _MEASURES, strict=False):
        _draw_processes(axis, minutes, samples, lambda seen, of=measure, by=unit: seen[of] / by)
        axis.set_ylabel(label)
    figure.legend(*axes[0].get_legend_handles_labels(), fontsize=7, ncols=7, loc="outside upper left", frameon=False)
    rows = [sum(sample.get("rows", {}).values()) for sample in samples]
    axes[3].plot(minutes, [count or None for count in rows], color=svg.COLOURS[0], label="rows of all tables")
    axes[3].set_ylabel("rows")
    for place, (name, values) in enumerate(_stores(samples).items()):
        axes[4].plot(minutes, values, color=svg.COLOURS[place], label=name)
    axes[4].set_ylabel("MB")
    for axis in axes[3:]:
        axis.legend(fontsize=7, loc="upper left", frameon=False)
    for axis in axes:
        for at, _ in killed:
            axis.axvline((at - began) / 60, color="#cccccc", linewidth=0.4, zorder=0)
        axis.set_ylim(bottom=0)
        axis.grid(axis="y", linewidth=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("minutes; a grey line: something was killed")
    svg.save(figure, path)


def _draw_processes(
    axis: Axes, minutes: Sequence[float], samples: Sequence[Sample], measure: Callable[[dict[str, int]], float]
) -> None:
    names = sorted({name for sample in samples for name in sample["processes"]}, key=lambda name: name[::-1])
    roles = sorted({name.partition("-")[0] for name in names})
    for name in names:
        role, _, host = name.partition("-")
        thin = host == KILLED_HOST or not host
        values, pid = [], None
        for sample in samples:
            seen = sample["processes"].get(name)
            same = seen is not None and pid in (None, seen["pid"])
            values.append(measure(seen) if same else None)
            pid = seen["pid"] if seen is not None else None
        colour = svg.COLOURS[roles.index(role)]
        axis.plot(minutes, values, color=colour, linewidth=0.7 if thin else 1.6, alpha=0.6 if thin else 1, label=name)


def _stores(samples: Sequence[Sample]) -> dict[str, list[float | None]]:
    """In megabytes."""
    return {
        "database": [s["database_bytes"] / _MEGABYTE if "database_bytes" in s else None for s in samples],
        "storage": [s["storage"] / _MEGABYTE for s in samples],
        "homes of all processes": [sum(s["disk"].values()) / _MEGABYTE for s in samples],
    }
