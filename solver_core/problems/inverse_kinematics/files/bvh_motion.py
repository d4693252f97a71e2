# SPDX-License-Identifier: Apache-2.0
"""What the joints of a BVH file do: rotations and places from the values of their channels."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh_text import BvhText, Node, read_bvh_text
from solver_core.problems.inverse_kinematics.skeleton.euler import wxyz_from_euler
from solver_core.reading import reading
from solver_core.rotations import multiply, rotate

DEFAULT_ORDER = "ZXY"
LEAST_MOVE = 1e-4  # of the longest bone; what moves less within its parent is rounding

log = logging.getLogger(__name__)


class BvhMotion(NamedTuple):
    """N nodes, the root first, and F frames; metres.

    offsets: (N, 3) within the parents.  rotations: (F, N, 4) wxyz.  root: (F, 3).  moving_offsets: (F, N, 3) where joints
    move within their parents, else None.  orders: Euler order of each node.  notices: sentences about what was mended.
    """

    names: list[str]
    parents: list[int]
    offsets: np.ndarray
    rotations: np.ndarray
    root: np.ndarray
    moving_offsets: np.ndarray | None
    orders: tuple[str, ...]
    frame_time: float
    metres_per_unit: float
    notices: tuple[str, ...]


def read_bvh_motion(path: str | Path, metres_per_unit: float | None = None) -> BvhMotion:
    """The content of a BVH file; see bvh.read_bvh.  What was mended is logged, too."""
    text = read_bvh_text(path)
    with reading(path, "BVH file", ObservationError):
        motion = _motion(text, text.guessed_unit() if metres_per_unit is None else metres_per_unit)
    for notice in motion.notices:
        log.warning("%s: %s", path, notice)
    return motion


def _motion(text: BvhText, unit: float) -> BvhMotion:
    rotations, offsets = _apply_channels(text)
    nodes, notices = _without_static_root(text, rotations, offsets)
    names = [text.names[node] for node in nodes]
    parents = [-1, *(nodes.index(text.parents[node]) for node in nodes[1:])]
    rotations, offsets = rotations[:, nodes], unit * offsets[:, nodes]
    root, offsets[:, 0] = offsets[:, 0].copy(), 0
    mean = offsets.mean(axis=0)
    is_moving = np.ptp(offsets, axis=0).max(axis=1) > LEAST_MOVE * max(np.linalg.norm(mean, axis=1).max(), 1e-9)
    if is_moving.any():
        moving = ", ".join(names[node] for node in np.flatnonzero(is_moving)[:5])
        notices.append(f"{int(is_moving.sum())} joints move within their parents ({moving}); the skeleton has their mean place")
    return BvhMotion(
        names,
        parents,
        np.where(is_moving[:, None], mean, offsets[0]),
        rotations,
        root,
        offsets if is_moving.any() else None,
        tuple(_complete_order(_order(text.nodes[node])) for node in nodes),
        text.frame_time,
        unit,
        (*text.notices, *notices),
    )


def _apply_channels(text: BvhText) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (F, N, 4), and positions (F, N, 3) within the parents in the file's unit."""
    count = len(text.values)
    rotations = np.tile([1.0, 0, 0, 0], (count, len(text.nodes), 1))
    offsets = np.tile(text.offsets, (count, 1, 1))
    first = 0
    for number, node in enumerate(text.nodes):
        columns = text.values[:, first : first + len(node.channels)]
        first += len(node.channels)
        is_rotation = np.array([channel.endswith("rotation") for channel in node.channels], dtype=bool)
        if order := _order(node):
            rotations[:, number] = wxyz_from_euler(np.deg2rad(columns[:, is_rotation]), order)
        for channel, column in zip(node.channels, columns.T, strict=True):
            if channel.endswith("position"):
                offsets[:, number, "XYZ".index(channel[0])] = column
    return rotations, offsets


def _without_static_root(text: BvhText, rotations: np.ndarray, offsets: np.ndarray) -> tuple[list[int], list[str]]:
    """Numbers of the nodes that are kept, and a sentence: the root is left out while it stands still above what moves.

    Such as the reference above the hips.  What moves then has the root's place and rotation in it; changes the arrays.
    """
    nodes, root = list(range(len(text.nodes))), 0
    is_still = lambda node: np.ptp(rotations[:, node], axis=0).max() < 1e-9 and np.ptp(offsets[:, node], axis=0).max() < 1e-9
    while len(offsets) > 1 and is_still(root):
        below = {int(child): _below(text.parents, int(child)) for child in np.flatnonzero(np.array(text.parents) == root)}
        largest = max(below, key=lambda child: len(below[child]), default=root)
        if largest == root or not np.ptp(offsets[:, largest], axis=0).max() > 0 or 2 * len(below[largest]) < len(nodes):
            break
        offsets[:, largest] = offsets[:, root] + rotate(rotations[:, root], offsets[:, largest])
        rotations[:, largest] = multiply(rotations[:, root], rotations[:, largest])
        nodes, root = below[largest], largest
    if root == 0:
        return nodes, []
    return nodes, [f"{text.names[root]} moves below {text.names[0]}, which stands still and is left out"]


def _below(parents: list[int], node: int) -> list[int]:
    """The node and all below it, in file order, in which parents come first."""
    found = [int(node)]
    for number in range(node + 1, len(parents)):
        if parents[number] in found:
            found.append(number)
    return found


def _order(node: Node) -> str:
    """Axes of a node's rotations, such as "ZXY"; empty without any."""
    return "".join(channel[0] for channel in node.channels if channel.endswith("rotation"))


def _complete_order(order: str) -> str:
    """An Euler order of three axes that starts like the given one."""
    if not order:
        return DEFAULT_ORDER
    return "".join(dict.fromkeys(order + "XYZ"))[:3]
