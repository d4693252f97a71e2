# SPDX-License-Identifier: Apache-2.0
"""The log of a training run for TensorBoard, where that is installed. [torch]"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Self

FOLDER = "tensorboard"  # in a run's folder


def tensorboard(out: Path) -> Board | None:
    """Writer of a run's log lines into its folder; None where TensorBoard is not installed."""
    return None if importlib.util.find_spec("tensorboard") is None else Board(out / FOLDER)


class Board:
    """Writes the numbers of log lines as scalars over the iterations of all stages; close it, or use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder))
        self.before, self.last = 0, (0, 0)  # iterations of the stages before; stage and iteration of the last line

    def __call__(self, line: dict[str, Any]) -> None:
        stage, iteration = line["stage"], line["iteration"]
        if stage != self.last[0]:
            self.before += self.last[1]
        self.last = stage, iteration
        for name, value in scalars(line).items():
            self.writer.add_scalar(name, value, self.before + iteration)
        self.writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.writer.close()


def scalars(line: dict[str, Any]) -> dict[str, float]:
    """The numbers of a log line by name: loss and speed as they are, of errors the mean and the median."""
    plain = {name: line[name] for name in ("loss", "samples_per_second") if name in line}
    errors = line.get("validation", {})
    return plain | {
        f"{name}/{kind}": pair[index] for name, pair in errors.items() for index, kind in enumerate(("mean", "median"))
    }
