"""Reads the targets and maps that users bring."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.reading import check_count, read_arrays, reading

MAX_CELLS = 200_000_000  # of a table: 200,000 frames of 300 points; 1.6 GB


@dataclass(frozen=True, eq=False)
class NamedTargets:
    """Positions (F, M, 3) in metres of M named points, nan where missing; frame_time in seconds, None = not stated.

    parents: (M,) number of the point that each hangs from, -1 = none, where the points are joints of a skeleton.
    """

    names: tuple[str, ...]
    positions: np.ndarray
    frame_time: float | None = None
    parents: tuple[int, ...] | None = None


def read_targets(path: str | Path) -> NamedTargets:
    """Targets of a .bvh (its joints), .csv (columns name_x, name_y, name_z) or .npz (positions, names, frame_time).

    Raises ObservationError.
    """
    readers = {".bvh": _read_bvh_targets, ".csv": _read_csv, ".npz": _read_npz}
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ObservationError(f"cannot read the targets {path}: the name must end in {', '.join(readers)}")
    with reading(path, "targets", ObservationError):
        return readers[suffix](path)


def _read_bvh_targets(path: Path) -> NamedTargets:
    motion = read_bvh(path)
    parents = tuple(motion.skeleton.parents.tolist())
    return NamedTargets(motion.skeleton.names, motion.positions(), motion.frame_time, parents)


def _read_csv(path: Path) -> NamedTargets:
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
        lines = csv.reader(file)
        columns = [name.strip() for name in next(lines, [])]
        place_of = {column: place for place, column in enumerate(columns)}
        names = list(dict.fromkeys(column[:-2] for column in columns if column.endswith(("_x", "_y", "_z"))))
        wanted = [f"{name}_{axis}" for name in names for axis in "xyz"]
        if not names or not set(wanted) <= set(columns):
            raise ValueError("it needs the columns name_x, name_y and name_z for every joint")
        places, frames = [place_of[column] for column in wanted], []
        for line in lines:
            if line:
                check_count((len(frames) + 1) * len(columns), MAX_CELLS, "cells")
                frames.append(_frame(line, len(columns), lines.line_num)[places])
    if not frames:
        raise ValueError("the motion is empty: it holds no frames")
    return NamedTargets(tuple(names), np.stack(frames).reshape(len(frames), len(names), 3))


def _frame(line: list[str], num_columns: int, number: int) -> np.ndarray:
    """(C,) values of a line, nan where there is nothing.  Raises ValueError."""
    if len(line) != num_columns:
        raise ValueError(f"line {number} does not have the {num_columns} values of the header")
    try:
        return np.array([float(value) if value.strip() else np.nan for value in line])
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from error


def _read_npz(path: Path) -> NamedTargets:
    content = read_arrays(path)
    if not {"names", "positions"} <= set(content):
        raise ValueError("it needs the arrays positions and names")
    positions, frame_time = content["positions"], content.get("frame_time")
    if positions.dtype.kind not in "fiu" or content["names"].dtype.kind != "U" or content["names"].ndim != 1:
        raise ValueError("positions must be numbers and names a list of texts")
    names = tuple(content["names"].tolist())
    if positions.ndim == 2:
        positions = positions[None]
    if positions.ndim != 3 or positions.shape[1:] != (len(names), 3) or len(positions) == 0:
        raise ValueError(f"it has {len(names)} names and positions of shape {positions.shape}")
    if frame_time is not None and not (frame_time.shape == () and frame_time.dtype.kind in "fiu" and 0 < frame_time < np.inf):
        raise ValueError(f"its frame time is {frame_time}; it must be positive seconds")
    return NamedTargets(names, positions.astype(np.float64), None if frame_time is None else float(frame_time))
