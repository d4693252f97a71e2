# SPDX-License-Identifier: Apache-2.0
"""Test clips as motions, and how a solved motion is measured beside the true one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.training.clips import split_clips
from training.paper.evaluation import Errors, Row

NUM_FRAMES = 300  # of each clip, at most: five seconds
BIG_STEP_DEG = 60.0
DETAILS = ("thumb", "index", "mid", "ring", "pinky", "eye", "twist")  # parts of names of joints that are no body joints
SHIFTS = np.arange(-3, 3.01, 0.25)  # frames, among which the lag is found
IN_CONTACT = (0.03, 0.3)  # metres over the floor and metres a second, below which a foot stands


def test_motions(data: Path, count: int) -> list[Motion]:
    """The first frames of `count` test clips, spread over all of them."""
    clips = split_clips(data, "test")
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).astype(int))
    return [_first_frames(read_bvh(clips[number])) for number in chosen]


def _first_frames(motion: Motion) -> Motion:
    return replace(motion, rotations=motion.rotations[:NUM_FRAMES], root=motion.root[:NUM_FRAMES])


def node_positions(skeleton: Skeleton, rotation: np.ndarray, root: np.ndarray) -> np.ndarray:
    """(F, N, 3) for rotations (F, N, 4) and the root's positions (F, 3)."""
    offsets = np.broadcast_to(skeleton.offsets, (len(rotation), *skeleton.offsets.shape))
    return forward_kinematics(skeleton, offsets, rotation[:, skeleton.joints]).positions + root[:, None]


def is_body_joint(skeleton: Skeleton) -> np.ndarray:
    """(J,) bool, without fingers, eyes and twist bones."""
    return np.array([not any(part in name.lower() for part in DETAILS) for name in skeleton.joint_names])


def measure_motion(
    skeleton: Skeleton,
    found: tuple[np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray],
    is_given: np.ndarray,
    frame_time: float,
) -> Errors:
    """Errors of one motion, (1,) each, of rotations (F, N, 4) and root (F, 3) found and true.

    is_given: (F, N) where the targets were.
    """
    joints, is_body = skeleton.joints, is_body_joint(skeleton)
    positions, wanted = (node_positions(skeleton, *motion) for motion in (found, true))
    distance = 100 * np.linalg.norm(positions - wanted, axis=-1)
    angle = np.degrees(rotations.angle_between(found[0][:, joints], true[0][:, joints]))
    turns, true_turns = _turns(found[0][:, joints][:, is_body]), _turns(true[0][:, joints][:, is_body])
    steps, true_steps = (np.degrees(np.linalg.norm(turn, axis=-1)) for turn in (turns, true_turns))
    errors = {
        "rotation_deg": angle.mean(),
        "body_deg": angle[:, is_body].mean(),
        "position_cm": distance.mean(),
        "lost_cm": distance[~is_given].mean() if not is_given.all() else np.nan,
        "worst_frame_cm": distance.mean(axis=1).max(),
        "jitter": np.degrees(np.linalg.norm(np.diff(turns, axis=0), axis=-1)).mean(),
        "true_jitter": np.degrees(np.linalg.norm(np.diff(true_turns, axis=0), axis=-1)).mean(),
        "lag": _lag(positions, wanted),
        "big_steps": ((steps > BIG_STEP_DEG) & (true_steps <= BIG_STEP_DEG)).sum(),
        **_feet(skeleton, positions, wanted, frame_time),
    }
    return {name: np.array([value], float) for name, value in errors.items()}


def summary(errors: Errors) -> Row:
    """Means over the clips, the sum of the big steps, and the jitter over the truth's."""
    means = {name: float(np.nanmean(of_clips)) for name, of_clips in errors.items() if np.isfinite(of_clips).any()}
    jitter, true_jitter = means.pop("jitter"), means.pop("true_jitter")
    return means | {"big_steps": int(errors["big_steps"].sum()), "jitter_over_truth": jitter / max(true_jitter, 1e-9)}


def _turns(wxyz: np.ndarray) -> np.ndarray:
    """(F - 1, J, 3) rotation vectors from frame to frame."""
    return rotations.rotvec_from_wxyz(rotations.multiply(rotations.inverse(wxyz[:-1]), wxyz[1:]))


def _lag(positions: np.ndarray, wanted: np.ndarray) -> float:
    """Frames by which positions come late."""
    inside = np.arange(4, len(positions) - 4)
    distances = []
    for shift in SHIFTS:
        first, share = np.divmod(inside + shift, 1)
        early, late = (positions[first.astype(int) + step] for step in (0, 1))
        between = early + share[:, None, None] * (late - early)
        distances.append(np.linalg.norm(between - wanted[inside], axis=-1).mean())
    return float(SHIFTS[int(np.argmin(np.round(distances, 9)))]) if len(inside) else 0.0


def _feet(skeleton: Skeleton, positions: np.ndarray, wanted: np.ndarray, frame_time: float) -> dict[str, float]:
    """How far feet go below the lowest point of the truth, and slide where in truth they stand; y is up."""
    feet = [node for node, name in enumerate(skeleton.names) if any(part in name.lower() for part in ("foot", "toe", "ball"))]
    if not feet:
        return {}
    floor = wanted[:, feet, 1].min()
    speed = np.linalg.norm(np.diff(wanted[:, feet], axis=0), axis=-1) / frame_time
    stands = (wanted[1:, feet, 1] < floor + IN_CONTACT[0]) & (speed < IN_CONTACT[1])
    slide = np.linalg.norm(np.diff(positions[:, feet][..., [0, 2]], axis=0), axis=-1)
    return {
        "penetration_mm": 1000 * float(np.maximum(floor - positions[:, feet, 1], 0).mean()),
        "slide_mm": 1000 * float(slide[stands].mean()) if stands.any() else np.nan,
    }
