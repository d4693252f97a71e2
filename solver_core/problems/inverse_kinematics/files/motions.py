# SPDX-License-Identifier: Apache-2.0
"""Writes motions: BVH for programs of animators, npz and CSV for programs of one's own."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from solver_core.errors import ConfigError
from solver_core.problems.inverse_kinematics.files.bvh import write_bvh
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.writing import whole_file, write_text

KINDS = (".bvh", ".npz", ".csv")


def check_kind(path: Path) -> None:
    """Raises ConfigError unless the name of a motion ends in one of KINDS."""
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"cannot write the motion {path}: the name must end in {', '.join(KINDS)}")


def write_motion(path: Path, motion: Motion) -> None:
    """Writes a motion as the end of its name says.

    .bvh: the skeleton and Euler angles.  .npz: rotations (F, N, 4) wxyz in the parents' frames, root (F, 3) and positions
    (F, N, 3) in metres, names, parents, offsets (N, 3), frame_time.  .csv: a line a frame with its time, the position of
    every node, in metres, and the rotation of every joint, wxyz.
    Raises ConfigError or ResourceError if it cannot be written.
    """
    check_kind(path)
    write = {".bvh": write_bvh, ".npz": _write_npz, ".csv": _write_csv}[path.suffix.lower()]
    write(path, motion)


def _write_npz(path: Path, motion: Motion) -> None:
    skeleton = motion.skeleton
    with whole_file(path, "motion") as part:
        np.savez(
            part,
            names=np.array(skeleton.names),
            parents=skeleton.parents,
            offsets=skeleton.offsets,
            rotations=motion.rotations,
            root=motion.root,
            positions=motion.positions(),
            frame_time=motion.frame_time,
        )


def _write_csv(path: Path, motion: Motion) -> None:
    skeleton = motion.skeleton
    titles = [f"{name}_{axis}" for name in skeleton.names for axis in "xyz"]
    titles += [f"{name}_q{part}" for name in skeleton.joint_names for part in "wxyz"]
    frames = np.arange(motion.num_frames)
    times = frames[:, None] * motion.frame_time
    rotations = motion.rotations[:, skeleton.joints].reshape(motion.num_frames, -1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "time", *titles])
    values = np.concatenate([times, motion.positions().reshape(motion.num_frames, -1), rotations], axis=1)
    writer.writerows([frame, *(f"{value:.6g}" for value in row)] for frame, row in zip(frames, values, strict=True))
    write_text(path, text.getvalue(), "motion")
