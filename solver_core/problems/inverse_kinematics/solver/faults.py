# SPDX-License-Identifier: Apache-2.0
"""What is wrong with captured positions: noise, outliers, left and right exchanged, gaps.

Bones keep their lengths, and what has mass moves smoothly.  What breaks the first is noise or an outlier; what breaks the
second alone is two sides exchanged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

EXACT = 5e-5  # metres; less is rounding in a file
FROM_MAD = 1.4826  # standard deviation over median absolute deviation of a normal distribution
SHORTEST_BONE = 0.08  # metres; the length of a shorter one hardly tells noise
ENOUGH_FRAMES = 5  # from which on roughness over time can be told
REACH = 4  # frames on either side that an outlier is compared with
BROKEN_BONE = (0.03, 0.25, 6.0)  # metres, share of its length, standard deviations: a bone as far off has an outlier at an end
OUTLIER = (0.04, 5.0, 4.0)  # metres, standard deviations, times its own motion: a node as far off is one
ALL_BROKEN = 0.25  # of that suffices where no bone of the node has its length
SWAP = (0.02, 0.2)  # metres a node, share of the way: exchanging sides must save as much
FAST = 2.0  # times the usual way, and more than SWAP a node: the whole body jumps, and another take begins
CONTINUOUS = 0.15  # of the way between the sides; where nodes move farther from frame to frame, the frames are no motion
ALIKE = 0.05  # of the longest bone: two limbs whose bones differ by less are of the same kind
LARGE_LIMB = 0.1  # of the length of all bones; only arms and legs are exchanged, not fingers


class Faults(NamedTuple):
    """What was found in captured positions.

    positions: (F, N, 3) metres, sides exchanged back.  weights: (F, N), 0 where nothing is known: not given or an outlier.
    noise: metres an axis, of each frame alone.  drift: the same, of what stays for several frames.
    is_outlier: (F, N).  is_swapped: (F, N) nodes that were exchanged with those of the other side.
    """

    positions: np.ndarray
    weights: np.ndarray
    noise: float
    drift: float
    is_outlier: np.ndarray
    is_swapped: np.ndarray


def find_faults(positions: np.ndarray, weights: np.ndarray, skeleton: Skeleton) -> Faults:
    """Faults of positions (F, N, 3) with weights (F, N), 0 = not given."""
    positions, is_swapped = _with_sides_straight(positions, weights > 0, skeleton)
    noise, drift = measured_noise(positions, weights > 0, skeleton)
    is_outlier = _outliers(positions, weights > 0, skeleton, float(np.hypot(noise, drift)))
    weights = np.where(is_outlier, 0, weights)
    if is_outlier.any():
        noise, drift = measured_noise(positions, weights > 0, skeleton)
    return Faults(positions, weights, noise, drift, is_outlier, is_swapped)


def measured_noise(positions: np.ndarray, is_given: np.ndarray, skeleton: Skeleton) -> tuple[float, float]:
    """Noise of targets, by bones that would keep their lengths without it; how motions accelerate does not matter.

    Args:
        positions: (F, N, 3) metres.
        is_given: (F, N) bool.
        skeleton: of the nodes.

    Returns:
        Standard deviation of a coordinate, metres: of what changes from frame to frame, and of what stays for several.  0 for a
        few frames only and where no bone has both ends given.
    """
    of_bones = [_bone_noise(lengths) for lengths in _bone_lengths(positions, is_given, skeleton)]
    if not of_bones:
        return 0.0, 0.0
    rough, whole = np.sqrt(np.mean(np.square(of_bones), axis=0))
    if whole < EXACT:
        return 0.0, 0.0
    return float(rough), float(np.sqrt(max(whole**2 - rough**2, 0)))


def _bone_lengths(positions: np.ndarray, is_given: np.ndarray, skeleton: Skeleton) -> list[np.ndarray]:
    """Lengths over time of those bones that are long enough and given often enough; nan where an end is missing."""
    nodes = np.flatnonzero(skeleton.parents >= 0)
    nodes = nodes[skeleton.bone_lengths[nodes] >= min(SHORTEST_BONE, np.median(skeleton.bone_lengths[nodes]))]
    parents = skeleton.parents[nodes]
    has_both = is_given[:, nodes] & is_given[:, parents]
    lengths = np.linalg.norm(positions[:, nodes] - positions[:, parents], axis=-1)
    lengths = np.where(has_both, lengths, np.nan)
    return [lengths[:, n] for n in np.flatnonzero(has_both.sum(axis=0) >= ENOUGH_FRAMES)]


def _bone_noise(lengths: np.ndarray) -> tuple[float, float]:
    """Standard deviation of the ends' coordinates along a bone: from frame to frame, and in all; lengths may have nan."""
    given = lengths[np.isfinite(lengths)]
    second = np.diff(lengths, n=2)
    second = second[np.isfinite(second)]
    whole = FROM_MAD * np.median(np.abs(given - np.median(given))) / np.sqrt(2)
    rough = FROM_MAD * np.median(np.abs(second)) / np.sqrt(12) if len(second) else whole
    return min(rough, whole), whole


def _outliers(positions: np.ndarray, is_given: np.ndarray, skeleton: Skeleton, noise: float) -> np.ndarray:
    """(F, N) bool: nodes at an end of a bone of impossible length that are far from where they are before and after."""
    is_outlier = np.zeros(is_given.shape, bool)
    if len(positions) < ENOUGH_FRAMES:
        return is_outlier
    for _ in range(3):  # two outliers beside each other hide one another
        is_known = is_given & ~is_outlier
        share = _share_of_broken_bones(positions, is_known, skeleton, noise)
        frames, nodes = np.nonzero(share)
        if len(frames) == 0:
            break
        windows = frames[:, None] + np.arange(-REACH, REACH + 1)
        is_inside = (windows >= 0) & (windows < len(positions))
        windows = np.clip(windows, 0, len(positions) - 1)
        is_near = is_inside & is_known[windows, nodes[:, None]]
        near = np.where(is_near[..., None], positions[windows, nodes[:, None]], np.nan)  # (S, W, 3)
        middle = np.nanmedian(near, axis=1)
        spread = np.nanmedian(np.linalg.norm(near - middle[:, None], axis=-1), axis=1)
        off = np.linalg.norm(positions[frames, nodes] - middle, axis=-1)
        bound = np.maximum(OUTLIER[0], np.maximum(OUTLIER[1] * np.sqrt(3) * noise, OUTLIER[2] * spread))
        bound = np.where(share[frames, nodes] == 1, np.maximum(OUTLIER[0], ALL_BROKEN * bound), bound)
        found = (off > bound) & (is_near.sum(axis=1) > 2)
        if not found.any():
            break
        is_outlier[frames[found], nodes[found]] = True
    return is_outlier


def _share_of_broken_bones(positions: np.ndarray, is_given: np.ndarray, skeleton: Skeleton, noise: float) -> np.ndarray:
    """(F, N) share of the bones at each node whose length is impossible."""
    nodes = np.flatnonzero(skeleton.parents >= 0)
    parents = skeleton.parents[nodes]
    has_both = is_given[:, nodes] & is_given[:, parents]
    bones = np.linalg.norm(positions[:, nodes] - positions[:, parents], axis=-1)
    lengths = np.ma.median(np.ma.array(bones, mask=~has_both), axis=0).filled(0)
    bound = np.maximum(BROKEN_BONE[0], np.maximum(BROKEN_BONE[1] * lengths, BROKEN_BONE[2] * np.sqrt(2) * noise))
    is_broken = has_both & (np.abs(bones - lengths) > bound)
    ends = np.zeros((len(nodes), skeleton.num_nodes))  # 1 for both ends of each bone
    ends[np.arange(len(nodes)), nodes] = ends[np.arange(len(nodes)), parents] = 1
    return (is_broken @ ends) / np.maximum(has_both @ ends, 1)


def _with_sides_straight(positions: np.ndarray, is_given: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Positions with limbs on the side where they are most of the time, and (F, N) bool where they were not.

    First all that come in pairs together, eyes included, then each pair of arms or legs.
    """
    pairs = mirrored_limbs(skeleton)
    together = [tuple(np.concatenate(nodes) for nodes in zip(*pairs, strict=True))] if pairs else []
    least = LARGE_LIMB * skeleton.bone_lengths.sum()
    pairs = [pair for pair in pairs if skeleton.bone_lengths[pair[0]].sum() >= least]
    positions, is_swapped = positions.copy(), np.zeros(is_given.shape, bool)
    for left, right in together + pairs:
        rows = np.flatnonzero(_on_other_side(positions[:, left], positions[:, right], is_given[:, left] & is_given[:, right]))
        positions[np.ix_(rows, left)], positions[np.ix_(rows, right)] = (
            positions[np.ix_(rows, right)],
            positions[np.ix_(rows, left)],
        )
        is_swapped[np.ix_(rows, np.concatenate([left, right]))] ^= True
    return positions, is_swapped


def _on_other_side(left: np.ndarray, right: np.ndarray, is_given: np.ndarray) -> np.ndarray:
    """(F,) bool frames in which nodes (F, K, 3) of two sides are exchanged: the least way of all nodes through the motion.

    None where the frames follow each other too far apart to be a motion.

    Dynamic programming over which side is which in each frame (Viterbi 1967).
    """
    both = (is_given[1:] & is_given[:-1]).astype(float)  # (F - 1, K)
    stay = np.linalg.norm(left[1:] - left[:-1], axis=-1) + np.linalg.norm(right[1:] - right[:-1], axis=-1)
    change = np.linalg.norm(left[1:] - right[:-1], axis=-1) + np.linalg.norm(right[1:] - left[:-1], axis=-1)
    apart = 2 * (both * np.linalg.norm(left[1:] - right[1:], axis=-1)).sum(axis=1)
    stay, change = (both * stay).sum(axis=1), (both * change).sum(axis=1)
    if len(left) < ENOUGH_FRAMES or np.median(np.minimum(stay, change)) > CONTINUOUS * np.median(apart):
        return np.zeros(len(left), bool)
    count = both.sum(axis=1)
    usual = np.median(np.minimum(stay, change)) + 2 * SWAP[0] * count
    is_cut = np.minimum(stay, change) > FAST * usual
    change = np.where(is_cut, np.inf, change + 2 * SWAP[0] * count + SWAP[1] * stay)
    if (change >= stay).all():
        return np.zeros(len(left), bool)
    cost, came_from = np.zeros(2), np.zeros((len(left), 2), int)
    for frame in range(1, len(left)):
        ways = cost[:, None] + np.where(np.eye(2) == 1, stay[frame - 1], change[frame - 1])
        came_from[frame] = ways.argmin(axis=0)
        cost = ways.min(axis=0)
    side = np.zeros(len(left), int)
    side[-1] = int(cost.argmin())
    for frame in range(len(left) - 1, 0, -1):
        side[frame - 1] = came_from[frame, side[frame]]
    return (side == 1) if side.mean() <= 0.5 else (side == 0)


def mirrored_limbs(skeleton: Skeleton) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of limbs that hang on the same joint, branch alike and are as long; nodes (K,) of both in the same order.

    What hangs on a limb itself, such as fingers, comes with it and is no pair.
    """
    found, is_paired = [], np.zeros(skeleton.num_nodes, bool)
    for joint in [skeleton.root, *(node for level in skeleton.levels for node in level.nodes[level.inner])]:
        limbs = [_limb(skeleton, child) for child in np.flatnonzero((skeleton.parents == joint) & ~is_paired)]
        for number, (nodes, shape) in enumerate(limbs):
            for others, other_shape in limbs[number + 1 :]:
                if shape != other_shape or is_paired[[nodes[0], others[0]]].any():
                    continue
                one, other = skeleton.bone_lengths[nodes], skeleton.bone_lengths[others]
                if np.abs(one - other).max() < ALIKE * one.max():
                    found.append((nodes, others))
                    is_paired[np.concatenate([nodes, others])] = True
    return found


def _limb(skeleton: Skeleton, top: np.integer) -> tuple[np.ndarray, tuple[int, ...]]:
    """Nodes from `top` down, in an order that depends on the tree alone, and how many children each has."""
    nodes, counts = [int(top)], []
    for node in nodes:
        children = np.flatnonzero(skeleton.parents == node)
        counts.append(len(children))
        nodes += children.tolist()
    return np.array(nodes), tuple(counts)
