# SPDX-License-Identifier: Apache-2.0
"""Reads where links of a robot are to be and how turned, and writes joint values."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.errors import ConfigError, ObservationError
from solver_core.problems.inverse_kinematics.files.tables import read_quaternions
from solver_core.problems.inverse_kinematics.files.targets import read_targets
from solver_core.problems.inverse_kinematics.robots.robot import Robot
from solver_core.problems.inverse_kinematics.robots.solve import RobotResult
from solver_core.reading import read_arrays, reading
from solver_core.writing import whole_file, write_text

KINDS = (".csv", ".npz")
TABLES = (".csv", ".tsv", ".txt")


class NamedLinks(NamedTuple):
    """poses: link -> (F, 7) metres and wxyz, nan where not given.  frame_time: seconds, None if unknown."""

    poses: dict[str, np.ndarray]
    frame_time: float | None


def read_link_targets(path: Path, unit: str | float | None = None, fps: float | None = None) -> NamedLinks:
    """Targets of links from what read_targets reads, and their orientations where the file has them.

    That is, columns link_qw, link_qx, link_qy and link_qz of a table beside link_x, link_y and link_z, or an array rotations
    (F, T, 4) wxyz beside names and positions of a npz file.
    Raises ObservationError, also if a link has some of these columns only, or ConfigError.
    """
    found = read_targets(path, "m" if unit is None else unit, fps=fps)
    poses = np.full((*found.positions.shape[:2], 7), np.nan)
    poses[..., :3] = found.positions
    with reading(path, "targets", ObservationError):
        if path.suffix.lower() in TABLES:
            for name, wxyz in read_quaternions(path, found.names).items():
                poses[:, found.names.index(name), 3:] = wxyz
        elif path.suffix.lower() == ".npz" and "rotations" in (content := read_arrays(path)):
            if content["rotations"].shape != (*found.positions.shape[:2], 4) or content["rotations"].dtype.kind not in "fiu":
                raise ValueError(f"its rotations must be numbers of shape {(*found.positions.shape[:2], 4)}, wxyz")
            poses[..., 3:] = content["rotations"]
    return NamedLinks({name: poses[:, number] for number, name in enumerate(found.names)}, found.frame_time)


def check_kind(path: Path) -> None:
    """Raises ConfigError unless joint values can be written under the name."""
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"cannot write the joint values {path}: the name must end in {' or '.join(KINDS)}")


def write_joint_values(path: Path, robot: Robot, result: RobotResult, frame_time: float | None) -> None:
    """Writes a result as the end of its name says.

    .npz: joint_names, joint_values (F, D), link_names, link_positions (F, K, 3) and link_rotations (F, K, 4) wxyz in the base,
    frame_time where it is known.  .csv: a line a frame with its time, the values, and the position and wxyz of the links that
    had targets.
    Raises ConfigError or ResourceError if it cannot be written.
    """
    check_kind(path)
    poses = robot.poses(result.joint_values)
    wxyz = rotations.wxyz_from_matrix(poses.orientations)
    if path.suffix.lower() == ".npz":
        with whole_file(path, "joint values") as part:
            np.savez(
                part,
                joint_names=np.array(result.joint_names),
                joint_values=result.joint_values,
                link_names=np.array(robot.link_names),
                link_positions=poses.positions,
                link_rotations=wxyz,
                **({} if frame_time is None else {"frame_time": np.array(frame_time)}),
            )
        return
    links = [robot.link_names.index(name) for name in result.link_names]
    titles = [f"{name}_{part}" for name in result.link_names for part in ("x", "y", "z", "qw", "qx", "qy", "qz")]
    of_links = np.concatenate([poses.positions, wxyz], axis=2)[:, links].reshape(len(wxyz), -1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", *([] if frame_time is None else ["time"]), *result.joint_names, *titles])
    for frame, row in enumerate(np.concatenate([result.joint_values, of_links], axis=1)):
        time = [] if frame_time is None else [f"{frame * frame_time:.6g}"]
        writer.writerow([frame, *time, *(f"{value:.9g}" for value in row)])
    write_text(path, text.getvalue(), "joint values")
