"""Reads the targets and maps that users bring."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import read_json
from solver_core.problems.inverse_kinematics.bvh import read_bvh
from solver_core.problems.inverse_kinematics.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.mapping import check_names, match_targets
from solver_core.problems.inverse_kinematics.skeleton import Skeleton


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


def targets_of_skeleton(targets: NamedTargets, skeleton: Skeleton, joints: dict[str, Sequence[str]] | None) -> np.ndarray:
    """(F, N, 3) for the nodes of a skeleton, nan where none is given.

    joints: names of the skeleton's nodes -> one or several target names, whose middle is taken; found when None.
    """
    if joints is None:
        joints = dict(match_targets(targets.names, skeleton))
    check_names(joints.keys(), skeleton.names, "the skeleton")
    positions = np.full((len(targets.positions), skeleton.num_nodes, 3), np.nan)
    for node, names in joints.items():
        check_names(names, targets.names, "the targets file")
        columns = [targets.names.index(name) for name in names]
        positions[:, skeleton.index(node)] = targets.positions[:, columns].mean(axis=1)
    return positions


@dataclass(frozen=True)
class Map:
    """Which joint is which; None = found by the names.

    body: nodes of the trained human -> joints of the skeleton.  targets: joints of the skeleton -> target names.
    """

    body: dict[str, str] | None = None
    targets: dict[str, Sequence[str]] | None = None


def read_map(path: Path) -> Map:
    """A map from JSON: {"body": {"hip": "pelvis", ...}, "targets": {"pelvis": ["left_hip", "right_hip"], ...}}, either or both.

    Raises SetupError.
    """
    content = read_json(path, "map")
    if not isinstance(content, dict) or not content or not set(content) <= {"body", "targets"}:
        raise SetupError(f'the map {path} must hold "body", "targets" or both')
    body, targets = content.get("body"), content.get("targets")
    if body is not None and not (isinstance(body, dict) and all(isinstance(name, str) for name in body.values())):
        raise SetupError(f'"body" in the map {path} must give one joint of the skeleton for every joint it names')
    if targets is None:
        return Map(body)
    if not (isinstance(targets, dict) and all(_is_entry(entry) for entry in targets.values())):
        raise SetupError(f'"targets" in the map {path} must give one or several targets for every joint it names')
    return Map(body, {node: (entry,) if isinstance(entry, str) else tuple(entry) for node, entry in targets.items()})


def read_limits(path: Path, skeleton: Skeleton) -> np.ndarray:
    """(N, 3, 2) radians from JSON in degrees: {"elbow": {"x": [0, 150], "y": [0, 0], "z": [0, 0]}}; others are free.

    Raises SetupError.
    """
    content = read_json(path, "limits")
    limits = np.tile([-np.inf, np.inf], (skeleton.num_nodes, 3, 1))
    if not isinstance(content, dict):
        raise SetupError(f"the limits {path} must give ranges for joints by name")
    check_names(content.keys(), skeleton.names, "the skeleton", f"the file {path}")
    for name, ranges in content.items():
        try:
            for axis, (lower, upper) in ranges.items():
                limits[skeleton.index(name), "xyz".index(axis)] = np.radians([float(lower), float(upper)])
        except (AttributeError, TypeError, ValueError) as error:
            raise SetupError(
                f'the limits of {name!r} in {path} must look like {{"x": [-20, 90]}}, degrees about x, y or z'
            ) from error
    return limits


def _is_entry(entry: object) -> bool:
    return isinstance(entry, str) or (isinstance(entry, list) and entry != [] and all(isinstance(n, str) for n in entry))


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
