# SPDX-License-Identifier: Apache-2.0
"""Reads the positions of named points that users bring, from the files of captures, estimators and generators."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core.checks import checked_array, checked_kind, checked_path, is_number
from solver_core.errors import ConfigError, ObservationError, shown
from solver_core.problems.inverse_kinematics.files.arrays import read_npy, read_npz
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.files.c3d import read_c3d
from solver_core.problems.inverse_kinematics.files.keypoints import read_json_points
from solver_core.problems.inverse_kinematics.files.points import UNITS, Points
from solver_core.problems.inverse_kinematics.files.tables import read_table, read_trc
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.reading import reading

log = logging.getLogger(__name__)

AXES = ("x", "-x", "y", "-y", "z", "-z")
LARGEST_IN_METRES, LARGEST_IN_CENTIMETRES = 10.0, 500.0  # extents of a frame; a person is 2 m, 200 cm or 2000 mm


@dataclass(frozen=True, eq=False)
class NamedTargets:
    """Positions (F, M, 3) in metres of M named points, nan where missing; frame_time in seconds, None = not stated.

    parents: (M,) number of the point that each hangs from, -1 = none, where the points are joints of a skeleton.
    skeleton, rotations: whose nodes the points are, or some of them, and (F, N, 4) wxyz in the parents' frames; None where
    only positions are known.
    up: the axis that points up, one of AXES, and is_unit_known: whether the unit was stated; where they were not, the solve
    compares with the skeleton.  notices: sentences about what was guessed and mended.
    Raises ObservationError if they do not belong together.
    """

    names: tuple[str, ...]
    positions: np.ndarray
    frame_time: float | None = None
    parents: tuple[int, ...] | None = None
    up: str | None = None
    is_unit_known: bool = True
    notices: tuple[str, ...] = ()
    skeleton: Skeleton | None = None
    rotations: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.names, tuple | list) or not all(isinstance(name, str) for name in self.names):
            raise ObservationError(f"names of targets must be a tuple of texts, got {shown(self.names)}")
        positions = checked_array(self.positions, "positions of targets", "(F, M, 3)", ObservationError)
        object.__setattr__(self, "positions", positions)
        shape = positions.shape
        if len(shape) != 3 or shape[1:] != (len(self.names), 3):
            raise ObservationError(f"positions of targets must be (F, {len(self.names)}, 3), one a name, got {shape}")
        if self.frame_time is not None and not (is_number(self.frame_time) and 0 < self.frame_time < np.inf):
            raise ObservationError(f"frame_time of targets must be positive seconds, got {shown(self.frame_time)}")
        if self.up is not None and not (isinstance(self.up, str) and self.up in AXES):
            raise ObservationError(f"up of targets must be one of {', '.join(AXES)}, got {shown(self.up)}")
        if not isinstance(self.is_unit_known, bool):
            raise ObservationError(f"is_unit_known of targets must be true or false, got {shown(self.is_unit_known)}")
        if self.parents is not None:
            parents = checked_array(self.parents, "parents of targets", "(M,)", ObservationError)
            if parents.shape != shape[1:2] or parents.dtype.kind not in "iu" or (parents >= shape[1]).any():
                raise ObservationError(f"parents of targets must be the numbers of {shape[1]} points, -1 = none")
        if (self.skeleton is None) != (self.rotations is None):
            raise ObservationError("targets with rotations need the skeleton that is turned, and the other way round")
        if self.skeleton is not None:
            checked_kind(self.skeleton, Skeleton, "skeleton of targets", "a solver_core.Skeleton", ObservationError)
            expected = (shape[0], self.skeleton.num_nodes, 4)
            rotations = checked_array(self.rotations, "rotations of targets", str(expected), ObservationError)
            object.__setattr__(self, "rotations", rotations)
            if rotations.shape != expected:
                raise ObservationError(f"rotations of targets must be {expected} wxyz, got {rotations.shape}")


def read_targets(
    path: str | Path, unit: float | str | None = None, up: str | None = None, fps: float | None = None
) -> NamedTargets:
    """Positions of named points over time.

    Args:
        path: .bvh (its joints), .csv, .tsv or .txt (columns name_x, name_y, name_z, or frame, name, x, y, z, or DeepLabCut's;
            any separator), .trc, .c3d, .npy or .npz (named positions, AMASS, HumanML3D, MDM, joints of SMPL), .json (MediaPipe,
            OpenPose, MMPose), or a folder of OpenPose's JSON files.
        unit: of the positions, in metres or as "m", "cm", "mm"; None = as the file states, else guessed by their size.
        up: the axis that points up, "y", "z", "-y" and so on; None = as the file states, else found by the solve.
        fps: frames a second; None = as the file states.

    Returns:
        NamedTargets, which solve_inverse_kinematics takes.

    Raises:
        ObservationError: if the file cannot be read or holds no points in space.
        ConfigError: if unit, up or fps cannot be used.
    """
    path = checked_path(path, "path", ObservationError)
    metres = checked_unit(unit)
    if up is not None and not (isinstance(up, str) and up in AXES):
        raise ConfigError(f"up must be one of {', '.join(AXES)}, got {shown(up)}")
    if fps is not None and not (is_number(fps) and 0 < fps < np.inf):
        raise ConfigError(f"fps must be a positive number of frames a second, got {shown(fps)}")
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return _of_bvh(path, metres, up, fps)
    if os.path.isdir(path):  # noqa: PTH112  (Path.is_dir raises for what can be no name)
        points = _read_folder(path)
    elif suffix in READERS:
        with reading(path, "targets", ObservationError):
            points = READERS[suffix](path)
    else:
        raise ObservationError(f"cannot read the targets {path}: the name must end in .bvh, {', '.join(READERS)}")
    if points.positions.size == 0:
        raise ObservationError(f"the targets {path} hold no points")
    targets = _in_metres(points, metres, up, fps)
    for notice in targets.notices:
        log.warning("%s: %s", path, notice)
    return targets


def _of_bvh(path: Path, metres: float | None, up: str | None, fps: float | None) -> NamedTargets:
    motion = read_bvh(path, metres)
    names, parents = motion.skeleton.names, tuple(motion.skeleton.parents.tolist())
    frame_time = motion.frame_time if fps is None else 1 / fps
    turned = (motion.skeleton, motion.rotations)
    return NamedTargets(names, motion.positions(), frame_time, parents, up, metres is not None, motion.notices, *turned)


def _read_folder(path: Path) -> Points:
    try:
        return read_json_points(path)
    except ValueError as error:
        raise ObservationError(f"cannot read the targets {path}: {error}") from error


def _in_metres(points: Points, metres: float | None, up: str | None, fps: float | None) -> NamedTargets:
    notices = list(points.notices)
    known = metres or points.metres_per_unit
    if known is None:
        known = _guessed_unit(points.positions)
        if known != 1:
            unit = "centimetres" if known == 0.01 else "millimetres"
            notices.append(f"no unit is stated; by their size the positions are taken for {unit}")
    return NamedTargets(
        points.names,
        known * points.positions,
        points.frame_time if fps is None else 1 / fps,
        points.parents,
        up or points.up,
        (metres or points.metres_per_unit) is not None,
        tuple(notices),
        points.skeleton,
        points.rotations,
    )


def _guessed_unit(positions: np.ndarray) -> float:
    """Metres in the unit of positions (F, M, 3), by the median extent of a frame."""
    with np.errstate(invalid="ignore"):
        low = np.where(np.isfinite(positions), positions, np.inf).min(axis=1)
        high = np.where(np.isfinite(positions), positions, -np.inf).max(axis=1)
    extents = (high - low).max(axis=1)
    extent = float(np.median(extents[np.isfinite(extents)])) if np.isfinite(extents).any() else 0.0
    return 1.0 if extent <= LARGEST_IN_METRES else 0.01 if extent <= LARGEST_IN_CENTIMETRES else 0.001


def checked_unit(unit: float | str | None, name: str = "unit") -> float | None:
    """Metres in a unit that the user states, None if he does not.  Raises ConfigError that calls it `name`."""
    if isinstance(unit, str) and unit.lower() in UNITS:
        return UNITS[unit.lower()]
    try:
        metres = None if unit is None else float(unit)
    except (OverflowError, TypeError, ValueError):
        metres = 0.0
    if metres is not None and not 0 < metres < np.inf:
        raise ConfigError(f"{name} must be a positive number of metres or one of {', '.join(UNITS)}, got {shown(unit)}")
    return metres


READERS: dict[str, Callable[[Path], Points]] = {
    ".csv": read_table,
    ".tsv": read_table,
    ".txt": read_table,
    ".trc": read_trc,
    ".c3d": read_c3d,
    ".npy": read_npy,
    ".npz": read_npz,
    ".json": read_json_points,
}
