# SPDX-License-Identifier: Apache-2.0
"""Plots of measurements: curves as numbers, kept with their table, and their picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from solver_core.optional import needed_for
from solver_core.writing import whole_file

MARKED = 30  # points of a curve up to which each gets a dot


@dataclass(frozen=True)
class Plot:
    """Curves over a common axis.

    name: of the picture file.  curves: for each label its x and its y; one point alone is drawn as a dot.
    """

    name: str
    x_label: str
    y_label: str
    curves: dict[str, tuple[list[float], list[float]]]
    is_x_log: bool = False
    is_y_log: bool = False


def draw_plot(plot: Plot, picture: Path) -> None:
    """Draws a plot as PNG or whatever else the name ends in."""
    with needed_for("drawing plots", extra="train"):
        import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 5))
    for number, (label, (x, y)) in enumerate(plot.curves.items()):
        line_style = ("-", "--", ":", "-.")[number // 10 % 4]  # matplotlib has ten colours
        marker = "o" if len(x) == 1 else "." if len(x) <= MARKED else ""
        axes.plot(x, y, marker=marker, linestyle=line_style, color=f"C{number % 10}", label=label)
    axes.set(xlabel=plot.x_label, ylabel=plot.y_label)
    axes.set_xscale("log" if plot.is_x_log else "linear")
    axes.set_yscale("log" if plot.is_y_log else "linear")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1))  # beside the curves, of which there may be many
    figure.tight_layout()
    with whole_file(picture, "plot") as part:
        figure.savefig(part, dpi=110)
    pyplot.close(figure)
