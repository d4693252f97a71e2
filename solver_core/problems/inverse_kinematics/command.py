# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve inverse_kinematics`: its options, files and pictures."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import solver_core
from solver_core.command import console
from solver_core.command.arguments import add_options, add_places, add_shard, options_from
from solver_core.command.folder import Task, Words, require_for_many, run_tasks, tasks_of
from solver_core.command.pictures import write_animation, write_picture
from solver_core.errors import ConfigError, SetupError
from solver_core.optional import needed_for
from solver_core.problems.inverse_kinematics.drawing import View, draw_strip
from solver_core.problems.inverse_kinematics.files.bodies import body_path, limits_path
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.files.maps import Map, read_limits, read_map
from solver_core.problems.inverse_kinematics.files.motions import KINDS, check_kind, write_motion
from solver_core.problems.inverse_kinematics.files.points import UNITS
from solver_core.problems.inverse_kinematics.files.targets import AXES, NamedTargets, checked_unit, read_targets
from solver_core.problems.inverse_kinematics.folder import clips_in, is_folder_of_clips
from solver_core.problems.inverse_kinematics.names.mapping import body_map
from solver_core.problems.inverse_kinematics.placing import fit_to_skeleton
from solver_core.problems.inverse_kinematics.robots.command import OF_FOLDERS
from solver_core.problems.inverse_kinematics.robots.command import run as run_robot
from solver_core.problems.inverse_kinematics.robots.files import SUFFIXES as ROBOTS
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.rest_pose import RestPose
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import (
    KinematicOptions,
    KinematicResult,
    KinematicStep,
    OnStep,
    solve_inverse_kinematics,
)
from solver_core.writing import write_text

HELP = "Finds the rotations of a skeleton's joints from positions of all or some of them."
EXAMPLE = "solver_core solve ik --skeleton rest.bvh --targets points.csv --out motion.bvh --picture motion.png"

STRIP_FRAMES = 6
ANIMATION_FRAMES = 60
WORDS = Words("clip", "motion")
OF_ONE_CLIP = ("json", "write_map", "picture", "animation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument(
        "--skeleton",
        type=Path,
        required=True,
        metavar="FILE",
        help="the skeleton to pose, a BVH file, or a robot, URDF or MJCF",
    )
    files.add_argument(
        "--targets",
        type=Path,
        required=True,
        metavar="FILE",
        help="positions of its joints: bvh, csv, trc, c3d, npy, npz, json; or a folder of clips",
    )
    files.add_argument(
        "--map", type=Path, metavar="JSON", help="which joint is which, where names do not say it (see --write-map)"
    )
    files.add_argument(
        "--write-map", action=console.Output, metavar="JSON", help="write the map that was found, to be edited for --map"
    )
    files.add_argument(
        "--limits", type=Path, metavar="JSON", help="ranges of the joint angles, degrees (default: those beside the weights)"
    )
    files.add_argument(
        "--rest",
        metavar="FRAME|BVH",
        help="a pose in which it stands, if its rest pose does not: one of its frames, or a file",
    )
    files.add_argument("--out", type=Path, metavar="FILE", help="the motion: bvh, npz or csv; a folder for a folder of clips")
    files.add_argument("--json", action=console.Output, metavar="JSON", help="also write the result here")
    files.add_argument("--picture", action=console.Output, metavar="PNG", help="draw some frames with their targets")
    files.add_argument("--animation", action=console.Output, metavar="GIF", help="draw the motion with its targets")
    states = parser.add_argument_group("what files do not state")
    states.add_argument(
        "--unit",
        type=console.Suggesting(UNITS),
        metavar="U",
        help="unit of the targets: m, cm, mm or a number of metres (default: found)",
    )
    states.add_argument(
        "--skeleton-unit", type=console.Suggesting(UNITS), metavar="U", help="unit of the skeleton's file (default: found)"
    )
    states.add_argument(
        "--up", choices=AXES, metavar="AXIS", help="axis of the targets that points up: x, -x, y, -y, z or -z (default: found)"
    )
    states.add_argument(
        "--fps", type=float, metavar="X", help="frames a second (default: of the targets, else of the skeleton)"
    )
    folder = parser.add_argument_group("a folder of clips")
    add_places(folder, "clips solved")
    add_shard(folder)
    kinds = [kind[1:] for kind in KINDS]
    folder.add_argument("--format", choices=kinds, metavar="KIND", help="of the motions: bvh, npz or csv (default: bvh)")
    add_options(parser, KinematicOptions)


def run(args: argparse.Namespace) -> int:
    """Exit code of the verdict, or of the worst of a folder.  Raises SolverError for wrong input."""
    if args.skeleton.suffix.lower() in ROBOTS:
        return run_robot(args)
    if is_folder_of_clips(args.targets):
        return _run_folder(args)
    for name, default in OF_FOLDERS.items():
        if getattr(args, name) != default:
            raise ConfigError(f"--{name} is for a folder of clips, and {args.targets} is one clip")
    if args.out is not None:
        check_kind(args.out)
        console.name_output(args, "--out", args.out)
    with console.checked_outputs(args):
        return _run_clip(args)


def _run_clip(args: argparse.Namespace) -> int:
    inputs = _Inputs.read(args)
    with console.progress("solving") as show:
        targets, result = inputs.solve(args.targets, lambda step: show(_words_of(step)))
    motion = inputs.motion(targets, result)
    if args.out is not None:
        write_motion(args.out, motion)
    if args.write_map is not None:
        write_text(args.write_map, json.dumps(inputs.found_map(result), indent=2) + "\n", "map")
    if args.picture is not None or args.animation is not None:
        assert result.matching is not None  # files name their targets
        _draw(args, motion, fit_to_skeleton(targets, result.matching, inputs.standing).positions)
    console.print_result(_content(result), args.json)
    return console.conclude(result.verdict, result.explanation)


def _run_folder(args: argparse.Namespace) -> int:
    """Exit code 0 if all clips are good.  Raises SolverError."""
    require_for_many(args, WORDS, args.targets, OF_ONE_CLIP)
    inputs = _Inputs.read(args)
    files = {
        f"--{name}": path for name in ("skeleton", "map", "limits", "weights") if (path := getattr(args, name)) is not None
    }
    if args.rest is not None and not args.rest.isdecimal():
        files["--rest"] = Path(args.rest)
    if args.weights is not None:
        beside = {"body": body_path(args.weights), "limits": limits_path(args.weights)}
        files |= {f"the {what} of --weights": path for what, path in beside.items() if path.exists()}
    tasks = tasks_of(clips_in(args.targets), args.out, WORDS, files, f".{args.format or 'bvh'}")
    settings = repr((solver_core.__version__, inputs.options, args.unit, args.skeleton_unit, args.up, args.fps, args.rest))
    return run_tasks(tasks, inputs.solve_clip, WORDS, args, list(files.values()), settings)


@dataclass(frozen=True)
class _Inputs:
    """What all clips of a command line have in common."""

    own: Motion
    rest: np.ndarray | None
    known: Map
    limits: np.ndarray | None
    options: KinematicOptions
    unit: str | None
    up: str | None
    fps: float | None

    @classmethod
    def read(cls, args: argparse.Namespace) -> _Inputs:
        """Raises SolverError."""
        if args.floor is not None and args.feet != "plant":
            raise ConfigError("--floor is where feet are planted; add --feet plant")
        own = read_bvh(args.skeleton, checked_unit(args.skeleton_unit, "--skeleton-unit"))
        known = Map() if args.map is None else read_map(args.map)
        rest = None if args.rest is None else _rest_pose(args.rest, own, args.skeleton)
        limits = _limits(args, own.skeleton)
        return cls(own, rest, known, limits, options_from(args, KinematicOptions), args.unit, args.up, args.fps)

    @property
    def standing(self) -> Skeleton:
        """The skeleton with the pose as its rest that counts as such."""
        return self.own.skeleton if self.rest is None else RestPose.checked(self.own.skeleton, self.rest).skeleton

    def solve(self, path: Path, on_step: OnStep | None = None) -> tuple[NamedTargets, KinematicResult]:
        targets = read_targets(path, self.unit, self.up, self.fps)
        result = solve_inverse_kinematics(
            targets,
            self.own.skeleton,
            limits=self.limits,
            options=self.options,
            on_step=on_step,
            mapping=self.known.body,
            target_map=self.known.targets,
            rest=self.rest,
        )
        return targets, result

    def found_map(self, result: KinematicResult) -> dict[str, Any]:
        """What read_map reads: which joint was taken for which."""
        found = body_map(self.standing)
        body = self.known.body or ({} if found is None else found.node_of)
        return {"body": body, "targets": {} if result.matching is None else result.matching.targets}

    def motion(self, targets: NamedTargets, result: KinematicResult) -> Motion:
        own = self.own
        frame_time = targets.frame_time or own.frame_time
        return Motion(own.skeleton, result.rotations, result.root, frame_time, own.orders, own.metres_per_unit)

    def solve_clip(self, clip: Task) -> dict[str, Any]:
        """Writes the motion of a clip; its result without the steps."""
        targets, result = self.solve(clip.source, lambda step: console.print_step(_words_of(step)))
        assert clip.product is not None  # WORDS name it
        write_motion(clip.product, self.motion(targets, result))
        content = _content(result)
        del content["steps"]
        return content


def add_train_arguments(parser: argparse.ArgumentParser, source: Any) -> None:
    """What `solver_core train inverse_kinematics` takes beside a recipe; `source` is a group of which the user names one."""
    source.add_argument("--rig", type=Path, metavar="BVH", help="a non-human skeleton, instead of a recipe")
    parser.add_argument(
        "--motion", type=Path, nargs="+", default=[], metavar="BVH", help="motions to learn poses from (default: the rig's own)"
    )
    parser.add_argument(
        "--limits",
        type=Path,
        metavar="JSON",
        help="ranges of its joint angles, degrees; without --motion, poses are drawn from them",
    )


def prepare_training(args: argparse.Namespace, out: Path) -> Path:
    """The recipe to train with.  Raises SolverError if the rig and what is known of it do not fit."""
    if args.rig is not None:
        with needed_for("training", extra="train"):
            from solver_core.problems.inverse_kinematics.training.rig import prepare_rig
        return prepare_rig(args.rig, args.motion, args.limits, out)
    if args.motion or args.limits is not None:
        raise ConfigError("--motion and --limits belong to --rig; a recipe names its own")
    return args.config


def _rest_pose(text: str, own: Motion, path: Path) -> np.ndarray:
    """(N, 4) wxyz: of a frame of the skeleton's file or, by the names of joints, of another file.  Raises SolverError."""
    if text.isdecimal():
        if not 1 <= int(text) <= own.num_frames:
            raise ConfigError(f"--rest asks for frame {text[:20]}, and {path} has the frames 1 to {own.num_frames}")
        return own.rotations[int(text) - 1]
    other = read_bvh(Path(text))
    missing = [name for name in own.skeleton.joint_names if name not in other.skeleton.joint_names]
    if missing:
        raise SetupError(
            f"the rest pose of {text} has no joint {missing[0]!r}, which {path} has; it must be of the same skeleton"
        )
    pose = np.tile([1.0, 0, 0, 0], (own.skeleton.num_nodes, 1))
    pose[own.skeleton.joints] = other.rotations[0, [other.skeleton.index(name) for name in own.skeleton.joint_names]]
    return pose


def _limits(args: argparse.Namespace, skeleton: Skeleton) -> np.ndarray | None:
    """(N, 3, 2) radians: those the user names, else those that the networks were trained within, if any."""
    path = args.limits
    if path is None and args.weights is not None and limits_path(args.weights).exists():
        path = limits_path(args.weights)
    return None if path is None else read_limits(path, skeleton)


def _draw(args: argparse.Namespace, motion: Motion, targets: np.ndarray) -> None:
    positions = motion.positions()
    view = View(motion.skeleton, positions)
    if args.picture is not None:
        frames = np.unique(np.linspace(0, motion.num_frames - 1, STRIP_FRAMES).astype(int))
        write_picture(args.picture, draw_strip(view, positions, targets, frames.tolist()))
    if args.animation is not None:
        frames = np.unique(np.linspace(0, motion.num_frames - 1, ANIMATION_FRAMES).astype(int))
        milliseconds = round(1000 * motion.frame_time * motion.num_frames / len(frames))
        write_animation(args.animation, [view.draw(positions[f], targets[f]) for f in frames], milliseconds)


def _words_of(step: KinematicStep) -> str:
    return f"{step.phase}, {100 * step.energy:.3f} cm off"


def _feet(result: KinematicResult) -> dict[str, Any]:
    """How feet stand, before they were planted and now; empty where that was not asked for."""
    if result.footing is None:
        return {}
    before, now = result.footing
    return {
        "slide_mm": round(1000 * now.slide, 3),
        "slide_before_mm": round(1000 * before.slide, 3),
        "penetration_mm": round(1000 * now.penetration, 3),
        "penetration_before_mm": round(1000 * before.penetration, 3),
    }


def _content(result: KinematicResult) -> dict[str, Any]:
    """The result as it is printed; the rotations are in the motion file."""
    error_cm = 100 * result.position_error
    return {
        "frames": len(result.rotations),
        "targets_per_frame": round(float(np.isfinite(error_cm).sum(axis=1).mean()), 1),
        "position_mean_cm": round(float(np.nanmean(error_cm)), 5),
        "position_median_cm": round(float(np.nanmedian(error_cm)), 5),
        "worst_frame_cm": round(float(np.nanmean(error_cm[np.isfinite(error_cm).any(axis=1)], axis=1).max()), 5),
        "noise_cm": round(100 * result.noise, 3),
        "scale": round(result.scale, 4),
        "targets_bridged": int(result.is_bridged.sum()),
        "feet": _feet(result),
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "reasons": {reason.value: count for reason, count in Counter(result.reasons).items()},
        "notices": list(result.notices),
        "matching": {} if result.matching is None else result.matching._asdict(),
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
