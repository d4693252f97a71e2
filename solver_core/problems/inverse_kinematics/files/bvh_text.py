"""What a BVH file says, before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.errors import ObservationError
from solver_core.reading import check_count, read_bytes, reading

MAX_BVH_BYTES = 2 * 2**30  # 200,000 frames of 300 joints take 1.7 GB
MAX_JOINTS = 10_000  # a face rig has a thousand, a crowd of hair some more
MAX_DEPTH = 500  # a rope has a hundred links
MAX_MOTION_NUMBERS = 400_000_000  # 200,000 frames of 500 joints with four numbers each; 3 GB
SPLIT_CHARACTERS = 2**24  # that are split into words at a time: a word takes ten times its length
WHITE_SPACE = re.compile(r"\s")
MOTION_LINE = re.compile(r"^\s*MOTION\s*$", re.MULTILINE)

END_SITE = "_end"  # an end site has no name of its own: it is "<parent>_end"
LARGEST_REST_IN_METRES = 10.0  # a rest pose with a longer side is taken for centimetres


@dataclass
class Node:
    """A joint or end site.  parent: number of its node, -1 for the root.  channels: such as "Xrotation", in file order."""

    name: str
    parent: int
    offset: list[float]
    channels: list[str]


class BvhText(NamedTuple):
    """Nodes in file order, seconds a frame, and (F, C) values of all nodes' channels; lengths in the file's unit."""

    nodes: list[Node]
    frame_time: float
    values: np.ndarray

    @property
    def names(self) -> list[str]:
        return [node.name for node in self.nodes]

    @property
    def parents(self) -> list[int]:
        return [node.parent for node in self.nodes]

    @property
    def offsets(self) -> np.ndarray:
        """(N, 3)."""
        return np.array([node.offset for node in self.nodes])

    def guessed_unit(self) -> float:
        """Metres in the file's unit of length, which BVH files do not state: centimetres if the rest pose is large."""
        positions = self.offsets
        positions[0] = 0
        for node, parent in enumerate(self.parents[1:], start=1):
            positions[node] += positions[parent]
        extent = float(np.ptp(positions, axis=0).max())
        return 0.01 if extent > LARGEST_REST_IN_METRES else 1.0


def read_bvh_text(path: str | Path) -> BvhText:
    """Raises ObservationError if the file is missing, truncated or no BVH."""
    with reading(path, "BVH file", ObservationError):
        return _parse(read_bytes(path, MAX_BVH_BYTES).decode("utf-8", "replace"))


def _parse(text: str) -> BvhText:
    """Raises ValueError."""
    motion = MOTION_LINE.search(text)
    if not text.lstrip().startswith("HIERARCHY") or motion is None:
        raise ValueError("it is no complete BVH file: it needs the sections HIERARCHY and MOTION")
    try:
        nodes = _read_hierarchy(iter(text[: motion.start()].split()))
    except StopIteration:
        raise ValueError("it is truncated in the middle of its hierarchy") from None
    return BvhText(nodes, *_read_motion(text[motion.end() :], sum(len(node.channels) for node in nodes), len(nodes)))


def _read_hierarchy(words: Iterator[str]) -> list[Node]:
    """The nodes in file order.  Raises StopIteration where the words end too early, ValueError for unknown words."""
    nodes: list[Node] = []
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
            nodes.append(Node(full_name, parent, [0.0, 0.0, 0.0], []))
            open_nodes.append(len(nodes) - 1)
            check_count(len(nodes), MAX_JOINTS, "joints")
            check_count(len(open_nodes), MAX_DEPTH, "levels of joints")
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


def _read_motion(text: str, num_channels: int, num_nodes: int) -> tuple[float, np.ndarray]:
    """Frame time and (F, C) channel values.  Raises ValueError."""
    words = text.split(maxsplit=5)
    if words[:1] != ["Frames:"] or words[2:4] != ["Frame", "Time:"] or len(words) < 5:
        raise ValueError("its MOTION section must state Frames and Frame Time")
    num_frames, frame_time = int(words[1]), float(words[4])
    if num_frames < 1:
        raise ValueError("it holds no frames")
    if not 0 < frame_time < np.inf:
        raise ValueError(f"its frame time is {frame_time:g}; it must be positive seconds")
    check_count(num_frames * max(num_channels, 4 * num_nodes), MAX_MOTION_NUMBERS, "numbers of motion")
    values = _floats("".join(words[5:]))
    if len(values) < num_frames * num_channels:
        complete = len(values) // max(num_channels, 1)
        raise ValueError(
            f"it is truncated: it announces {num_frames} frames of {num_channels} numbers and holds {complete} complete ones"
        )
    values = values[: num_frames * num_channels].reshape(num_frames, num_channels)
    if not np.isfinite(values).all():
        raise ValueError("it holds motion values that are no finite numbers")
    return frame_time, values


def _floats(text: str) -> np.ndarray:
    """(C,) float64 of numbers with white space between them.  Raises ValueError."""
    pieces, first = [], 0
    while first < len(text):
        gap = WHITE_SPACE.search(text, first + SPLIT_CHARACTERS)
        end = gap.start() if gap else len(text)
        pieces.append(np.fromiter(map(float, text[first:end].split()), np.float64))
        first = end
    return np.concatenate(pieces) if pieces else np.zeros(0)
