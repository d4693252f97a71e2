"""Reads and writes BVH files: a skeleton and its motion."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE, Node, read_bvh_text
from solver_core.problems.inverse_kinematics.skeleton.euler import euler_from_wxyz, wxyz_from_euler
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.reading import reading
from solver_core.writing import write_text

DEFAULT_ORDER = "ZXY"

log = logging.getLogger(__name__)


def read_bvh(path: str | Path, metres_per_unit: float | None = None) -> Motion:
    """The skeleton and motion of a BVH file.  End sites become nodes "<parent>_end"; those of length 0 are left out.

    BVH files state no unit: without metres_per_unit, one whose rest pose is longer than 10 is read as centimetres, else
    as metres.  Raises ObservationError if the file is missing, truncated or no BVH.
    """
    text = read_bvh_text(path)
    with reading(path, "BVH file", ObservationError):
        unit = text.guessed_unit() if metres_per_unit is None else metres_per_unit
        skeleton = Skeleton(text.names, text.parents, unit * text.offsets)
        rotations, root = _apply_channels(text.nodes, text.values)
        orders = tuple(_complete_order("".join(c[0] for c in n.channels if c.endswith("rotation"))) for n in text.nodes)
        return Motion(skeleton, rotations, unit * root, text.frame_time, orders, unit)


def write_bvh(path: str | Path, motion: Motion) -> None:
    """Writes a BVH file that read_bvh reads back, with the motion's own orders and unit.  Raises ConfigError."""
    lines = ["HIERARCHY", *_hierarchy_lines(motion, motion.skeleton.root, 0)]
    columns = [motion.root / motion.metres_per_unit]
    for node in _file_order(motion.skeleton, motion.skeleton.root):
        if not _is_end_site(motion.skeleton, node):
            columns.append(np.rad2deg(euler_from_wxyz(motion.rotations[:, node].astype(np.float64), motion.orders[node])))
    lines += ["MOTION", f"Frames: {motion.num_frames}", f"Frame Time: {motion.frame_time:.8g}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    write_text(path, "\n".join(lines) + "\n", "motion")


def _apply_channels(nodes: list[Node], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (F, N, 4) and the root's positions (F, 3)."""
    rotations = np.zeros((len(values), len(nodes), 4))
    rotations[..., 0] = 1
    root = np.tile(np.array(nodes[0].offset), (len(values), 1))
    first = 0
    for number, node in enumerate(nodes):
        columns = values[:, first : first + len(node.channels)]
        first += len(node.channels)
        is_rotation = np.array([channel.endswith("rotation") for channel in node.channels], dtype=bool)
        order = "".join(channel[0] for channel in node.channels if channel.endswith("rotation"))
        if order:
            rotations[:, number] = wxyz_from_euler(np.deg2rad(columns[:, is_rotation]), order)
        for channel, column in zip(node.channels, columns.T, strict=True):
            axis = "XYZ".index(channel[0])
            if channel.endswith("position") and number == 0:
                root[:, axis] = column
            elif channel.endswith("position") and np.abs(column - node.offset[axis]).max() > 1e-3:
                log.warning("the joint %s moves within its parent; its %s is not used", node.name, channel)
    return rotations, root


def _complete_order(order: str) -> str:
    """An Euler order of three axes that starts like the given one."""
    if not order:
        return DEFAULT_ORDER
    return "".join(dict.fromkeys(order + "XYZ"))[:3]


def _is_end_site(skeleton: Skeleton, node: int) -> bool:
    is_leaf = skeleton.joint_of_node[node] < 0
    return is_leaf and skeleton.names[node] == skeleton.names[skeleton.parents[node]] + END_SITE


def _file_order(skeleton: Skeleton, node: int) -> list[int]:
    """The node and everything below it, depth first."""
    order = [node]
    for child in np.flatnonzero(skeleton.parents == node):
        order += _file_order(skeleton, int(child))
    return order


def _hierarchy_lines(motion: Motion, node: int, depth: int) -> list[str]:
    skeleton = motion.skeleton
    indent = "  " * depth
    is_root = node == skeleton.root
    offset = np.zeros(3) if is_root else skeleton.offsets[node] / motion.metres_per_unit
    end_site = _is_end_site(skeleton, node)
    kind = "End Site" if end_site else f"{'ROOT' if is_root else 'JOINT'} {skeleton.names[node]}"
    lines = [f"{indent}{kind}", f"{indent}{{", f"{indent}  OFFSET {' '.join(f'{value:.6g}' for value in offset)}"]
    if not end_site:
        order = " ".join(f"{axis}rotation" for axis in motion.orders[node])
        channels = f"6 Xposition Yposition Zposition {order}" if is_root else f"3 {order}"
        lines.append(f"{indent}  CHANNELS {channels}")
        if skeleton.joint_of_node[node] < 0:
            lines += [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET 0 0 0", f"{indent}  }}"]
    for child in np.flatnonzero(skeleton.parents == node):
        lines += _hierarchy_lines(motion, int(child), depth + 1)
    return [*lines, f"{indent}}}"]
