# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve inverse_kinematics --skeleton robot.urdf`: joint values of a robot."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from solver_core.command import console
from solver_core.errors import ConfigError
from solver_core.options import options_of
from solver_core.problems.inverse_kinematics.robots.files import read_robot
from solver_core.problems.inverse_kinematics.robots.solve import RobotOptions, RobotResult, solve_robot
from solver_core.problems.inverse_kinematics.robots.targets import check_kind, read_link_targets, write_joint_values
from solver_core.problems.inverse_kinematics.solve import KinematicOptions

OF_FOLDERS = {"jobs": 1, "cluster": None, "shard": None, "format": None}  # flags of folders of clips, with their defaults
OF_SKELETONS = ("map", "write_map", "limits", "rest", "picture", "animation", "skeleton_unit", "up")


def run(args: argparse.Namespace) -> int:
    """Exit code of the verdict.  Raises SolverError for wrong input."""
    own = {one.name for one in options_of(RobotOptions)}
    others = {one.name: one.default for one in options_of(KinematicOptions) if one.name not in own}
    for name, default in (dict.fromkeys(OF_SKELETONS) | OF_FOLDERS | others).items():
        if (given := getattr(args, name)) != default:
            flag = f"--{'no-' * (given is False)}{name.replace('_', '-')}"
            raise ConfigError(f"{flag} belongs to skeletons, and {args.skeleton} is a robot")
    if args.out is not None:
        check_kind(args.out)
        console.name_output(args, "--out", args.out)
    with console.checked_outputs(args):
        robot = read_robot(args.skeleton)
        targets = read_link_targets(args.targets, args.unit, args.fps)
        options = RobotOptions(restarts=args.restarts, seed=args.seed)
        result = solve_robot(targets.poses, robot, options=options)
        if args.out is not None:
            write_joint_values(args.out, robot, result, targets.frame_time)
        console.print_result(_content(result), args.json)
        return console.conclude(result.verdict, result.explanation)


def _content(result: RobotResult) -> dict[str, Any]:
    return {
        "frames": len(result.joint_values),
        "joints": list(result.joint_names),
        "links": list(result.link_names),
        "reached": int(result.is_reached.sum()),
        "position_worst_mm": round(1000 * float(np.nanmax(result.position_error, initial=0)), 5),
        "angle_worst_deg": round(float(np.degrees(np.nanmax(result.angle_error, initial=0))), 5),
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "notices": list(result.notices),
        "seconds": round(result.seconds, 4),
    }
