"""Reads the targets and maps that users bring."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics


@dataclass(frozen=True, eq=False)
class NamedTargets:
    """Positions (F, M, 3) in metres of M named points, nan where missing; frame_time in seconds, None = not stated."""

    names: tuple[str, ...]
    positions: np.ndarray
    frame_time: float | None = None


def read_targets(path: Path) -> NamedTargets:
    """Targets of a .bvh (its joints), .csv (columns name_x, name_y, name_z) or .npz (positions, names, frame_time).

    Raises ObservationError.
    """
    readers = {".bvh": _read_bvh_targets, ".csv": _read_csv, ".npz": _read_npz}
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ObservationError(f"cannot read the targets {path}: the name must end in {', '.join(readers)}")
    if not path.is_file():
        raise ObservationError(f"cannot read the targets {path}: there is no such file")
    return readers[suffix](path)


def _read_bvh_targets(path: Path) -> NamedTargets:
    motion = read_bvh(path)
    skeleton = motion.skeleton
    offsets = np.broadcast_to(skeleton.offsets, (motion.num_frames, *skeleton.offsets.shape))
    positions = forward_kinematics(skeleton, offsets, motion.rotations[:, skeleton.joints]).positions
    return NamedTargets(skeleton.names, positions + motion.root[:, None], motion.frame_time)


def _read_csv(path: Path) -> NamedTargets:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            header, *lines = [line for line in csv.reader(file) if line] or [[]]
        columns = [name.strip() for name in header]
        values = [[float(value) if value.strip() else np.nan for value in line] for line in lines]
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ObservationError(f"cannot read the targets {path}: {error}") from error
    names = list(dict.fromkeys(column[:-2] for column in columns if column.endswith(("_x", "_y", "_z"))))
    wanted = [f"{name}_{axis}" for name in names for axis in "xyz"]
    if not names or not set(wanted) <= set(columns):
        raise ObservationError(f"the targets {path} need the columns name_x, name_y and name_z for every joint")
    if len(values) == 0:
        raise ObservationError(f"the motion is empty: the targets {path} hold no frames")
    short = next((number for number, line in enumerate(values, start=2) if len(line) != len(columns)), None)
    if short is not None:
        raise ObservationError(f"line {short} of the targets {path} does not have the {len(columns)} values of the header")
    picked = np.array(values)[:, [columns.index(column) for column in wanted]]
    return NamedTargets(tuple(names), picked.reshape(len(values), len(names), 3))


def _read_npz(path: Path) -> NamedTargets:
    try:
        with np.load(path) as content:
            names = tuple(str(name) for name in content["names"])
            positions = np.asarray(content["positions"], dtype=np.float64)
            frame_time = float(content["frame_time"]) if "frame_time" in content else None
    except (OSError, ValueError, KeyError) as error:
        raise ObservationError(f"the targets {path} need the arrays positions and names: {error}") from error
    if positions.ndim == 2:
        positions = positions[None]
    if positions.ndim != 3 or positions.shape[1:] != (len(names), 3):
        raise ObservationError(f"the targets {path} have {len(names)} names and positions of shape {positions.shape}")
    if frame_time is not None and not frame_time > 0:
        raise ObservationError(f"the targets {path} have a frame time of {frame_time:g}; it must be positive seconds")
    return NamedTargets(names, positions, frame_time)
