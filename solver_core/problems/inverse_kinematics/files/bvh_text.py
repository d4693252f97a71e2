# SPDX-License-Identifier: Apache-2.0
"""What a BVH file says, before anything is made of it.

Files in use bend the format in many ways; whatever Blender's importer takes is taken here, and what was mended is said.
"""

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
COMMENT = re.compile(r"^[ \t]*(?:#|//|;).*$", re.MULTILINE)
MOTION_LINE = re.compile(r"^\s*MOTION\s*$", re.MULTILINE | re.IGNORECASE)
MOTION_HEAD = re.compile(r"\s*Frames\s*:?\s*(\d+)\s+Frame\s*Time\s*:?\s*(\S+)", re.IGNORECASE)
CHANNEL = re.compile(r"([XYZ])(position|rotation)", re.IGNORECASE)

END_SITE = "_end"  # an end site has no name of its own: it is "<parent>_end"
LARGEST_REST_IN_METRES = 10.0  # a rest pose with a longer side is taken for centimetres,
LARGEST_REST_IN_CENTIMETRES = 500.0  # and one with a longer side than this for millimetres


@dataclass
class Node:
    """A joint or end site.  parent: number of its node, -1 for the root.  channels: such as "Xrotation", in file order."""

    name: str
    parent: int
    offset: list[float]
    channels: list[str]


class BvhText(NamedTuple):
    """Nodes in file order, seconds a frame, and (F, C) values of all nodes' channels; lengths in the file's unit.

    notices: sentences about what had to be mended.
    """

    nodes: list[Node]
    frame_time: float
    values: np.ndarray
    notices: tuple[str, ...]

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
        """Metres in the file's unit of length, which BVH files do not state, by the size of the rest pose."""
        positions = self.offsets
        positions[0] = 0
        for node, parent in enumerate(self.parents[1:], start=1):
            positions[node] += positions[parent]
        extent = float(np.ptp(positions, axis=0).max())
        return 1.0 if extent <= LARGEST_REST_IN_METRES else 0.01 if extent <= LARGEST_REST_IN_CENTIMETRES else 0.001


def read_bvh_text(path: str | Path) -> BvhText:
    """Of several trees in a file the one with most joints.  Raises ObservationError if the file is missing or no BVH."""
    with reading(path, "BVH file", ObservationError):
        content = read_bytes(path, MAX_BVH_BYTES)
        encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        return _parse(content.decode(encoding, "replace"))


def _parse(text: str) -> BvhText:
    """Raises ValueError."""
    motion = MOTION_LINE.search(text)
    if not COMMENT.sub("", text[:1000]).lstrip().upper().startswith("HIERARCHY") or motion is None:
        raise ValueError("it is no complete BVH file: it needs the sections HIERARCHY and MOTION")
    header = COMMENT.sub("", text[: motion.start()]).replace("{", " { ").replace("}", " } ")
    nodes = _read_hierarchy(iter(header.split()[1:]))
    notices = _rename_copies_inplace(nodes)
    frame_time, values, more = _read_motion(text[motion.end() :], sum(len(node.channels) for node in nodes), len(nodes))
    nodes, values, left_out = _largest_tree(nodes, values)
    return BvhText(nodes, frame_time, values, (*notices, *more, *left_out))


def _read_hierarchy(words: Iterator[str]) -> list[Node]:
    """The nodes in file order.  Raises ValueError where the words end too early or are unknown."""
    nodes: list[Node] = []
    open_nodes: list[int] = []
    try:
        while True:
            word = next(words, None) if not open_nodes else next(words)
            kind = "" if word is None else word.upper()
            if word is None and nodes:
                return nodes
            if kind in ("ROOT", "JOINT", "END"):
                name = []
                while (part := next(words)) != "{":
                    name.append(part)
                parent = open_nodes[-1] if open_nodes else -1
                if kind != "END" and not name:
                    raise ValueError("a joint has no name")
                if (kind == "ROOT") != (parent == -1):
                    raise ValueError(f"{word} {' '.join(name)} stands in the wrong place")
                nodes.append(Node("" if kind == "END" else " ".join(name), parent, [0.0, 0.0, 0.0], []))
                open_nodes.append(len(nodes) - 1)
                check_count(len(nodes), MAX_JOINTS, "joints")
                check_count(len(open_nodes), MAX_DEPTH, "levels of joints")
            elif kind == "OFFSET" and open_nodes:
                nodes[open_nodes[-1]].offset = [_number(next(words)) for _ in range(3)]
            elif kind == "CHANNELS" and open_nodes:
                nodes[open_nodes[-1]].channels = [_channel(next(words)) for _ in range(int(next(words)))]
            elif kind == "}" and open_nodes:
                last = open_nodes.pop()
                if last == len(nodes) - 1 and not nodes[last].name and not any(nodes[last].offset):
                    nodes.pop()
            else:
                raise ValueError(f"unexpected word {word!r}" if word else "it has no joints")
    except StopIteration:
        raise ValueError("it is truncated in the middle of its hierarchy") from None


def _number(word: str) -> float:
    """With a decimal point or a decimal comma."""
    return float(word.strip(",").replace(",", "."))


def _channel(word: str) -> str:
    found = CHANNEL.fullmatch(word)
    if found is None:
        raise ValueError(f"unknown channel {word!r}")
    return found[1].upper() + found[2].lower()


def _rename_copies_inplace(nodes: list[Node]) -> list[str]:
    """Gives end sites their names, and every joint one of its own; what was renamed in a sentence."""
    known: set[str] = set()
    renamed = []
    for node in nodes:
        name = wanted = node.name or nodes[node.parent].name + END_SITE
        copy = 0
        while name in known:
            copy += 1
            name = f"{wanted}.{copy:03d}"
        if copy and node.name:
            renamed.append(f"{wanted} is {name}")
        node.name = name
        known.add(name)
    return [f"joints with the same name were renamed: the other {', the other '.join(renamed)}"] if renamed else []


def _largest_tree(nodes: list[Node], values: np.ndarray) -> tuple[list[Node], np.ndarray, list[str]]:
    """The tree with most nodes, its values, and a sentence about what else there was, such as props."""
    tree_of: list[int] = []
    for number, node in enumerate(nodes):
        tree_of.append(number if node.parent < 0 else tree_of[node.parent])
    roots = sorted(set(tree_of))
    if len(roots) == 1:
        return nodes, values, []
    largest = max(roots, key=tree_of.count)
    kept = [number for number, tree in enumerate(tree_of) if tree == largest]
    of_kept = np.repeat([tree == largest for tree in tree_of], [len(node.channels) for node in nodes])
    new_number = {number: place for place, number in enumerate(kept)}
    tree = [Node(nodes[n].name, new_number.get(nodes[n].parent, -1), nodes[n].offset, nodes[n].channels) for n in kept]
    others = ", ".join(nodes[root].name for root in roots if root != largest)
    return tree, values[:, of_kept], [f"it holds {len(roots)} skeletons; {nodes[largest].name} is read, {others} left out"]


def _read_motion(text: str, num_channels: int, num_nodes: int) -> tuple[float, np.ndarray, list[str]]:
    """Frame time, (F, C) channel values and sentences about what was mended.  Raises ValueError."""
    head = MOTION_HEAD.match(text)
    if head is None:
        raise ValueError("its MOTION section must state Frames and Frame Time")
    num_frames, frame_time = int(head[1]), _number(head[2])
    if num_frames < 1:
        raise ValueError("it holds no frames")
    if not 0 < frame_time < np.inf:
        raise ValueError(f"its frame time is {frame_time:g}; it must be positive seconds")
    check_count(num_frames * max(num_channels, 4 * num_nodes), MAX_MOTION_NUMBERS, "numbers of motion")
    body = text[head.end() :]
    if "," in body[:SPLIT_CHARACTERS]:
        body = body.replace(",", " " if "." in body[:SPLIT_CHARACTERS] else ".")
    values, notices = _floats(body), []
    if len(values) == num_frames * num_channels:
        values = values.reshape(num_frames, num_channels)
    else:
        values, notices = _by_line(body, values, num_frames, num_channels)
    if not np.isfinite(values).all():
        raise ValueError("it holds motion values that are no finite numbers")
    return frame_time, values, notices


def _by_line(text: str, values: np.ndarray, num_frames: int, num_channels: int) -> tuple[np.ndarray, list[str]]:
    """(F, C) where the count of the numbers is not the one announced: what the lines show.  Raises ValueError."""
    counts = np.array([len(line.split()) for line in text.splitlines() if line.strip()])
    notices = []
    if len(counts) > 1 and counts[-1] < counts[0]:  # the end is missing
        notices.append("its last frame is incomplete and left out")
        values, counts = values[: -counts[-1]], counts[:-1]
    if len(counts) == 0 or values.size < num_channels:
        raise ValueError("it is truncated: it holds no complete frame")
    if (counts == counts[0]).all() and counts[0] > num_channels:
        notices.append(f"its frames have {counts[0]} numbers for {num_channels} channels; the last of each are left out")
        values = values.reshape(len(counts), -1)[:, :num_channels]
    elif values.size % num_channels == 0 and np.isin(np.arange(0, values.size, num_channels)[1:], np.cumsum(counts)).all():
        values = values.reshape(-1, num_channels)  # every frame ends where a line does
    else:
        line = int(np.flatnonzero(counts != num_channels)[0])
        raise ValueError(f"line {line + 1} of its motion has {counts[line]} numbers for {num_channels} channels")
    if len(values) != num_frames:
        notices.append(f"it announces {num_frames} frames and holds {len(values)}, which are read")
    return values, notices


def _floats(text: str) -> np.ndarray:
    """(C,) float64 of numbers with white space between them.  Raises ValueError."""
    pieces, first = [], 0
    while first < len(text):
        gap = WHITE_SPACE.search(text, first + SPLIT_CHARACTERS)
        end = gap.start() if gap else len(text)
        pieces.append(np.fromiter(map(float, text[first:end].split()), np.float64))
        first = end
    return np.concatenate(pieces) if pieces else np.zeros(0)
