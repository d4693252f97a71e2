# SPDX-License-Identifier: Apache-2.0
"""Random frames of motion on random bodies with random gaps: what inverse kinematics networks learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solver_core import rotations
from solver_core.config import settings_from
from solver_core.errors import ConfigError
from solver_core.manifolds import SO3Power
from solver_core.problem import Samples
from solver_core.problems.inverse_kinematics.features import trained_body
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.files.maps import read_limits
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits, LimitedRotations
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.start import mean_pose_start
from solver_core.problems.inverse_kinematics.training.clips import load_rotations, split_clips, without_subjects

NUM_LIMIT_POSES, LIMITS_SEED = 50_000, 0  # of a rig that is trained from its limits
EFFECTORS = ("hip", "head", "rHand", "lHand", "rFoot", "lFoot")
# Of another rig's bones: how far they point elsewhere where several leave a joint (radians), and how much longer they are.
RIG_ANGLE, RIG_LENGTH, MAX_LONGER = 0.2, 0.2, 0.5
RIG_PARTS = {  # parts of names -> share of rigs that have them
    ("Buttock",): 0.1,
    ("Eye",): 0.05,
    ("abdomen",): 0.8,
    ("Collar",): 0.8,
    ("Foot_end",): 0.85,
    ("neck",): 0.95,
    ("Thumb", "Index", "Mid", "Ring", "Pinky"): 0.4,
    ("Thumb2_end", "Index2_end", "Mid2_end", "Ring2_end", "Pinky2_end"): 0.8,
}
MISFIT = (0.1, 0.05)  # radians and share: what a body differs from the one that is known
MISFIT_NOISE = 0.01  # metres; what is told about it
LEAST_NOISE = 0.0005  # metres
MAX_GUESS = 0.15  # metres; of targets that were lost and guessed
DETAILS = ("Thumb", "Index", "Mid", "Ring", "Pinky", "Eye")


@dataclass(frozen=True)
class KinematicSampling:
    """Distribution of the samples; the chances of the kinds of targets add up to at most 1, the rest has all targets.

    rig: a body file (body.py) instead of the human.  limits: a JSON file (files.read_limits) with the ranges of its joints.
    motions: BVH files with its poses; without any they come from anywhere within the limits.
    wandering: radians that poses are off their frames.
    retargeted: fraction from clips carried over from another skeleton.  without_subjects: left out, to measure on them.
    mirrored: chance that left and right are exchanged.
    scaled: chance of another body; its limbs are up to max_scale times longer or shorter.
    effectors, coarse, gaps: chances that only hands, feet, head and hip are given; all but fingers and eyes; any subset.
    captured: chance that targets are as captures are; the next four are chances among those.
    rigs: a body with bones as other rigs have them, and with the targets that those have.
    misfit: the targets are those of a body a little different from the one that is known.
    noisy: noise of a standard deviation up to max_noise, metres.
    lost: the targets of a limb, or of several, are guesses.
    """

    rig: str = ""
    limits: str = ""
    motions: tuple[str, ...] = ()
    wandering: float = 0.0
    retargeted: float = 0.0
    without_subjects: tuple[str, ...] = ()
    mirrored: float = 0.0
    scaled: float = 0.0
    max_scale: float = 1.25
    effectors: float = 0.0
    coarse: float = 0.0
    gaps: float = 0.0
    captured: float = 0.0
    rigs: float = 0.0
    misfit: float = 0.0
    noisy: float = 0.0
    max_noise: float = 0.04
    lost: float = 0.0


def make_sampler(data: Path, split: str, settings: dict[str, Any]) -> KinematicSampler:
    """Sampler over the frames of a split; settings: fields of KinematicSampling.  Raises ConfigError."""
    sampling = settings_from(KinematicSampling, settings, "[sampling]")
    if sampling.rig:
        body = trained_body(settings)
        limits = rig_limits(sampling.limits, body.skeleton)
        frames = rig_poses(body.skeleton, sampling.motions, limits).astype(np.float32)
        return KinematicSampler(body, frames, frames[:0], sampling, limits)
    clips = without_subjects(split_clips(data, split), list(sampling.without_subjects))
    extra = np.zeros((0, 0, 4), np.float32)
    if split == "train" and sampling.retargeted:
        extra = load_rotations(without_subjects(split_clips(data, "train_retargeted"), list(sampling.without_subjects)))
    return KinematicSampler(trained_body(settings), load_rotations(clips), extra, sampling)


def rig_limits(path: str | Path | None, skeleton: Skeleton) -> JointLimits | None:
    """Limits from a file, None without one."""
    return JointLimits.from_ranges(skeleton, read_limits(Path(path), skeleton)) if path else None


def rig_poses(skeleton: Skeleton, motions: Sequence[str | Path], limits: JointLimits | None) -> np.ndarray:
    """(F, J, 4) the frames of its motions or, without any, poses from anywhere within its limits.

    Raises ConfigError if there is neither or a motion is of another skeleton.
    """
    if motions:
        frames = []
        for path in motions:
            motion = read_bvh(path)
            if motion.skeleton.names != skeleton.names:
                raise ConfigError(f"the motion {path} has other joints than the rig")
            frames.append(motion.rotations[:, skeleton.joints])
        return np.concatenate(frames)
    if limits is None:
        raise ConfigError("a rig is trained on its motion or within its limits; give at least one of them")
    manifold = LimitedRotations(SO3Power(skeleton.num_joints), limits)
    return manifold.random(np.random.default_rng(LIMITS_SEED), NUM_LIMIT_POSES)


class KinematicSampler:
    """Draws Samples; see KinematicSampling for what of."""

    def __init__(
        self,
        body: Body,
        frames: np.ndarray,
        retargeted: np.ndarray,
        sampling: KinematicSampling,
        limits: JointLimits | None = None,
    ) -> None:
        self.body, self.frames, self.retargeted, self.sampling, self.limits = body, frames, retargeted, sampling, limits
        self.mirror = mirror_joints(body.skeleton)
        self.limbs = limbs(body.skeleton)
        self.below = subtrees(body.skeleton)
        # A joint with one bone is turned so that the bone points as the human's; only where bones fan out do they differ.
        parents = body.skeleton.parents
        self.fans = (parents[:, None] == parents).sum(axis=1) > 1  # (N,) bool

    def draw(self, rng: np.random.Generator, count: int) -> Samples:
        skeleton, sampling = self.body.skeleton, self.sampling
        is_captured = rng.uniform(size=count) < sampling.captured
        chances = (sampling.rigs, sampling.misfit, sampling.noisy, sampling.lost)
        is_rig, is_misfit, is_noisy, is_lost = (is_captured & (rng.uniform(size=count) < chance) for chance in chances)
        problem = KinematicProblem(self.body, self._offsets(rng, is_rig), self.limits)
        x_true = problem.within_limits(self._poses(rng, count))
        offsets = np.where(is_misfit[:, None, None], varied(rng, problem.offsets, *MISFIT), problem.offsets)
        positions = forward_kinematics(skeleton, offsets.astype(np.float32), x_true).positions
        positions, noise = self._captured(rng, positions, is_misfit, is_noisy, is_lost)
        observation = Targets(positions, self._weights(rng, is_rig), noise)
        return Samples(problem, observation, mean_pose_start(problem, observation), x_true)

    def _poses(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(B, J, 4) float32."""
        sampling = self.sampling
        x = self.frames[rng.integers(len(self.frames), size=count)]
        if len(self.retargeted):
            is_retargeted = rng.uniform(size=count) < sampling.retargeted
            x[is_retargeted] = self.retargeted[rng.integers(len(self.retargeted), size=is_retargeted.sum())]
        if self.mirror is not None:
            is_mirrored = rng.uniform(size=count) < sampling.mirrored
            x[is_mirrored] = mirrored_pose(x[is_mirrored], self.mirror)
        if sampling.wandering:
            manifold = SO3Power(x.shape[1])
            size = rng.uniform(0, sampling.wandering, size=(count, 1))
            x = manifold.retract(x, size * rng.normal(size=(count, manifold.dim))).astype(np.float32)
        return x

    def _offsets(self, rng: np.random.Generator, is_rig: np.ndarray) -> np.ndarray:
        """(B, N, 3) float32."""
        factors = np.exp(rng.uniform(-1, 1, size=(len(is_rig), self.limbs.max() + 1)) * np.log(self.sampling.max_scale))
        factors[rng.uniform(size=len(is_rig)) >= self.sampling.scaled] = 1
        offsets = factors[:, self.limbs, None] * self.body.skeleton.offsets
        others = varied(rng, offsets, RIG_ANGLE * self.fans, RIG_LENGTH)
        return np.where(is_rig[:, None, None], others, offsets).astype(np.float32)

    def _captured(
        self, rng: np.random.Generator, positions: np.ndarray, is_misfit: np.ndarray, is_noisy: np.ndarray, is_lost: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Targets (B, N, 3) for nodes at these positions, and the noise (B, N) that is told; float32."""
        count = len(positions)
        level = np.exp(rng.uniform(np.log(LEAST_NOISE), np.log(self.sampling.max_noise), size=(count, 1)))
        noise = np.where(is_noisy[:, None], level, np.zeros(positions.shape[:2]))
        error = noise[..., None] * rng.normal(size=positions.shape)
        is_guess = is_lost[:, None] & self.below[rng.integers(len(self.below), size=count)]  # all that hangs on a joint
        guessed = np.exp(rng.uniform(np.log(LEAST_NOISE), np.log(MAX_GUESS), size=(count, 1)))
        shared = 0.9 * rng.normal(size=(count, 1, 3)) + 0.4 * rng.normal(size=positions.shape)  # nodes err together
        error = np.where(is_guess[..., None], guessed[..., None] * shared, error)
        told = np.hypot(np.where(is_guess, guessed, noise), is_misfit[:, None] * MISFIT_NOISE)
        observed = positions + error
        origin = observed[:, [self.body.skeleton.root]]
        return (observed - origin).astype(np.float32), told.astype(np.float32)

    def _weights(self, rng: np.random.Generator, is_rig: np.ndarray) -> np.ndarray:
        """(B, N) float32, 0 or 1; the root is always given."""
        sampling, skeleton, count = self.sampling, self.body.skeleton, len(is_rig)
        bounds = np.cumsum([sampling.effectors, sampling.coarse, sampling.gaps])
        kind = np.searchsorted(bounds, rng.uniform(size=count), side="right")
        kept = rng.uniform(size=(count, skeleton.num_nodes)) < rng.uniform(0.2, 1, size=(count, 1))
        is_given = np.ones((count, skeleton.num_nodes), dtype=bool)
        is_given[kind == 0] = effectors(skeleton)
        is_given[kind == 1] = [not any(detail in name for detail in DETAILS) for name in skeleton.names]
        is_given[kind == 2] = kept[kind == 2]
        is_given[is_rig] = self._rig_targets(rng, int(is_rig.sum()))
        is_given[:, skeleton.root] = True
        return is_given.astype(np.float32)

    def _rig_targets(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(B, N) bool nodes that other rigs have: seldom buttocks and eyes, with or without fingers, collars, toes, spine."""
        names = self.body.skeleton.names
        is_given = np.ones((count, len(names)), dtype=bool)
        for parts, share in RIG_PARTS.items():
            is_part = np.array([any(part in name for part in parts) for name in names])
            is_given[np.ix_(rng.uniform(size=count) >= share, is_part)] = False
        return is_given


def varied(rng: np.random.Generator, offsets: np.ndarray, angle: float | np.ndarray, length: float) -> np.ndarray:
    """Offsets (B, N, 3), each turned by about `angle` radians, () or (N,), and longer by about the share `length`."""
    turns = np.broadcast_to(angle, offsets.shape[1])[:, None] / np.sqrt(3) * rng.normal(size=offsets.shape)
    factors = np.exp(np.clip(length * rng.normal(size=(*offsets.shape[:2], 1)), -MAX_LONGER, MAX_LONGER))
    return factors * rotations.rotate(rotations.wxyz_from_rotvec(turns), offsets)


def effectors(skeleton: Skeleton) -> np.ndarray:
    """(N,) bool: hands, feet, head and hip of the human; of another rig the root and the end sites."""
    is_named = np.isin(skeleton.names, EFFECTORS)
    if is_named.all() or is_named.sum() == len(EFFECTORS):
        return is_named
    return (skeleton.joint_of_node < 0) | (skeleton.parents < 0)


def subtrees(skeleton: Skeleton) -> np.ndarray:
    """(J, N) bool: the nodes below each joint, itself included."""
    below = np.eye(skeleton.num_nodes, dtype=bool)
    for level in reversed(skeleton.levels):
        np.logical_or.at(below, level.parents, below[level.nodes])
    return below[skeleton.joints]


def limbs(skeleton: Skeleton) -> np.ndarray:
    """(N,) number of the limb of each bone: the chains between the joints where the skeleton branches."""
    numbers = np.zeros(skeleton.num_nodes, dtype=int)
    next_number = 0
    for level in skeleton.levels:
        for node in level.nodes:
            parent = skeleton.parents[node]
            if parent == skeleton.root or (skeleton.parents == parent).sum() > 1:
                next_number += 1
                numbers[node] = next_number
            else:
                numbers[node] = numbers[parent]
    return numbers


def mirror_joints(skeleton: Skeleton) -> np.ndarray | None:
    """(J,) joint number on the other side, by the names left.., right.., l.. and r..; None without such pairs."""
    other_side = {"left": "right", "right": "left", "l": "r", "r": "l"}
    names = list(skeleton.joint_names)
    pairs = list(range(len(names)))
    for number, name in enumerate(names):
        for side, other in other_side.items():
            if name.startswith(side) and other + name[len(side) :] in names:
                pairs[number] = names.index(other + name[len(side) :])
    return None if pairs == list(range(len(names))) else np.array(pairs)


def mirrored_pose(x: np.ndarray, other_side: np.ndarray) -> np.ndarray:
    """(B, J, 4) the pose as seen in a mirror at x = 0."""
    return x[:, other_side] * np.array([1, 1, -1, -1], dtype=x.dtype)
