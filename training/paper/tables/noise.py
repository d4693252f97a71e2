# SPDX-License-Identifier: Apache-2.0
"""Noise: joint targets as captures have them, with noise, gaps, outliers and exchanged sides."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solver_core import render
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import KinematicOptions, solve_inverse_kinematics
from solver_core.problems.inverse_kinematics.solver.faults import mirrored_limbs
from training.paper.evaluation import Errors, Row, Run
from training.paper.tables.motions import measure_motion, node_positions, summary, test_motions

TITLE = "Noise: targets as captures have them"
NUM_SAMPLES = 20  # clips
QUICK_SAMPLES = 3
CORRELATED = 10.0  # frames over which slow noise lasts
PERIOD = 60  # frames from one gap or exchange to the next
LIMBS = ("lShldr", "rShldr", "lThigh", "rThigh")  # lost one after the other
OUTLIER_SHARE, OUTLIER = 0.01, 0.5  # of all targets; metres
METHODS = {
    "ours": KinematicOptions(),
    "ours, targets met exactly": KinematicOptions(noise=0.0),
    "ours, networks alone": KinematicOptions(refine=False, noise=0.0),
}

Damage = Callable[[np.ndarray, Skeleton, np.random.Generator], np.ndarray]  # positions (F, N, 3) -> targets, nan = lost


def white(std: float) -> Damage:
    """Independent noise of each coordinate and frame, metres."""
    return lambda positions, skeleton, rng: positions + std * rng.normal(size=positions.shape)


def slow(std: float) -> Damage:
    """Noise that lasts for CORRELATED frames, metres."""

    def damage(positions: np.ndarray, skeleton: Skeleton, rng: np.random.Generator) -> np.ndarray:
        kept = np.exp(-1 / CORRELATED)
        noise = rng.normal(size=positions.shape)
        for frame in range(1, len(noise)):
            noise[frame] = kept * noise[frame - 1] + np.sqrt(1 - kept**2) * noise[frame]
        return positions + std * noise

    return damage


def gaps(num_frames: int) -> Damage:
    """An arm or a leg is lost for so many frames, again and again."""

    def damage(positions: np.ndarray, skeleton: Skeleton, rng: np.random.Generator) -> np.ndarray:
        targets = positions.copy()
        starts = range(20, len(positions) - num_frames - 10, num_frames + PERIOD)
        for number, first in enumerate(starts):
            targets[first : first + num_frames, _below(skeleton, LIMBS[number % len(LIMBS)])] = np.nan
        return targets

    return damage


def outliers(std: float = 0.0) -> Damage:
    """Some targets are far off, in noise of so many metres."""

    def damage(positions: np.ndarray, skeleton: Skeleton, rng: np.random.Generator) -> np.ndarray:
        targets = white(std)(positions, skeleton, rng)
        is_wrong = rng.uniform(size=positions.shape[:2]) < OUTLIER_SHARE
        away = rng.normal(size=(int(is_wrong.sum()), 3))
        targets[is_wrong] += OUTLIER * away / np.linalg.norm(away, axis=1, keepdims=True)
        return targets

    return damage


def swaps(num_frames: int) -> Damage:
    """Left and right are exchanged for so many frames, again and again."""

    def damage(positions: np.ndarray, skeleton: Skeleton, rng: np.random.Generator) -> np.ndarray:
        targets = positions.copy()
        for first in range(30, len(positions) - num_frames - 2, PERIOD):
            part = slice(first, first + num_frames)
            for left, right in mirrored_limbs(skeleton):
                targets[part, left], targets[part, right] = positions[part, right], positions[part, left]
        return targets

    return damage


DAMAGES: dict[str, Damage] = {
    "exact": white(0.0),
    "white 0.5 cm": white(0.005),
    "white 1 cm": white(0.01),
    "white 2 cm": white(0.02),
    "white 3 cm": white(0.03),
    "slow 2 cm": slow(0.02),
    "gaps of 8 frames": gaps(8),
    "gaps of 24 frames": gaps(24),
    "1 % outliers": outliers(),
    "1 % outliers, 1 cm": outliers(0.01),
    "sides exchanged": swaps(3),
}


def rows(run: Run) -> list[Row]:
    """Errors of every method under every damage; all are given the same targets."""
    render.set_num_threads(1)
    motions = test_motions(run.data, run.num_samples)
    table: list[Row] = []
    for number, (name, damage) in enumerate(DAMAGES.items()):
        for method, options in METHODS.items():

            def measured(clips: np.ndarray, damage=damage, options=options, number=number) -> Errors:
                rng = np.random.default_rng([run.seed, number, int(clips[0])])
                return solved(motions[clips[0]], damage, options, rng)

            errors = run.measure(f"{name}, {method}", len(motions), measured, options, chunk_size=1)
            table.append({"targets": name, "method": method, **summary(errors)})
    return table


def solved(motion: Motion, damage: Damage, options: KinematicOptions, rng: np.random.Generator) -> Errors:
    """Errors of a motion that was solved from damaged targets."""
    skeleton, true = motion.skeleton, (motion.rotations, motion.root)
    targets = damage(node_positions(skeleton, *true), skeleton, rng)
    result = solve_inverse_kinematics(targets, skeleton, options=options)
    errors = measure_motion(
        skeleton, (result.rotations, result.root), true, np.all(np.isfinite(targets), axis=2), motion.frame_time
    )
    return errors | {"ms_per_frame": np.array([1000 * result.seconds / len(targets)])}


def _below(skeleton: Skeleton, name: str) -> np.ndarray:
    """Nodes that hang on a node, itself included."""
    is_below = np.array([name == own for own in skeleton.names])
    for level in skeleton.levels:
        is_below[level.nodes] |= is_below[level.parents]
    return np.flatnonzero(is_below)
