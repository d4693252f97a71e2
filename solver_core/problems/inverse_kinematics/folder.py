# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are clips."""

from __future__ import annotations

from pathlib import Path

from solver_core.errors import ConfigError
from solver_core.problems.inverse_kinematics.files.targets import READERS

SUFFIXES = (".bvh", *READERS)
ONE_FRAME = "_keypoints.json"  # how the names of OpenPose's files end, of which each is one frame


def is_folder_of_clips(path: Path) -> bool:
    """Whether a path is a folder with clips, and not one with a file for each frame of a clip."""
    return path.is_dir() and not _is_one_clip(path)


def clips_in(folder: Path) -> list[Path]:
    """The clips of a folder by name.  Raises ConfigError if there are none."""
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES or _is_one_clip(path)]
    if not found:
        raise ConfigError(f"there are no clips in the folder {folder}; their names must end in {', '.join(SUFFIXES)}")
    return found


def _is_one_clip(path: Path) -> bool:
    """Whether a path is a folder with a file for each frame."""
    return path.is_dir() and any(path.iterdir()) and all(file.name.endswith(ONE_FRAME) for file in path.iterdir())
