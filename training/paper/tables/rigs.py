# SPDX-License-Identifier: Apache-2.0
"""Rigs: motions of the human on other skeletons, beside the shortest arcs from their rest poses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solver_core import render, rotations
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import KinematicResult, solve_inverse_kinematics
from solver_core.problems.inverse_kinematics.solver.closed_form import pointed
from training.paper.evaluation import Errors, Row, Run
from training.paper.tables.motions import measure_motion, node_positions, summary, test_motions
from training.paper.tables.rig_cases import Rig, rigs

TITLE = "Rigs: other skeletons that follow the same motions"
NUM_SAMPLES = 10  # clips
QUICK_SAMPLES = 2
NOISES_CM = (0, 1)
SHOWN = ("body_deg", "position_cm", "big_steps", "jitter_over_truth", "ms_per_frame")
OURS, GIVEN = "ours", "ours, rest pose given"  # a row of its own only where that pose is not the rig's own rest
TURNED = "ours, rest pose and rotations of the human given"

Answer = tuple[np.ndarray, np.ndarray]  # rotations (F, N, 4) and root (F, 3)


def rows(run: Run) -> list[Row]:
    """Errors of every method on every rig; "mean over rigs" of all of them."""
    render.set_num_threads(1)
    motions = test_motions(run.data, run.num_samples)
    table: list[Row] = []
    for noise_cm in NOISES_CM:
        of_noise: list[Row] = []
        tried = rigs(motions[0].rotations[0])
        for name, rig in tried.items():
            for method, solve in METHODS.items():
                if method == GIVEN and rig.rest is None:  # it is ours
                    continue

                def measured(clips: np.ndarray, rig=rig, solve=solve, noise_cm=noise_cm) -> Errors:
                    rng = np.random.default_rng([run.seed, noise_cm, int(clips[0])])
                    return solved(rig, motions[clips[0]], solve, noise_cm / 100, rng)

                errors = run.measure(f"{name}, {noise_cm} cm, {method}", len(motions), measured, chunk_size=1)
                shown = summary(errors)
                of_noise.append(
                    {"rig": name, "noise_cm": noise_cm, "method": method, **{key: shown[key] for key in SHOWN if key in shown}}
                )
        for method in METHODS:
            of_rig = {row["rig"]: row for row in of_noise if row["method"] in (OURS if method == GIVEN else method, method)}
            of_method = [of_rig[name] for name in tried]
            means = {key: float(np.mean([float(row[key]) for row in of_method])) for key in SHOWN}
            of_noise.append({"rig": "mean over rigs", "noise_cm": noise_cm, "method": method, **means})
        table += of_noise
    return table


def solved(
    rig: Rig,
    motion: Motion,
    solve: Callable[[np.ndarray, Rig, Motion], tuple[Answer, float]],
    noise: float,
    rng: np.random.Generator,
) -> Errors:
    """Errors of a motion on a rig, from positions with noise in metres."""
    true = rig.carried(motion)
    positions = node_positions(rig.skeleton, *true)
    targets = positions + noise * rng.normal(size=positions.shape)
    answer, seconds = solve(targets, rig, motion)
    is_given = np.ones(positions.shape[:2], bool)
    errors = measure_motion(rig.skeleton, answer, true, is_given, motion.frame_time)
    return errors | {"ms_per_frame": np.array([1000 * seconds / len(targets)])}


def shortest_arcs(targets: np.ndarray, rig: Rig, motion: Motion) -> tuple[Answer, float]:
    """The closed form from the rest pose, and nothing else."""
    skeleton = rig.skeleton
    count, root = len(targets), targets[:, [skeleton.root]]
    offsets = np.broadcast_to(skeleton.offsets, (count, *skeleton.offsets.shape))
    problem = KinematicProblem(Body.at_rest(skeleton), offsets)
    rotation = np.tile([1.0, 0, 0, 0], (count, skeleton.num_nodes, 1))
    x = rotation[:, skeleton.joints]
    given = Targets.exact(targets - root, np.ones(targets.shape[:2]))
    rotation[:, skeleton.joints] = pointed(problem, x, problem.forward(x, np.arange(count)), given)
    return (rotation, root[:, 0]), 0.0


def ours(targets: np.ndarray, rig: Rig, motion: Motion) -> tuple[Answer, float]:
    return _answer(solve_inverse_kinematics(targets, rig.skeleton))


def ours_with_rest(targets: np.ndarray, rig: Rig, motion: Motion) -> tuple[Answer, float]:
    """With the pose in which the rig stands, which its own rest pose does not tell."""
    return _answer(solve_inverse_kinematics(targets, rig.skeleton, rest=rig.rest))


def ours_with_rotations(targets: np.ndarray, rig: Rig, motion: Motion) -> tuple[Answer, float]:
    """With the rotations of the human that the rig follows, as a BVH file of it would have them."""
    human, names = motion.skeleton, rig.skeleton.names
    followers = {
        follows: name for name, follows in zip(rig.skeleton.joint_names, rig.follows, strict=True) if follows in human.names
    }
    source = Skeleton([followers.get(name, f"human {name}") for name in human.names], human.parents, human.offsets)
    turned = motion.rotations.copy()
    turned[:, human.root] = rotations.multiply(rotations.wxyz_from_matrix(rig.turn), turned[:, human.root])
    given = NamedTargets(names, targets, skeleton=source, rotations=turned)
    one_to_one = {name: name for name in names}
    return _answer(solve_inverse_kinematics(given, rig.skeleton, rest=rig.rest, target_map=one_to_one, scale=1))


def _answer(result: KinematicResult) -> tuple[Answer, float]:
    return (result.rotations, result.root), result.seconds


METHODS = {"shortest arcs from rest": shortest_arcs, OURS: ours, GIVEN: ours_with_rest, TURNED: ours_with_rotations}
