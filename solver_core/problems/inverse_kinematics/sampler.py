"""Random frames of motion on random bodies with random gaps: what inverse kinematics networks learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

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


def make_sampler(data: Path, split: str, settings: dict[str, Any]) -> KinematicSampler:
    """Sampler over the frames of a split; settings: fields of KinematicSampling.  Raises ConfigError."""
    known = {field.name for field in fields(KinematicSampling)}
    for key in settings:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in [sampling]; known: {', '.join(sorted(known))}")
    sampling = KinematicSampling(**settings)
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

    def draw(self, rng: np.random.Generator, count: int) -> Samples:
        problem = KinematicProblem(self.body, self._offsets(rng, count), self.limits)
        x_true = problem.within_limits(self._poses(rng, count))
        positions = forward_kinematics(self.body.skeleton, problem.offsets, x_true).positions
        observation = Targets(positions, self._weights(rng, count))
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

    def _offsets(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(B, N, 3) float32."""
        factors = np.exp(rng.uniform(-1, 1, size=(count, self.limbs.max() + 1)) * np.log(self.sampling.max_scale))
        factors[rng.uniform(size=count) >= self.sampling.scaled] = 1
        return (factors[:, self.limbs, None] * self.body.skeleton.offsets).astype(np.float32)

    def _weights(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(B, N) float32, 0 or 1; the root is always given."""
        sampling, skeleton = self.sampling, self.body.skeleton
        bounds = np.cumsum([sampling.effectors, sampling.coarse, sampling.gaps])
        kind = np.searchsorted(bounds, rng.uniform(size=count), side="right")
        kept = rng.uniform(size=(count, skeleton.num_nodes)) < rng.uniform(0.2, 1, size=(count, 1))
        is_given = np.ones((count, skeleton.num_nodes), dtype=bool)
        is_given[kind == 0] = effectors(skeleton)
        is_given[kind == 1] = [not any(detail in name for detail in DETAILS) for name in skeleton.names]
        is_given[kind == 2] = kept[kind == 2]
        is_given[:, skeleton.root] = True
        return is_given.astype(np.float32)


def effectors(skeleton: Skeleton) -> np.ndarray:
    """(N,) bool: hands, feet, head and hip of the human; of another rig the root and the end sites."""
    is_named = np.isin(skeleton.names, EFFECTORS)
    if is_named.all() or is_named.sum() == len(EFFECTORS):
        return is_named
    return (skeleton.joint_of_node < 0) | (skeleton.parents < 0)


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
