# SPDX-License-Identifier: Apache-2.0
"""Picture of a training log: loss, and the validation errors of every stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from solver_core.writing import whole_file


def draw_curve(log: Path, picture: Path) -> None:
    """Draws a log.jsonl of the trainer: loss on the left, median validation errors on the right, both logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [line for text in log.read_text(encoding="utf-8").splitlines() if (line := _entry(text))]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    for stage in sorted({line["stage"] for line in lines}):
        of_stage = [line for line in lines if line["stage"] == stage and "loss" in line]
        left.semilogy(
            [line["seconds"] / 60 for line in of_stage], [line["loss"] for line in of_stage], label=f"stage {stage + 1}"
        )
    validations = [line for line in lines if "validation" in line]
    for name in validations[0]["validation"] if validations else ():
        minutes = [line["seconds"] / 60 for line in validations]
        right.semilogy(minutes, [line["validation"][name][1] for line in validations], marker=".", label=name)
    left.set(xlabel="minutes", ylabel="loss")
    right.set(xlabel="minutes", ylabel="median error, validation meshes or clips")
    for axes in (left, right):
        axes.legend()
        axes.grid(True, which="both", alpha=0.3)
    figure.tight_layout()
    with whole_file(picture, "plot") as part:
        figure.savefig(part, dpi=110)
    pyplot.close(figure)


def _entry(text: str) -> dict[str, Any]:
    """A line of a log; nothing for one that a kill broke off."""
    try:
        return json.loads(text)
    except ValueError:
        return {}
