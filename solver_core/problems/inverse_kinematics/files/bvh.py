# SPDX-License-Identifier: Apache-2.0
"""Reads and writes BVH files: a skeleton and its motion."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.files.bvh_motion import read_bvh_motion
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE
from solver_core.problems.inverse_kinematics.skeleton.euler import continuous_euler
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.reading import reading
from solver_core.writing import write_text


def read_bvh(path: str | Path, metres_per_unit: float | None = None) -> Motion:
    """The skeleton and motion of a BVH file, read as tolerantly as Blender does; what was mended is logged.

    End sites become nodes "<parent>_end"; those of length 0 are left out.  A root that stands still above a joint that moves
    is left out.  Where other joints move within their parents the skeleton has their mean place, and Motion.offsets the rest.

    Args:
        path: of the file.
        metres_per_unit: BVH files state no unit; None takes one whose rest pose is larger than 10 for centimetres, one larger
            than 500 for millimetres, else metres.

    Raises:
        ObservationError: if the file is missing or no BVH.
    """
    read = read_bvh_motion(path, metres_per_unit)
    with reading(path, "BVH file", ObservationError):
        skeleton = Skeleton(read.names, read.parents, read.offsets)
    return Motion(
        skeleton,
        read.rotations,
        read.root,
        read.frame_time,
        read.orders,
        read.metres_per_unit,
        read.moving_offsets,
        read.notices,
    )


def write_bvh(path: str | Path, motion: Motion) -> None:
    """Writes a BVH file that read_bvh reads back, with the motion's own orders and unit.

    Angles go on from frame to frame without a jump that the rotations do not make, so that they can be interpolated.
    Raises ConfigError.
    """
    lines = ["HIERARCHY", *_hierarchy_lines(motion, motion.skeleton.root, 0)]
    joints = [n for n in _file_order(motion.skeleton, motion.skeleton.root) if not _is_end_site(motion.skeleton, n)]
    angles = np.empty((motion.num_frames, len(motion.orders), 3))
    for order in set(motion.orders):
        nodes = [node for node in joints if motion.orders[node] == order]
        angles[:, nodes] = np.rad2deg(continuous_euler(motion.rotations[:, nodes].astype(np.float64), order))
    columns = [motion.root / motion.metres_per_unit, angles[:, joints].reshape(motion.num_frames, -1)]
    lines += ["MOTION", f"Frames: {motion.num_frames}", f"Frame Time: {motion.frame_time:.8g}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    write_text(path, "\n".join(lines) + "\n", "motion")


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
