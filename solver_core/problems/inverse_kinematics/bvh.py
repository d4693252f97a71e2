"""Reads and writes BVH files: a skeleton and its motion."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core.errors import ObservationError
from solver_core.problems.inverse_kinematics.euler import euler_from_wxyz, wxyz_from_euler
from solver_core.problems.inverse_kinematics.skeleton import Skeleton
from solver_core.writing import write_text

LARGEST_REST_IN_METRES = 10.0  # a rest pose with a longer side is taken for centimetres
DEFAULT_ORDER = "ZXY"
END_SITE = "_end"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Motion:
    """A skeleton with F frames.  rotations (F, N, 4) wxyz in the parents' frames, identity for end sites; root (F, 3).

    frame_time: seconds.  orders: Euler order of each node in the file.  metres_per_unit: length unit of the file.
    """

    skeleton: Skeleton
    rotations: np.ndarray
    root: np.ndarray
    frame_time: float
    orders: tuple[str, ...]
    metres_per_unit: float

    @property
    def num_frames(self) -> int:
        return len(self.rotations)


def read_bvh(path: str | Path, metres_per_unit: float | None = None) -> Motion:
    """The skeleton and motion of a BVH file.  End sites become nodes "<parent>_end"; those of length 0 are left out.

    BVH files state no unit: without metres_per_unit, one whose rest pose is longer than 10 is read as centimetres, else
    as metres.  Raises ObservationError if the file is missing, truncated or no BVH.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ObservationError(f"cannot read the BVH file {path}: {error.strerror or error}") from error
    header, found, motion = text.partition("MOTION")
    if not header.lstrip().startswith("HIERARCHY") or not found:
        raise ObservationError(f"{path} is no complete BVH file: it needs the sections HIERARCHY and MOTION")
    try:
        nodes = _read_hierarchy(iter(header.split()))
    except StopIteration:
        raise ObservationError(f"the BVH file {path} is truncated in the middle of its hierarchy") from None
    except ValueError as error:
        raise ObservationError(f"the hierarchy of the BVH file {path} cannot be read: {error}") from error
    skeleton = Skeleton([n.name for n in nodes], [n.parent for n in nodes], np.array([n.offset for n in nodes]))
    if metres_per_unit is None:
        extent = float(np.ptp(skeleton.rest_positions(), axis=0).max())
        metres_per_unit = 0.01 if extent > LARGEST_REST_IN_METRES else 1.0
    frame_time, values = _read_motion(motion, sum(len(node.channels) for node in nodes), path)
    rotations, root = _apply_channels(nodes, values)
    orders = tuple(_complete_order("".join(c[0] for c in node.channels if c.endswith("rotation"))) for node in nodes)
    return Motion(skeleton.scaled(metres_per_unit), rotations, root * metres_per_unit, frame_time, orders, metres_per_unit)


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


@dataclass
class _Node:
    name: str
    parent: int
    offset: list[float]
    channels: list[str]


def _read_hierarchy(words: Iterator[str]) -> list[_Node]:
    """The nodes in file order.  Raises StopIteration where the words end too early, ValueError for unknown words."""
    nodes: list[_Node] = []
    open_nodes: list[int] = []
    if next(words) != "HIERARCHY":
        raise ValueError("it does not start with HIERARCHY")
    while True:
        word = next(words)
        if word in ("ROOT", "JOINT", "End"):
            name = []
            while (part := next(words)) != "{":
                name.append(part)
            parent = open_nodes[-1] if open_nodes else -1
            if word != "End" and not name:
                raise ValueError("a joint has no name")
            if (word == "ROOT") != (parent == -1):
                raise ValueError(f"{word} {' '.join(name)} stands in the wrong place")
            full_name = nodes[parent].name + END_SITE if word == "End" else " ".join(name)
            nodes.append(_Node(full_name, parent, [0.0, 0.0, 0.0], []))
            open_nodes.append(len(nodes) - 1)
        elif word == "OFFSET" and open_nodes:
            nodes[open_nodes[-1]].offset = [float(next(words)) for _ in range(3)]
        elif word == "CHANNELS" and open_nodes:
            nodes[open_nodes[-1]].channels = [_channel(next(words)) for _ in range(int(next(words)))]
        elif word == "}" and open_nodes:
            last = open_nodes.pop()
            if last == len(nodes) - 1 and nodes[last].name.endswith(END_SITE) and not any(nodes[last].offset):
                nodes.pop()
            if not open_nodes:
                return nodes
        else:
            raise ValueError(f"unexpected word {word!r}")


def _channel(word: str) -> str:
    if word[:1] in "XYZ" and word[1:] in ("position", "rotation"):
        return word
    raise ValueError(f"unknown channel {word!r}")


def _read_motion(text: str, num_channels: int, path: str | Path) -> tuple[float, np.ndarray]:
    """Frame time and (F, C) channel values."""
    words = text.split()
    try:
        if words[0] != "Frames:" or words[2:4] != ["Frame", "Time:"]:
            raise ValueError("its MOTION section must state Frames and Frame Time")
        num_frames, frame_time = int(words[1]), float(words[4])
        values = np.array(words[5:], dtype=np.float64)
    except (IndexError, ValueError) as error:
        raise ObservationError(f"the motion of the BVH file {path} cannot be read: {error}") from error
    if num_frames < 1:
        raise ObservationError(f"the BVH file {path} holds no frames")
    if not frame_time > 0:
        raise ObservationError(f"the BVH file {path} has a frame time of {frame_time:g}; it must be positive seconds")
    if len(values) < num_frames * num_channels:
        complete = len(values) // max(num_channels, 1)
        raise ObservationError(
            f"the BVH file {path} is truncated: it announces {num_frames} frames of {num_channels} numbers "
            f"and holds {complete} complete ones"
        )
    values = values[: num_frames * num_channels].reshape(num_frames, num_channels)
    if not np.isfinite(values).all():
        raise ObservationError(f"the BVH file {path} holds motion values that are no finite numbers")
    return frame_time, values


def _apply_channels(nodes: list[_Node], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
