# SPDX-License-Identifier: Apache-2.0
"""The files that a training run writes into its folder, and which of them a new run may find there."""

from __future__ import annotations

from pathlib import Path

from solver_core.config import TrainSettings
from solver_core.errors import ConfigError, OverwritingError

LOG, CURVE, PREVIEW, CHECKPOINT = "log.jsonl", "curve.png", "samples.png", "checkpoint.pt"
PREVIEW_METADATA = {"Software": "solver_core"}  # of the picture
LOG_MARK, PREVIEW_MARK = b'{"stage"', b"Software\0solver_core"  # which tell what a run wrote
FIRST_BYTES = 4096  # in which the mark is


def weights_path(settings: TrainSettings, folder: Path) -> Path:
    return folder / f"{settings.name}.safetensors"


def checkpoint_paths(folder: Path) -> list[Path]:
    """Where checkpoints may lie, the newest first: one that a kill kept from its place, the last, the one before it."""
    last = folder / CHECKPOINT
    return [last.with_suffix(".new.pt"), last, last.with_suffix(".before.pt")]


def check_new_run(settings: TrainSettings, folder: Path) -> None:
    """Raises ConfigError if a new run would overwrite what is in the folder, or add lines to what is no log."""
    if any(path.exists() for path in checkpoint_paths(folder)):
        raise ConfigError(f"{folder} holds another run; continue it with --resume, or give another folder with --out")
    for path in (weights_path(settings, folder), folder / CURVE):
        if path.exists():
            raise OverwritingError(f"{path} is there already, and would be overwritten; give another folder with --out")
    _check_mark(folder / LOG, LOG_MARK)


def check_preview(path: Path) -> None:
    """Raises OverwritingError if a preview would overwrite what is none."""
    _check_mark(path, PREVIEW_MARK)


def _check_mark(path: Path, mark: bytes) -> None:
    if path.is_file():
        with path.open("rb") as file:
            content = file.read(FIRST_BYTES)
        if content and mark not in content:
            raise OverwritingError(f"{path} is of no earlier run, and would be overwritten; give another folder with --out")
