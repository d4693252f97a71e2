# SPDX-License-Identifier: Apache-2.0
"""`solver_core evaluate inverse_kinematics`: clips, each solved from the positions of its own joints."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.command.evaluation import Case, Measured
from solver_core.errors import ConfigError
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.solve import KinematicOptions, solve_inverse_kinematics

OPTIONS = KinematicOptions
DATA = "a folder of clips in bvh, whose joints are the targets and whose rotations are the true ones"


def cases(folder: Path, options: KinematicOptions) -> list[Case]:
    """The clips of a folder and of those in it.  Raises ConfigError if there are none."""
    clips = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".bvh")
    if not clips:
        raise ConfigError(f"{folder} holds no clips; their names must end in .bvh")
    return [Case(str(path.relative_to(folder)), partial(_measure, path, options)) for path in clips]


def _measure(path: Path, options: KinematicOptions) -> Measured:
    """Errors: mean distance of the joints from their targets, mean angle of their rotations."""
    motion = read_bvh(path)
    result = solve_inverse_kinematics(motion.positions(), motion.skeleton, options=options)
    joints = motion.skeleton.joints
    angles = rotations.angle_between(result.rotations[:, joints], motion.rotations[:, joints])
    errors = {
        "position_cm": 100 * float(np.nanmean(result.position_error)),
        "rotation_deg": float(np.degrees(angles).mean()),
    }
    return Measured(errors, result.verdict, result.seconds)
