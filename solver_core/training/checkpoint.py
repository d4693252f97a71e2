# SPDX-License-Identifier: Apache-2.0
"""The state of a training run on disk. [torch]

Network, optimiser and counter are one file, a zip archive in which every entry has a checksum.  The one before it is kept,
for the case that a disk damages the last.
"""

from __future__ import annotations

import io
import logging
import os
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from solver_core.config import TrainSettings
from solver_core.errors import ConfigError, ResourceError, SolverError, system_error
from solver_core.reading import reading
from solver_core.training.files import checkpoint_paths
from solver_core.writing import write_bytes

logger = logging.getLogger(__name__)

NOT_OF_THE_RESULT = dict.fromkeys(("cache", "cache_gb"))  # settings that may change from run to run


@dataclass
class Checkpoint:
    """Where a run stands: finished stages, and the network and optimiser of the one under way."""

    settings: TrainSettings
    frozen: list[dict[str, np.ndarray]]
    iteration: int
    network: dict[str, Any]
    optimizer: dict[str, Any]
    seconds: float


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint; at any moment a whole one is there.  Raises ResourceError or ConfigError if it cannot."""
    content = io.BytesIO()
    torch.save(
        {
            "settings": asdict(checkpoint.settings),
            "frozen": [{k: torch.from_numpy(v) for k, v in stage.items()} for stage in checkpoint.frozen],
            "iteration": checkpoint.iteration,
            "network": checkpoint.network,
            "optimizer": checkpoint.optimizer,
            "seconds": checkpoint.seconds,
        },
        content,
    )
    new, last, before = checkpoint_paths(folder)
    write_bytes(new, content.getvalue(), "checkpoint")
    try:
        if last.exists():
            os.replace(last, before)
        os.replace(new, last)
    except OSError as error:
        raise system_error(error, f"cannot write the checkpoint {last}", ConfigError) from error


def load_checkpoint(folder: Path, settings: TrainSettings) -> Checkpoint:
    """The run's last checkpoint that is whole.

    Raises ConfigError if there is none or it belongs to other settings.
    """
    damage = None
    for path in checkpoint_paths(folder):
        if not path.exists():
            continue
        try:
            return _load(path, settings)
        except (_OtherSettings, ResourceError):
            raise
        except SolverError as error:
            damage = error
            logger.warning("%s; looking for the one before", error)
    if damage is not None:
        raise ConfigError(f"no checkpoint in {folder} is whole; start anew in another folder") from damage
    raise ConfigError(f"there is nothing to resume in {folder}; leave out --resume to start a new run")


class _OtherSettings(ConfigError):
    """The checkpoint is whole, and of another run."""


def _load(path: Path, settings: TrainSettings) -> Checkpoint:
    with reading(path, "checkpoint", ConfigError):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} in it is damaged")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, UnpicklingError) as error:  # whose words advise to run what is in the file
            raise ValueError("its content is damaged, or no checkpoint") from error
        before, now = content["settings"] | NOT_OF_THE_RESULT, asdict(settings) | NOT_OF_THE_RESULT
        changed = [key for key, value in now.items() if before.get(key) != value]
        if changed or len(before) != len(now):
            raise _OtherSettings(
                f"{path} was written with other settings ({', '.join(changed)}); restore them, or start anew in another folder"
            )
        frozen = [{k: v.numpy() for k, v in stage.items()} for stage in content["frozen"]]
        return Checkpoint(
            settings, frozen, int(content["iteration"]), content["network"], content["optimizer"], float(content["seconds"])
        )
