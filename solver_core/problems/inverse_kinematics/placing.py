# SPDX-License-Identifier: Apache-2.0
"""Brings named targets into the unit and the axes of the skeleton that is to follow them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.files.targets import AXES, NamedTargets
from solver_core.problems.inverse_kinematics.names.mapping import Matching, body_map, targets_of_skeleton
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

WRONG_UNIT = 8.0  # bones whose ends are this many times farther apart than at rest, or nearer, are in another unit
FACTORS = (1e-3, 1e-2, 0.0254, 0.1, 0.3048, 1 / 0.3048, 10.0, 1 / 0.0254, 100.0, 1e3)  # that units differ by
UPPER, LOWER = ("head", "neck", "chest", "lShldr", "rShldr", "lCollar", "rCollar"), ("lFoot", "rFoot", "lShin", "rShin")
UPRIGHT, USUALLY = np.cos(np.radians(35)), 0.9  # a body stands along an axis if it is that near to it in so many frames
OPPOSITE = -0.7  # cosine between spine and legs of a rest pose that shows which way is up


class Placed(NamedTuple):
    """positions: (F, N, 3) metres in the skeleton's axes, nan where none is given.  turn: (3, 3) these axes from those of
    the targets.  notices: what was changed.
    """

    positions: np.ndarray
    turn: np.ndarray
    notices: tuple[str, ...]


def fit_to_skeleton(targets: NamedTargets, matching: Matching, skeleton: Skeleton) -> Placed:
    """Targets for the nodes of a skeleton.

    Args:
        targets: named points in any unit and with any axis up.
        matching: which of them is which node's.
        skeleton: whose unit and axis they are brought to.
    """
    positions = targets_of_skeleton(targets, matching, skeleton)
    turn, notices = np.eye(3), []
    ratio = size_ratio(positions, np.any(np.all(np.isfinite(positions), axis=2), axis=0), skeleton)
    if not targets.is_unit_known and ratio > 0 and not 1 / WRONG_UNIT < ratio < WRONG_UNIT:
        factor = min(FACTORS, key=lambda factor: abs(np.log(factor * ratio)))
        positions = factor * positions
        notices.append(f"the targets are {ratio:.3g} times as large as the skeleton; their unit is taken for {factor:g} m")
    of_targets = targets.up or _standing_axis(positions, skeleton)
    of_skeleton = _axis_at_rest(skeleton) or ("y" if targets.up else None)
    if of_targets and of_skeleton and of_targets != of_skeleton:
        turn = _turn(of_targets, of_skeleton)
        positions = positions @ turn.T
        how = "is said to point up" if targets.up else "points up"
        notices.append(f"{of_targets} {how} in the targets; they were turned so that {of_skeleton} does, as in the skeleton")
    return Placed(positions, turn, tuple(notices))


def size_ratio(positions: np.ndarray, is_given: np.ndarray, skeleton: Skeleton) -> float:
    """Distances between given nodes (N,) that follow each other in the tree over those at rest, in the median; 0 if unknown."""
    pairs = [(node, _given_ancestor(int(node), is_given, skeleton)) for node in np.flatnonzero(is_given)]
    nodes, ancestors = np.array([pair for pair in pairs if pair[1] >= 0], dtype=int).reshape(-1, 2).T
    rest = skeleton.rest_positions()
    at_rest = np.linalg.norm(rest[nodes] - rest[ancestors], axis=-1)
    distances = np.linalg.norm(positions[:, nodes] - positions[:, ancestors], axis=-1)[:, at_rest > 0]
    ratios = distances / at_rest[at_rest > 0]
    return float(np.median(ratios[np.isfinite(ratios)])) if np.isfinite(ratios).any() else 0.0


def _given_ancestor(node: int, is_given: np.ndarray, skeleton: Skeleton) -> int:
    """The nearest ancestor with a target, -1 without one."""
    ancestor = int(skeleton.parents[node])
    while ancestor >= 0 and not is_given[ancestor]:
        ancestor = int(skeleton.parents[ancestor])
    return ancestor


def _standing_axis(positions: np.ndarray, skeleton: Skeleton) -> str | None:
    """The axis along which a body stands in most frames (F, N, 3); None if non-human, or if it sits or lies."""
    upwards = _upwards(positions, skeleton)
    if upwards is None:
        return None
    lengths = np.linalg.norm(upwards, axis=1)
    known = np.isfinite(lengths) & (lengths > 0)
    cosines = upwards[known] @ _vectors().T / lengths[known, None]
    shares = (cosines > UPRIGHT).mean(axis=0) if known.any() else np.zeros(len(AXES))
    return AXES[int(np.argmax(shares))] if shares.max() > USUALLY else None


def up_at_rest(skeleton: Skeleton) -> np.ndarray:
    """(3,) unit vector that points up in the rest pose; y where that does not show it."""
    return _vectors()[AXES.index(_axis_at_rest(skeleton) or "y")]


def _axis_at_rest(skeleton: Skeleton) -> str | None:
    """The axis that points up in the rest pose, if that shows it: legs away from the spine."""
    found, rest = body_map(skeleton), skeleton.rest_positions()
    if found is None:
        return None
    at = {part: rest[skeleton.index(name)] for part, name in found.node_of.items()}
    legs = [at[part] - at["hip"] for part in LOWER if part in at]
    spine = [at[part] - at["hip"] for part in UPPER if part in at]
    if not legs or not spine:
        return None
    down, up = np.mean(legs, axis=0), np.mean(spine, axis=0)
    lengths = np.linalg.norm(down) * np.linalg.norm(up)
    if lengths == 0 or down @ up > OPPOSITE * lengths:
        return None
    return AXES[int(np.argmax(_vectors() @ (up - down)))]


def _upwards(positions: np.ndarray, skeleton: Skeleton) -> np.ndarray | None:
    """(F, 3) from the lower to the upper parts of a body that are given."""
    found = body_map(skeleton)
    if found is None:
        return None
    ends = []
    for parts in (UPPER, LOWER):
        nodes = [skeleton.index(found.node_of[part]) for part in parts if part in found.node_of]
        nodes = [node for node in nodes if np.isfinite(positions[:, node]).any()]
        if not nodes:
            return None
        ends.append(np.where(np.isfinite(positions[:, nodes]), positions[:, nodes], np.nan).mean(axis=1))
    return ends[0] - ends[1]


def _vectors() -> np.ndarray:
    """(6, 3) unit vectors of AXES."""
    return np.array([(-1 if axis[0] == "-" else 1) * np.eye(3)["xyz".index(axis[-1])] for axis in AXES])


def _turn(start: str, end: str) -> np.ndarray:
    """(3, 3) the rotation that takes one axis to another the shortest way; about x, or z, where they are opposite."""
    a, b = (_vectors()[AXES.index(axis)] for axis in (start, end))
    if (a == -b).all():
        about = np.eye(3)[2 if start[-1] == "x" else 0]
        return 2 * np.outer(about, about) - np.eye(3)
    cross = np.cross(np.eye(3), np.cross(a, b))
    return np.eye(3) + cross + cross @ cross / (1 + a @ b)
