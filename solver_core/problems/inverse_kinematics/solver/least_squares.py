# SPDX-License-Identifier: Apache-2.0
"""Damped least squares steps of bodies that may be shifted as a whole; those of fixed roots are kernel/tree.py's."""

from __future__ import annotations

import numpy as np

from solver_core.kernel.tree import JointTree, cross, damped_step


def damped_step_of_floating(
    tree: JointTree, positions: np.ndarray, axes: np.ndarray, residuals: np.ndarray, weights: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """The turns of `kernel.tree.damped_step`, with its arguments, for bodies that may be shifted as a whole as well.

    The shift is eliminated last: it takes one more step for each direction in space, as if every node wanted to go there.

    Returns:
        (B, J, 3) turns; the shift itself is not given.
    """
    alone = damped_step(tree, positions, axes, residuals, weights, damping)
    along = [
        damped_step(tree, positions, axes, np.broadcast_to(direction, residuals.shape), weights, damping)
        for direction in np.eye(3, dtype=axes.dtype)
    ]
    left = _weighted_sum(weights, residuals - node_velocities(tree, positions, axes, alone))
    resistance = weights.sum(axis=1)[:, None, None] * np.eye(3, dtype=axes.dtype) - np.stack(
        [_weighted_sum(weights, node_velocities(tree, positions, axes, turns)) for turns in along], axis=-1
    )
    shift = np.linalg.solve(resistance, left[..., None])  # (B, 3, 1)
    return alone - (np.stack(along, axis=-1) @ shift[:, None])[..., 0]


def node_velocities(tree: JointTree, positions: np.ndarray, axes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """(B, N, 3) how the nodes move when the joints turn about axes (B, J, 3, 3) by turns (B, J, 3): jacobian times turns."""
    spins = (turns[..., None, :] @ axes)[..., 0, :]  # (B, J, 3), in the end including all ancestors' spins
    velocities = np.zeros_like(positions)
    for level in tree.levels:
        parent_spins = spins[:, level.parent_joints]
        arms = positions[:, level.nodes] - positions[:, level.parents]
        velocities[:, level.nodes] = velocities[:, level.parents] + cross(parent_spins, arms)
        spins[:, level.joints] += parent_spins[:, level.inner]
    return velocities


def _weighted_sum(weights: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(B, 3) sum of vectors (B, N, 3)."""
    return (weights[..., None] * vectors).sum(axis=1)
