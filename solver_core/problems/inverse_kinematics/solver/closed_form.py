# SPDX-License-Identifier: Apache-2.0
"""The answer in closed form: joint by joint, root first, the shortest turn that points the bones at their targets.

Positions say nothing about a turn about a bone; that turn stays as the pose before has it, so from the rest pose it is carried
along from the joint above.  A step of it costs about as much as one of least squares, needs no start near the answer, and
moves smoothly from frame to frame; what it cannot do is reach a target around a joint without one, or weigh noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.kernel.tree import cross
from solver_core.problem import Update
from solver_core.problems.inverse_kinematics.observation import Targets
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.skeleton.kinematics import Posture, local_rotations
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.start import nearest_rotation

SHORT = 1e-3  # of the mean bone; shorter ones have no direction worth following
STAY = 1e-5  # how much the pose before counts beside a bone: settles the turn about bones that all point the same way
SKIPPED = 0.01  # how much a bone over a joint in between counts beside one without
FLAT = 0.1  # bones whose directions leave a line by less than this say nothing about the turn about it


class Family(NamedTuple):
    """Bones that leave one joint, each to the nearest node below with a target.

    joint: its number.  ends: (K,) nodes.  trust: (K,) how much each counts.
    """

    joint: int
    ends: np.ndarray
    trust: np.ndarray


def closed_form_update(problem: KinematicProblem) -> Update:
    """One step to the closed form from the present pose; from the rest pose, the shortest arcs from rest."""

    def update(stage: int, x: np.ndarray, prediction: Posture, observation: Targets, rows: np.ndarray) -> np.ndarray:
        answer = problem.within_limits(pointed(problem, x, prediction, observation))
        return problem.manifold.difference(x, answer).astype(x.dtype)

    return update


def pointed(
    problem: KinematicProblem, x: np.ndarray, posture: Posture, targets: Targets, is_own: np.ndarray | None = None
) -> np.ndarray:
    """(B, J, 4) the poses x (B, J, 4), each joint turned so that its bones point at their targets.

    posture: of x.  is_own: (B, J) joints whose orientation in x is known but for the direction of their bones, which is then
    not carried along by what the joints above have turned.  Bodies of a batch are taken in groups that have the same targets.
    """
    answer = x.copy()
    is_own = np.zeros(x.shape[:2], bool) if is_own is None else is_own
    is_given = targets.weights > 0
    _, group = np.unique(np.concatenate([is_given, is_own], axis=1), axis=0, return_inverse=True)
    for number in range(group.max() + 1):
        rows = np.flatnonzero(group.reshape(-1) == number)
        own = is_own[rows[0]]
        families = _families(problem.skeleton, is_given[rows[0]], own)
        part = Targets(*(a[rows] for a in targets))
        answer[rows] = _pointed(problem.skeleton, families, x[rows], Posture(*(a[rows] for a in posture)), part, own)
    return answer


def _pointed(
    skeleton: Skeleton, families: list[Family], x: np.ndarray, posture: Posture, targets: Targets, is_own: np.ndarray
) -> np.ndarray:
    before, positions = posture.orientations, posture.positions
    is_given = targets.weights[0] > 0
    orientations = before.copy()
    # Where joints without a target come to lie; those with one are where they are wanted.
    places = np.where(is_given[:, None], targets.positions, positions)
    family_of = {family.joint: family for family in families}
    for joint, parent in _root_first(skeleton):
        node = skeleton.joints[joint]
        if parent >= 0:
            moved = orientations[:, parent] @ before[:, parent].swapaxes(1, 2)  # what the joints above have done
            orientations[:, joint] = before[:, joint] if is_own[joint] else moved @ before[:, joint]
            if not is_given[node]:
                above = skeleton.parents[node]
                places[:, node] = places[:, above] + _turned(moved, positions[:, node] - positions[:, above])
        family = family_of.get(joint)
        if family is None:
            continue
        moved = orientations[:, joint] @ before[:, joint].swapaxes(1, 2)
        bones = _turned(moved[:, None], positions[:, family.ends] - positions[:, [node]])  # (B, K, 3)
        wanted = places[:, family.ends] - places[:, [node]]
        orientations[:, joint] = _turn(bones, wanted, family.trust * targets.precision[:, family.ends]) @ orientations[:, joint]
    return local_rotations(skeleton, orientations).astype(x.dtype)


def _turn(bones: np.ndarray, wanted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, 3, 3) the rotation that best takes bones (B, K, 3) to the wanted vectors, near the identity where that is open."""
    if bones.shape[1] == 1:
        return shortest_arc(bones[:, 0], wanted[:, 0])
    weights = (weights / weights.max(axis=1, keepdims=True))[..., None]
    pull = (weights * _unit(wanted)).swapaxes(1, 2) @ _unit(bones)
    return nearest_rotation(pull + STAY * np.eye(3))


def shortest_arc(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(B, 3, 3) the smallest rotation from the direction of start (B, 3) to that of end; none where one has no length."""
    normal = cross(start, end)
    sine = np.linalg.norm(normal, axis=-1, keepdims=True)
    cosine = (start * end).sum(axis=-1, keepdims=True)
    across = cross(start, np.eye(3)[np.argmin(np.abs(start), axis=-1)])  # any axis serves for half a turn
    is_line = sine <= 1e-7 * np.abs(cosine)
    axis = np.where(is_line, across, normal)
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-30)
    return rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(axis * np.arctan2(sine, cosine)))


def _families(skeleton: Skeleton, is_given: np.ndarray, is_own: np.ndarray) -> list[Family]:
    """For each joint with any target below, the bones to them: of those that are own (J,) the bones that are surely its."""
    shortest = SHORT * skeleton.bone_lengths.mean()
    rest = skeleton.rest_positions()

    def reached(node: int, start: int) -> Iterator[tuple[int, float]]:
        """The nearest nodes with targets below a node, seen from the node `start`."""
        for below in np.flatnonzero(skeleton.parents == node).tolist():
            if is_given[below] and np.linalg.norm(rest[below] - rest[start]) > shortest:
                yield below, 1.0
            else:
                yield from ((end, SKIPPED * trust) for end, trust in reached(below, start))

    families = []
    for joint, node in enumerate(skeleton.joints.tolist()):
        children = np.flatnonzero(skeleton.parents == node)
        if (skeleton.bone_lengths[children] <= shortest).all():
            continue  # the joints at its place turn what hangs on it
        ends = dict(reached(node, node))
        if is_own[joint]:
            ends = {end: trust for end, trust in ends.items() if trust == 1}
        elif len(ends) > 1 and _is_flat(rest[list(ends)] - rest[node]):  # shoulders without width: the arms tell more
            for end, trust in list(ends.items()):
                ends |= {further: SKIPPED * trust * own for further, own in reached(end, node)}
        if ends:
            families.append(Family(joint, np.array(list(ends)), np.array(list(ends.values()))))
    return families


def _is_flat(bones: np.ndarray) -> bool:
    """Whether bones (K, 3) all lie on one line through the joint."""
    return bool(np.linalg.svd(_unit(bones), compute_uv=False)[1] < FLAT)


def _root_first(skeleton: Skeleton) -> list[tuple[int, int]]:
    """(joint, joint above it) of all joints, -1 above the root."""
    order = [(int(skeleton.joint_of_node[skeleton.root]), -1)]
    for level in skeleton.levels:
        order += [(int(j), int(level.parent_joints[i])) for i, j in zip(level.inner, level.joints, strict=True)]
    return order


def _turned(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (matrices @ vectors[..., None])[..., 0]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
