"""`solver_core solve inverse_kinematics`: its options, files and pictures."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.command import console
from solver_core.command.arguments import add_options, options_from
from solver_core.command.pictures import write_animation, write_picture
from solver_core.errors import ConfigError
from solver_core.problems.inverse_kinematics.drawing import View, draw_strip
from solver_core.problems.inverse_kinematics.files.bodies import limits_path
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.files.maps import Map, read_limits, read_map
from solver_core.problems.inverse_kinematics.files.targets import read_targets
from solver_core.problems.inverse_kinematics.names.mapping import body_map, targets_of_skeleton
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import KinematicOptions, KinematicResult, solve_inverse_kinematics
from solver_core.problems.inverse_kinematics.solver.guide import Trained
from solver_core.problems.inverse_kinematics.training.rig import prepare_rig
from solver_core.writing import write_text

HELP = "Finds the rotations of a skeleton's joints from positions of all or some of them."
EXAMPLE = "solver_core solve ik --skeleton rest.bvh --targets points.csv --out motion.bvh --picture motion.png"

STRIP_FRAMES = 6
ANIMATION_FRAMES = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument(
        "--skeleton", type=Path, required=True, metavar="BVH", help="the skeleton, and the frame time of csv targets"
    )
    files.add_argument("--targets", type=Path, required=True, metavar="FILE", help="positions in metres: bvh, csv or npz")
    files.add_argument("--map", type=Path, metavar="JSON", help="which joint is which, where the names do not tell")
    files.add_argument(
        "--write-map", action=console.Output, metavar="JSON", help="write the map found by the names here, to edit"
    )
    files.add_argument("--limits", type=Path, metavar="JSON", help="ranges of joint angles in degrees (default: the rig's)")
    files.add_argument("--weights", type=Path, metavar="FILE", help="networks trained for this skeleton (train ik --rig)")
    files.add_argument("--out", action=console.Output, metavar="BVH", help="write the motion here")
    files.add_argument("--json", action=console.Output, metavar="JSON", help="also write the result here")
    files.add_argument("--picture", action=console.Output, metavar="PNG", help="some frames, with their targets")
    files.add_argument("--animation", action=console.Output, metavar="GIF", help="the motion, with its targets")
    parser.add_argument("--unit", type=float, metavar="METRES", help="of the skeleton's file (default: guessed, 0.01 or 1)")
    add_options(parser, KinematicOptions)


def run(args: argparse.Namespace) -> int:
    """Exit code of the verdict.  Raises SolverError for wrong input."""
    if args.unit is not None and not args.unit > 0:
        raise ConfigError(f"--unit must be a positive number of metres, got {args.unit:g}")
    rest = read_bvh(args.skeleton, args.unit)
    skeleton = rest.skeleton
    named = read_targets(args.targets)
    known = Map() if args.map is None else read_map(args.map)
    with console.progress("solving") as show:
        result = solve_inverse_kinematics(
            named,
            skeleton,
            limits=_limits(args, skeleton),
            options=options_from(args, KinematicOptions),
            on_step=lambda step: show(f"{step.phase}, {100 * step.energy:.3f} cm off"),
            mapping=known.body,
            target_map=known.targets,
            trained=None if args.weights is None else Trained.load(args.weights),
        )
    motion = Motion(
        skeleton, result.rotations, result.root, named.frame_time or rest.frame_time, rest.orders, rest.metres_per_unit
    )
    if args.out is not None:
        write_bvh(args.out, motion)
    if args.write_map is not None:
        found = {"body": known.body or getattr(body_map(skeleton), "node_of", {}), "targets": result.matching.targets}
        write_text(args.write_map, json.dumps(found, indent=2) + "\n", "map")
    if args.picture is not None or args.animation is not None:
        _draw(args, motion, targets_of_skeleton(named, result.matching, skeleton))
    console.print_result(_content(result), args.json)
    return console.conclude(result.verdict, result.explanation)


def add_train_arguments(parser: argparse.ArgumentParser, source: Any) -> None:
    """What `solver_core train inverse_kinematics` takes beside a recipe; `source` is a group of which the user names one."""
    source.add_argument("--rig", type=Path, metavar="BVH", help="instead of a recipe: a skeleton that is no human")
    parser.add_argument("--motion", type=Path, nargs="+", default=[], metavar="BVH", help="poses of the rig (default its own)")
    parser.add_argument(
        "--limits", type=Path, metavar="JSON", help="ranges of the rig's joints, degrees; without --motion its poses"
    )


def prepare_training(args: argparse.Namespace, out: Path) -> Path:
    """The recipe to train with.  Raises SolverError if the rig and what is known of it do not fit."""
    if args.rig is not None:
        return prepare_rig(args.rig, args.motion, args.limits, out)
    if args.motion or args.limits is not None:
        raise ConfigError("--motion and --limits belong to --rig; a recipe names its own")
    return args.config


def _limits(args: argparse.Namespace, skeleton: Skeleton) -> np.ndarray | None:
    """(N, 3, 2) radians: those the user names, else those that the networks were trained within, if any."""
    path = args.limits
    if path is None and args.weights is not None and limits_path(args.weights).exists():
        path = limits_path(args.weights)
    return None if path is None else read_limits(path, skeleton)


def _draw(args: argparse.Namespace, motion: Motion, targets: np.ndarray) -> None:
    skeleton = motion.skeleton
    offsets = np.broadcast_to(skeleton.offsets, targets.shape)
    positions = forward_kinematics(skeleton, offsets, motion.rotations[:, skeleton.joints]).positions
    positions = positions + motion.root[:, None]
    view = View(skeleton, positions)
    if args.picture is not None:
        frames = np.unique(np.linspace(0, motion.num_frames - 1, STRIP_FRAMES).astype(int))
        write_picture(args.picture, draw_strip(view, positions, targets, frames.tolist()))
    if args.animation is not None:
        frames = np.unique(np.linspace(0, motion.num_frames - 1, ANIMATION_FRAMES).astype(int))
        milliseconds = round(1000 * motion.frame_time * motion.num_frames / len(frames))
        write_animation(args.animation, [view.draw(positions[f], targets[f]) for f in frames], milliseconds)


def _content(result: KinematicResult) -> dict[str, Any]:
    """The result as it is printed; the rotations are in the BVH file."""
    error_cm = 100 * result.position_error
    return {
        "frames": len(result.rotations),
        "targets_per_frame": round(float(np.isfinite(error_cm).sum(axis=1).mean()), 1),
        "position_mean_cm": round(float(np.nanmean(error_cm)), 5),
        "position_median_cm": round(float(np.nanmedian(error_cm)), 5),
        "worst_frame_cm": round(float(np.nanmean(error_cm, axis=1).max()), 5),
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "reasons": {reason.value: count for reason, count in Counter(result.reasons).items()},
        "notices": list(result.notices),
        "seconds": round(result.seconds, 4),
        "steps": [
            {
                "phase": step.phase,
                "energy_cm": round(100 * step.energy, 5),
                "active": step.num_active,
                "seconds": round(step.seconds, 4),
            }
            for step in result.history
        ],
    }
