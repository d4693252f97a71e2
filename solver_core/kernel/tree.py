# SPDX-License-Identifier: Apache-2.0
"""Damped least squares on a tree of rotations, without ever forming the whole normal matrix.

Two joints only couple when one is an ancestor of the other, so the normal matrix is as sparse as the tree.  Its entries
come from sums over subtrees (the composite rigid body algorithm), and eliminating the joints from the leaves to the root
fills nothing in (Featherstone 2008, ch. 6).  A step costs a few small matrix products a level, not (3 J)^3.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from solver_core.kernel import loader
from solver_core.kernel.threads import for_each_chunk

# Row i: the matrix of the cross product with the i-th unit vector, flattened.
CROSS_WITH_UNIT = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]])

CHUNK = 32  # bodies at a time in NumPy: the fronts of more do not fit into the cache, which takes 1.2 times as long


class Level(NamedTuple):
    """All n nodes with the same number L of ancestors, siblings next to each other.

    nodes (n,); parents (n,) their parent nodes; parent_joints (n,) the same as joint numbers.
    inner (m,): positions within `nodes` of those that are joints; joints (m,): their joint numbers.
    family (n,): number of the parent among the p joints of the level above.
    summing (p, n): 1 where a node belongs to a parent, else 0; float32.  summing_joints (p, m): the same of the joints.
    lineages (p, L): joint numbers from the root down to each of these parents.
    pairs: where these lineages, flattened, stand in JointTree.lineages.
    """

    nodes: np.ndarray
    parents: np.ndarray
    parent_joints: np.ndarray
    inner: np.ndarray
    joints: np.ndarray
    family: np.ndarray
    summing: np.ndarray
    summing_joints: np.ndarray
    lineages: np.ndarray
    pairs: slice


class JointTree:
    """Which of N nodes hang from which.  A node with children is a joint and can turn; a node without is an end site.

    parents: (N,) node numbers, -1 for the one root, in any order.
    """

    def __init__(self, parents: Sequence[int] | np.ndarray) -> None:
        self.parents = np.array(parents)  # a copy that stays as it is, because all below follows from it
        self.parents.setflags(write=False)

    @property
    def num_nodes(self) -> int:
        return len(self.parents)

    @cached_property
    def root(self) -> int:
        return int(np.flatnonzero(self.parents == -1)[0])

    @cached_property
    def joints(self) -> np.ndarray:
        """(J,) node numbers of the joints, ascending; a joint number is a position in this array."""
        return np.unique(self.parents[self.parents >= 0])

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @cached_property
    def joint_of_node(self) -> np.ndarray:
        """(N,) joint number of every node, -1 for end sites."""
        numbers = np.full(self.num_nodes, -1)
        numbers[self.joints] = np.arange(self.num_joints)
        return numbers

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The nodes below the root, the level nearest to it first."""
        levels: list[Level] = []
        lineages = np.array([[self.joint_of_node[self.root]]])
        while len(lineages):
            nodes = np.concatenate([np.flatnonzero(self.parents == self.joints[joint]) for joint in lineages[:, -1]])
            parents = self.parents[nodes]
            joint_of_node = self.joint_of_node[nodes]
            inner = np.flatnonzero(joint_of_node >= 0)
            family = np.cumsum(np.diff(parents, prepend=-1) != 0) - 1
            summing = np.eye(len(lineages), dtype=np.float32)[:, family]
            first = levels[-1].pairs.stop if levels else 0
            levels.append(
                Level(
                    nodes=nodes,
                    parents=parents,
                    parent_joints=self.joint_of_node[parents],
                    inner=inner,
                    joints=joint_of_node[inner],
                    family=family,
                    summing=summing,
                    summing_joints=summing[:, inner],
                    lineages=lineages,
                    pairs=slice(first, first + lineages.size),
                )
            )
            lineages = np.concatenate([lineages[family[inner]], joint_of_node[inner, None]], axis=1)
        return tuple(levels)

    @cached_property
    def lineages(self) -> np.ndarray:
        """(2, P) joint numbers: every joint, and every one from the root down to it, as Level.pairs says."""
        lasts = [np.broadcast_to(level.lineages[:, -1:], level.lineages.shape).ravel() for level in self.levels]
        return np.stack([np.concatenate(lasts), np.concatenate([level.lineages.ravel() for level in self.levels])])

    @cached_property
    def indices(self) -> tuple[np.ndarray, ...]:
        """What the compiled kernel needs: the nodes, parents first, then parents and joint_of_node; all (N,) int32."""
        order = np.concatenate([[self.root], *(level.nodes for level in self.levels)])
        return tuple(array.astype(np.int32) for array in (order, self.parents, self.joint_of_node))


def damped_step(
    tree: JointTree,
    positions: np.ndarray,
    axes: np.ndarray,
    residuals: np.ndarray,
    weights: np.ndarray,
    damping: np.ndarray,
) -> np.ndarray:
    """Turns that minimise sum(weights * |residuals - jacobian step|^2) + damping * |step|^2.

    Args:
        tree: of N nodes and J joints.
        positions: (B, N, 3) of the nodes.
        axes: (B, J, 3, 3), row i the i-th axis a joint can turn about, in the frame of the positions; a step is counted in its
            length, and a row of zeros locks it.
        residuals: (B, N, 3) target minus position.
        weights: (B, N) at least 0.
        damping: (B,) above 0.

    Returns:
        (B, J, 3) turns about the axes.
    """
    bodies, nodes = len(positions), (len(positions), tree.num_nodes)
    loader.check_shapes(
        positions=(positions, (*nodes, 3)),
        axes=(axes, (bodies, len(tree.joints), 3, 3)),
        residuals=(residuals, (*nodes, 3)),
        weights=(weights, nodes),
        damping=(damping, (bodies,)),
    )
    arrays = (positions, axes, residuals, weights, damping)
    library = loader.library()
    if library is None:
        step = np.empty((bodies, len(tree.joints), 3), axes.dtype)
        for first in range(0, bodies, CHUNK):
            rows = slice(first, first + CHUNK)
            step[rows] = _damped_step_in_numpy(tree, *(array[rows] for array in arrays))
        return step
    arrays = tuple(np.ascontiguousarray(array, np.float64) for array in arrays)
    step = np.empty((bodies, len(tree.joints), 3))

    def fill_chunk(rows: slice) -> None:
        _damped_step_in_c(library, tree, [array[rows] for array in arrays], step[rows])

    for_each_chunk(fill_chunk, bodies)
    return step.astype(axes.dtype)


def _damped_step_in_c(library: ctypes.CDLL, tree: JointTree, arrays: Sequence[np.ndarray], step: np.ndarray) -> None:
    """Fills step (B, J, 3).  arrays: positions, axes, residuals, weights and damping."""
    (count, num_joints, _), num_nodes, height = step.shape, tree.num_nodes, len(tree.levels)
    depths, subtrees = np.empty(num_nodes, np.int32), np.empty(num_nodes, loader.SUBTREE)
    blocks = np.empty((num_joints + 1, height, 3, 3))
    failed = library.solver_core_damped_step(
        *(count, num_nodes, num_joints, height, *tree.indices, *arrays),
        *(depths, subtrees, blocks, step),
    )
    if failed:
        raise ValueError("the nodes are no tree, or their numbers were changed")


def _damped_step_in_numpy(
    tree: JointTree, positions: np.ndarray, axes: np.ndarray, residuals: np.ndarray, weights: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """As damped_step."""
    batch, pivot_damping = len(axes), damping[:, None, None, None] * np.eye(3, dtype=axes.dtype)
    spins = (axes @ CROSS_WITH_UNIT.astype(axes.dtype)).reshape(*axes.shape, 3)  # (B, J, 3, 3, 3), point to velocity
    velocities_of_pairs = _velocities(tree, positions, axes, spins)  # (B, P, 3, 12)
    moments, pulls = _subtree_sums(tree, positions, residuals, weights)
    own = np.zeros((*spins.shape[:-1], 4), axes.dtype)  # velocities for a joint's own axes, which pass through it
    own[..., :3] = spins
    forces = (own.reshape(batch, -1, 9, 4) @ moments).reshape(batch, -1, 3, 12)  # (B, J, 3, 12)
    gradients = own.reshape(batch, -1, 3, 12) @ pulls  # (B, J, 3, 1)
    eliminated: list[np.ndarray] = []
    complements = None  # what eliminating the joints of a level leaves to those above: (B, m, 3 L, 1 + 3 L), gradient first
    for level in reversed(tree.levels):
        num_joints, depth = level.lineages.shape
        joints, above = level.lineages[:, -1], 3 * (depth - 1)
        velocities = velocities_of_pairs[:, level.pairs].reshape(batch, num_joints, 3 * depth, 12)
        if complements is None:
            fronts = np.zeros((batch, num_joints, 3 * depth, 1 + 3 * depth), axes.dtype)
        else:
            fronts = _sums_of_siblings(level.summing_joints, complements)
        fronts[:, :, above:, :1] += gradients[:, joints]
        fronts[:, :, above:, 1:] += forces[:, joints] @ _transposed(velocities)
        rows, pivots = fronts[:, :, above:, : 1 + above], fronts[:, :, above:, 1 + above :] + pivot_damping
        solved = np.linalg.solve(pivots, rows)
        complements = fronts[:, :, :above, : 1 + above] - _transposed(rows[..., 1:]) @ solved
        eliminated.append(solved)

    step = np.zeros((*axes.shape[:2], 3), axes.dtype)
    for level, solved in zip(tree.levels, reversed(eliminated), strict=True):
        ancestor_steps = step[:, level.lineages[:, :-1]].reshape(batch, len(level.lineages), -1, 1)
        step[:, level.lineages[:, -1]] = (solved[..., :1] - solved[..., 1:] @ ancestor_steps)[..., 0]
    return step


def _velocities(tree: JointTree, positions: np.ndarray, axes: np.ndarray, spins: np.ndarray) -> np.ndarray:
    """(B, P, 3, 12) velocity of a point for each axis of a joint, for all pairs in JointTree.lineages.

    It is a matrix (3, 4), flattened, for points (x, y, z, 1) relative to the first joint of the pair; the axes are those
    of the second.
    """
    below, above = tree.lineages
    centres = positions[:, tree.joints]
    arms = centres[:, below] - centres[:, above]  # (B, P, 3)
    velocities = np.empty((*arms.shape, 3, 4), spins.dtype)
    velocities[..., :3] = spins[:, above]
    velocities[..., 3] = cross(axes[:, above], arms[..., None, :])
    return velocities.reshape(*arms.shape, 12)


def _subtree_sums(
    tree: JointTree, positions: np.ndarray, residuals: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the nodes below each joint of (x, y, z, 1), relative to the joint, times itself and times the residual.

    Returns (B, J, 4, 4) and (B, J, 12, 1).  Relative to the joint, because float32 forgets a finger's length in metres
    from the hip.
    """
    bones = (positions - positions[:, tree.parents])[..., None]  # (B, N, 3, 1)
    sums = np.zeros((*positions.shape[:2], 4, 7), positions.dtype)  # columns: x, y, z, 1 and the residual
    sums[..., 3, 3] = weights
    sums[..., 3, 4:] = weights[..., None] * residuals
    sums[:, tree.root] = 0
    for level in reversed(tree.levels):
        arms = bones[:, level.nodes]
        shifted = sums[:, level.nodes]
        shifted[..., :3, :] += arms * shifted[..., 3:, :]
        shifted[..., :3] += shifted[..., 3:4] * arms.swapaxes(2, 3)
        sums[:, tree.joints[level.lineages[:, -1]]] += _sums_of_siblings(level.summing, shifted)
    sums = sums[:, tree.joints]
    return sums[..., :4], sums[..., 4:].swapaxes(2, 3).reshape(*sums.shape[:2], 12, 1)


def _sums_of_siblings(summing: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(B, p, ...) sums of those values (B, n, ...) that `summing` (p, n) marks; zero where there is none."""
    flat = values.reshape(*values.shape[:2], -1)
    return (summing.astype(values.dtype) @ flat).reshape(len(values), len(summing), *values.shape[2:])


def _transposed(matrices: np.ndarray) -> np.ndarray:
    """A contiguous transpose: on a strided one np.matmul is five times slower."""
    return np.ascontiguousarray(matrices.swapaxes(-1, -2))


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """np.cross for (..., 3), several times faster."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape), np.result_type(a, b))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.multiply(a[..., j], b[..., k], out=product[..., i])
        product[..., i] -= a[..., k] * b[..., j]
    return product
