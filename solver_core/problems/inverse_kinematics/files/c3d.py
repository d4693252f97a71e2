# SPDX-License-Identifier: Apache-2.0
"""C3D files of motion capture systems (https://www.c3d.org/docs/C3D_User_Guide.pdf).

The well-known reader, ezc3d, waits for ever or ends the process where a file is damaged, so this one checks every length first.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.files.points import UNITS, Points

BLOCK = 512  # bytes
SIGN = 0x50  # second byte of the header and of the parameters
DEC, BIG_ENDIAN = 85, 86  # processors of the numbers; all others are little-endian
MOST_IN_HEADER = 0xFFFF  # frames; files of more tell the number in a parameter
UNLABELLED = ("*", "unlabeled", "unlabelled")
Parameters = dict[str, np.ndarray | list[str]]


class _Numbers(NamedTuple):
    """How a file writes numbers."""

    content: bytes
    processor: int

    def ints(self, start: int, count: int, kind: str = "u2") -> np.ndarray:
        return self._read(start, count, kind)

    def floats(self, start: int, count: int) -> np.ndarray:
        if self.processor != DEC:
            return self._read(start, count, "f4")
        halves = self._read(start, 2 * count, "u2").reshape(-1, 2)[:, ::-1]  # its words are the other way round
        return np.ascontiguousarray(halves).view("<f4").ravel() / 4  # and its exponents two more

    def _read(self, start: int, count: int, kind: str) -> np.ndarray:
        dtype = np.dtype((">" if self.processor == BIG_ENDIAN else "<") + kind)
        if start < 0 or start + count * dtype.itemsize > len(self.content):
            raise ValueError("it is cut off")
        return np.frombuffer(self.content, dtype, count, start)


def read_c3d(path: Path) -> Points:
    """The labelled markers of a C3D file.  Raises ValueError."""
    content = path.read_bytes()
    if len(content) < BLOCK or content[1] != SIGN:
        raise ValueError("it is no C3D file")
    start = BLOCK * (content[0] - 1)
    if start < 0 or len(content) < start + 4:
        raise ValueError("it is cut off")
    numbers = _Numbers(content, content[start + 3])
    parameters = _read_parameters(numbers, start + 4)
    labels = [label for key in ("LABELS", "LABELS2", "LABELS3") for label in _texts(parameters, key)]
    points = _read_points(numbers, parameters)  # (F, M, 3)
    if len(points) == 0 or not labels:
        raise ValueError("it holds no markers")
    is_gap = ~np.isfinite(points).all(axis=2) | (points == 0).all(axis=2)
    points = np.where(is_gap[..., None], np.nan, points)
    kept = [number for number, label in enumerate(labels) if label and not label.lower().startswith(UNLABELLED)]
    kept = [number for number in kept if number < points.shape[1] and not is_gap[:, number].all()]
    rate = _number(parameters, "RATE") or float(numbers.floats(20, 1)[0])
    units = [unit.lower() for unit in _texts(parameters, "UNITS")]
    upwards = [axis.lower() for axis in _texts(parameters, "Y_SCREEN")]
    return Points(
        tuple(labels[number] for number in kept),
        points[:, kept],
        1 / rate if 0 < rate < np.inf else None,
        UNITS.get(units[0]) if units else None,
        upwards[0].lstrip("+") if upwards and upwards[0].lstrip("+-") in ("x", "y", "z") else None,
    )


def _read_points(numbers: _Numbers, parameters: Parameters) -> np.ndarray:
    """(F, M, 3) places of all markers, nan where a camera saw none."""
    num_points, num_analog, first, last = numbers.ints(2, 4).tolist()
    scale = float(numbers.floats(12, 1)[0])
    start = BLOCK * (int(numbers.ints(16, 1)[0]) - 1)
    num_frames = last - first + 1
    if last == MOST_IN_HEADER:
        num_frames = int(_number(parameters, "LONG_FRAMES") or _number(parameters, "FRAMES") or num_frames)
    if num_frames <= 0 or num_points == 0:
        return np.zeros((0, num_points, 3))
    width = 4 * num_points + num_analog  # numbers a frame
    count = num_frames * width
    table = numbers.floats(start, count) if scale < 0 else numbers.ints(start, count, "i2")
    table = table.reshape(num_frames, width)[:, : 4 * num_points].reshape(num_frames, num_points, 4).astype(np.float64)
    places = table[..., :3] if scale < 0 else scale * table[..., :3]
    return np.where(table[..., 3:] < 0, np.nan, places)


def _read_parameters(numbers: _Numbers, position: int) -> Parameters:
    """Those of the group POINT."""
    content = numbers.content
    names: dict[int, str] = {}
    found: dict[tuple[int, str], np.ndarray | list[str]] = {}
    while True:
        name_length, group = numbers.ints(position, 2, "i1").tolist()
        if name_length == 0:
            break
        link = position + 2 + abs(name_length)  # negative where a group or parameter is locked
        name = content[position + 2 : link].decode("latin-1").strip().upper()
        offset = int(numbers.ints(link, 1)[0])
        if group < 0:
            names[-group] = name
        else:
            found[group, name] = _read_value(numbers, link + 2)
        if offset == 0:
            break
        position = link + offset
    return {name: value for (group, name), value in found.items() if names.get(group) == "POINT"}


def _read_value(numbers: _Numbers, position: int) -> np.ndarray | list[str]:
    """A parameter's numbers, or its texts."""
    size, num_axes = numbers.ints(position, 2, "i1").tolist()
    shape = numbers.ints(position + 2, max(num_axes, 0), "u1").tolist()
    position, count = position + 2 + len(shape), int(np.prod(shape, dtype=object))
    if size == 4:
        return numbers.floats(position, count)
    if size != -1:
        return numbers.ints(position, count, "i2" if size == 2 else "i1")
    text = numbers.ints(position, count, "u1").tobytes().decode("latin-1")
    length = shape[0] if shape else 1
    return [text[first : first + length].strip(" \0") for first in range(0, count, max(length, 1))]


def _texts(parameters: Parameters, name: str) -> list[str]:
    value = parameters.get(name)
    return value if isinstance(value, list) else []


def _number(parameters: Parameters, name: str) -> float:
    """The first number of a parameter, 0 if there is none."""
    value = parameters.get(name)
    if not isinstance(value, np.ndarray) or value.size == 0:
        return 0.0
    first = float(value[0])
    return first % (MOST_IN_HEADER + 1) if value.dtype.kind == "i" else first  # 16 bits without a sign
