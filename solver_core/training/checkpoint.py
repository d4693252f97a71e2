"""The state of a training run on disk. [torch]"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solver_core.config import TrainSettings
from solver_core.errors import ConfigError


@dataclass
class Checkpoint:
    """Where a run stands: finished stages, and the network and optimiser of the one under way."""

    settings: TrainSettings
    frozen: list[dict[str, np.ndarray]]
    iteration: int
    network: dict[str, Any]
    optimizer: dict[str, Any]
    seconds: float


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Written beside and moved into place, so that an interruption leaves the last complete one."""
    beside = path.with_suffix(".partial")
    torch.save(
        {
            "settings": asdict(checkpoint.settings),
            "frozen": [{k: torch.from_numpy(v) for k, v in stage.items()} for stage in checkpoint.frozen],
            "iteration": checkpoint.iteration,
            "network": checkpoint.network,
            "optimizer": checkpoint.optimizer,
            "seconds": checkpoint.seconds,
        },
        beside,
    )
    os.replace(beside, path)


def load_checkpoint(path: Path, settings: TrainSettings) -> Checkpoint:
    """The run's last checkpoint.  Raises ConfigError if there is none or it belongs to other settings."""
    if not path.exists():
        raise ConfigError(f"there is nothing to resume: {path} does not exist; leave out --resume to start a new run")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if content["settings"] != asdict(settings):
        changed = [key for key, value in asdict(settings).items() if content["settings"].get(key) != value]
        raise ConfigError(
            f"{path} was written with other settings ({', '.join(changed)}); restore them, or start anew in another folder"
        )
    frozen = [{k: v.numpy() for k, v in stage.items()} for stage in content["frozen"]]
    return Checkpoint(settings, frozen, content["iteration"], content["network"], content["optimizer"], content["seconds"])
