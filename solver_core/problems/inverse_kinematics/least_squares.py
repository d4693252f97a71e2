"""Damped least squares on a tree of rotations, without ever forming the whole normal matrix.

Two joints only couple when one is an ancestor of the other, so the normal matrix is as sparse as the tree.  Its entries
come from sums over subtrees (the composite rigid body algorithm), and eliminating the joints from the leaves to the root
fills nothing in (Featherstone 2008, ch. 6).  A step costs a few small matrix products a level, not (3 J)^3.  The compiled
kernel does the same with fewer detours; what is written in NumPy here is its reference, and what runs without it.
"""

from __future__ import annotations

import numpy as np

from solver_core.problems.inverse_kinematics.kinematics import Posture
from solver_core.problems.inverse_kinematics.skeleton import Skeleton
from solver_core.render import native
from solver_core.render.threads import for_each_chunk

# Row i: the matrix of the cross product with the i-th unit vector, flattened.
CROSS_WITH_UNIT = np.array([[0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]])

CHUNK = 32  # bodies at a time: the fronts of more do not fit into the cache, which takes 1.2 times as long


def damped_step(
    skeleton: Skeleton, posture: Posture, axes: np.ndarray, residuals: np.ndarray, weights: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """(B, J, 3) turns about `axes` that minimise sum(weights * |residuals - jacobian step|^2) + damping * |step|^2.

    axes: (B, J, 3, 3), row i the i-th axis a joint can turn about, in the root's frame; a step is counted in its length,
    and a row of zeros locks it.  residuals: (B, N, 3), target minus position.  weights: (B, N).  damping: (B,) > 0.
    """
    library = native.kernel()
    if library is None:
        return _damped_step_in_numpy(skeleton, posture, axes, residuals, weights, damping)
    bodies = [np.ascontiguousarray(array, np.float64) for array in (posture.positions, axes, residuals, weights, damping)]
    step = np.empty((*axes.shape[:2], 3))

    def fill_chunk(rows: slice) -> None:
        native.damped_step_into(library, skeleton.tree, [array[rows] for array in bodies], step[rows])

    for_each_chunk(fill_chunk, len(step))
    return step.astype(axes.dtype)


def damped_step_of_floating(
    skeleton: Skeleton, posture: Posture, axes: np.ndarray, residuals: np.ndarray, weights: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """The same turns (B, J, 3) for bodies that may be shifted as a whole as well; the shift itself is not given.

    The shift is eliminated last: it takes one more step for each direction in space, as if every node wanted to go there.
    """
    alone = damped_step(skeleton, posture, axes, residuals, weights, damping)
    along = [
        damped_step(skeleton, posture, axes, np.broadcast_to(direction, residuals.shape), weights, damping)
        for direction in np.eye(3, dtype=axes.dtype)
    ]
    left = _weighted_sum(weights, residuals - node_velocities(skeleton, posture, axes, alone))
    resistance = weights.sum(axis=1)[:, None, None] * np.eye(3, dtype=axes.dtype) - np.stack(
        [_weighted_sum(weights, node_velocities(skeleton, posture, axes, turns)) for turns in along], axis=-1
    )
    shift = np.linalg.solve(resistance, left[..., None])  # (B, 3, 1)
    return alone - (np.stack(along, axis=-1) @ shift[:, None])[..., 0]


def node_velocities(skeleton: Skeleton, posture: Posture, axes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(B, N, 3) how the nodes move when the joints turn about axes (B, J, 3, 3) by turns (B, J, 3): jacobian times turns."""
    spins = (turns[..., None, :] @ axes)[..., 0, :]  # (B, J, 3), in the end including all ancestors' spins
    velocities = np.zeros_like(posture.positions)
    for level in skeleton.levels:
        parent_spins = spins[:, level.parent_joints]
        arms = posture.positions[:, level.nodes] - posture.positions[:, level.parents]
        velocities[:, level.nodes] = velocities[:, level.parents] + _cross(parent_spins, arms)
        spins[:, level.joints] += parent_spins[:, level.inner]
    return velocities


def _weighted_sum(weights: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(B, 3) sum of vectors (B, N, 3)."""
    return (weights[..., None] * vectors).sum(axis=1)


def _damped_step_in_numpy(
    skeleton: Skeleton, posture: Posture, axes: np.ndarray, residuals: np.ndarray, weights: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """As damped_step."""
    chunks = [slice(first, first + CHUNK) for first in range(0, len(axes), CHUNK)]
    steps = [
        _damped_step(skeleton, Posture(*(a[rows] for a in posture)), axes[rows], residuals[rows], weights[rows], damping[rows])
        for rows in chunks
    ]
    return np.concatenate(steps)


def _damped_step(
    skeleton: Skeleton, posture: Posture, axes: np.ndarray, residuals: np.ndarray, weights: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    batch, pivot_damping = len(axes), damping[:, None, None, None] * np.eye(3, dtype=axes.dtype)
    spins = (axes @ CROSS_WITH_UNIT.astype(axes.dtype)).reshape(*axes.shape, 3)  # (B, J, 3, 3, 3), point to velocity
    velocities_of_pairs = _velocities(skeleton, posture, axes, spins)  # (B, P, 3, 12)
    moments, pulls = _subtree_sums(skeleton, posture, residuals, weights)
    own = np.zeros((*spins.shape[:-1], 4), axes.dtype)  # velocities for a joint's own axes, which pass through it
    own[..., :3] = spins
    forces = (own.reshape(batch, -1, 9, 4) @ moments).reshape(batch, -1, 3, 12)  # (B, J, 3, 12)
    gradients = own.reshape(batch, -1, 3, 12) @ pulls  # (B, J, 3, 1)
    eliminated: list[np.ndarray] = []
    complements = None  # what eliminating the joints of a level leaves to those above: (B, m, 3 L, 1 + 3 L), gradient first
    for level in reversed(skeleton.levels):
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
    for level, solved in zip(skeleton.levels, reversed(eliminated), strict=True):
        ancestor_steps = step[:, level.lineages[:, :-1]].reshape(batch, len(level.lineages), -1, 1)
        step[:, level.lineages[:, -1]] = (solved[..., :1] - solved[..., 1:] @ ancestor_steps)[..., 0]
    return step


def _velocities(skeleton: Skeleton, posture: Posture, axes: np.ndarray, spins: np.ndarray) -> np.ndarray:
    """(B, P, 3, 12) velocity of a point for each axis of a joint, for all pairs in Skeleton.lineages.

    It is a matrix (3, 4), flattened, for points (x, y, z, 1) relative to the first joint of the pair; the axes are those
    of the second.
    """
    below, above = skeleton.lineages
    centres = posture.positions[:, skeleton.joints]
    arms = centres[:, below] - centres[:, above]  # (B, P, 3)
    velocities = np.empty((*arms.shape, 3, 4), spins.dtype)
    velocities[..., :3] = spins[:, above]
    velocities[..., 3] = _cross(axes[:, above], arms[..., None, :])
    return velocities.reshape(*arms.shape, 12)


def _subtree_sums(
    skeleton: Skeleton, posture: Posture, residuals: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the nodes below each joint of (x, y, z, 1), relative to the joint, times itself and times the residual.

    Returns (B, J, 4, 4) and (B, J, 12, 1).  Relative to the joint, because float32 forgets a finger's length in metres
    from the hip.
    """
    positions = posture.positions
    bones = (positions - positions[:, skeleton.parents])[..., None]  # (B, N, 3, 1)
    sums = np.zeros((*positions.shape[:2], 4, 7), positions.dtype)  # columns: x, y, z, 1 and the residual
    sums[..., 3, 3] = weights
    sums[..., 3, 4:] = weights[..., None] * residuals
    sums[:, skeleton.root] = 0
    for level in reversed(skeleton.levels):
        arms = bones[:, level.nodes]
        shifted = sums[:, level.nodes]
        shifted[..., :3, :] += arms * shifted[..., 3:, :]
        shifted[..., :3] += shifted[..., 3:4] * arms.swapaxes(2, 3)
        sums[:, skeleton.joints[level.lineages[:, -1]]] += _sums_of_siblings(level.summing, shifted)
    sums = sums[:, skeleton.joints]
    return sums[..., :4], sums[..., 4:].swapaxes(2, 3).reshape(*sums.shape[:2], 12, 1)


def _sums_of_siblings(summing: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(B, p, ...) sums of those values (B, n, ...) that `summing` (p, n) marks; zero where there is none."""
    flat = values.reshape(*values.shape[:2], -1)
    return (summing.astype(values.dtype) @ flat).reshape(len(values), len(summing), *values.shape[2:])


def _transposed(matrices: np.ndarray) -> np.ndarray:
    """A contiguous transpose: on a strided one np.matmul is five times slower."""
    return np.ascontiguousarray(matrices.swapaxes(-1, -2))


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """np.cross for (..., 3), several times faster."""
    product = np.empty(np.broadcast_shapes(a.shape, b.shape), a.dtype)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.multiply(a[..., j], b[..., k], out=product[..., i])
        product[..., i] -= a[..., k] * b[..., j]
    return product
