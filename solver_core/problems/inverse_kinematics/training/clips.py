# SPDX-License-Identifier: Apache-2.0
"""Motion capture clips of one skeleton, read once and kept in a cache file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from solver_core.caching import cached_arrays
from solver_core.errors import ConfigError, SetupError
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.reading import read_json, reading

FOLDERS = {"train_retargeted": "bvh_retargeted"}  # every other split lies in bvh


def split_clips(data: Path, split: str) -> list[Path]:
    """Files of a split of the folder `data`/mocap, as its splits.json lists them.  Raises ConfigError."""
    folder = data / "mocap"
    try:
        splits = read_json(folder / "splits.json", "splits")
    except SetupError as error:
        raise ConfigError(f"{data} is no data folder for inverse kinematics: {error}") from error
    if not isinstance(splits, dict) or split not in splits:
        raise ConfigError(f"{folder / 'splits.json'} has no split {split!r}")
    return [folder / FOLDERS.get(split, "bvh") / f"{clip}.bvh" for clip in splits[split]]


def without_subjects(clips: list[Path], subjects: list[str]) -> list[Path]:
    """Clips whose name, "<subject>_<trial>.bvh", starts with none of the subjects."""
    return [clip for clip in clips if clip.name.split("_")[0] not in subjects]


def load_rotations(clips: list[Path]) -> np.ndarray:
    """(F, J, 4) float32 joint rotations of all frames of all clips, one after another; all of the same skeleton."""
    state = []
    for clip in clips:
        with reading(clip, "clip", ConfigError):
            state.append((str(clip.resolve()), clip.stat().st_mtime_ns, clip.stat().st_size))
    name = f"clips-{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}"
    return cached_arrays(name, lambda: {"rotations": _read_rotations(clips)})["rotations"]


def _read_rotations(clips: list[Path]) -> np.ndarray:
    motions = [read_bvh(clip) for clip in clips]
    first = motions[0].skeleton
    for clip, motion in zip(clips, motions, strict=True):
        if motion.skeleton.names != first.names:
            raise ConfigError(f"{clip} has another skeleton than {clips[0]}")
    return np.concatenate([motion.rotations[:, first.joints] for motion in motions]).astype(np.float32)
