# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of OpenEXR files, which Blender itself does not give to scripts."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np

from solver_core.errors import ObservationError

MAGIC = b"\x76\x2f\x31\x01"
TILED, MULTIPART = 0x02, 0x10  # flags of a file's second byte of flags; Blender writes parts from 5.0 on
SAMPLE_TYPES = {0: "<u4", 1: "<f2", 2: "<f4"}
LONGEST_NAMES = 600  # bytes of an attribute's name and type
CODECS = ("None", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")  # as files number them
ROWS_OF_CODEC = {"None": 1, "ZIPS": 1, "ZIP": 16}  # rows in a block, of the codecs that are read
BROKEN = (ValueError, IndexError, KeyError, struct.error, zlib.error)  # what reading raises where a file is not whole


def pass_of(layers: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    """(H, W, C) of the first pass with one of these names, in whichever view layer."""
    return next((values for layer, values in layers.items() if layer.rpartition(".")[2] in names), None)


def has_layers(content: bytes) -> bool:
    """Whether the beginning of a file is that of an OpenEXR file whose channels are those of layers."""
    if content[:4] != MAGIC:
        return False
    try:
        return any("." in name for part in _read_parts(content)[0] for name, _ in part.channels)
    except BROKEN:
        return False


def read_layers(content: bytes) -> dict[str, np.ndarray]:
    """Layers (H, W, C) float32 of a file in lines, without compression or ZIP.  Channels in the order RGB, XYZ.

    Raises ObservationError.
    """
    try:
        return _read_layers(content)
    except BROKEN as error:
        raise ObservationError("The OpenEXR file is not whole, or of a kind that is not read.") from error


def _read_layers(content: bytes) -> dict[str, np.ndarray]:
    if content[:4] != MAGIC:
        raise ObservationError("This is no OpenEXR file.")
    if content[5] & TILED:
        raise ObservationError("The OpenEXR file has tiles: save it in lines.")
    parts, at, skipped = _read_parts(content)
    planes: dict[str, np.ndarray] = {}
    for part in parts:
        if part.codec not in ROWS_OF_CODEC:
            raise ObservationError(f"The OpenEXR file has the codec {part.codec}: save it with ZIP, ZIPS or None.")
        planes |= _read_planes(content, part, at, skipped)
        at += 8 * part.num_blocks
    layers: dict[str, list[str]] = {}
    for name in planes:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    return {
        layer: np.stack([planes[name] for name in sorted(names, key=lambda one: "RGBAXYZV".find(one[-1].upper()))], axis=-1)
        for layer, names in layers.items()
    }


def _read_parts(content: bytes) -> tuple[list[_Part], int, int]:
    """The parts of a file, where their tables begin, and the bytes of each block before what it says of itself."""
    has_parts = bool(content[5] & MULTIPART)
    parts, at = [], 8
    while True:
        part, at = _read_header(content, at)
        parts.append(part)
        if not has_parts or not content[at]:
            break
    return parts, at + has_parts, 4 * has_parts  # a block of one part among others begins with its number


class _Part(NamedTuple):
    """channels: names and types.  top: number of the first row."""

    channels: list[tuple[str, str]]
    top: int
    height: int
    width: int
    codec: str

    @property
    def rows(self) -> int:
        """In a block."""
        return ROWS_OF_CODEC[self.codec]

    @property
    def num_blocks(self) -> int:
        return -(-self.height // self.rows)


def _read_header(content: bytes, at: int) -> tuple[_Part, int]:
    """The header of a part, and where it ends."""
    attributes = {}
    while content[at]:
        name, kind, _ = content[at : at + LONGEST_NAMES].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        size = int.from_bytes(content[at : at + 4], "little")
        attributes[name.decode()] = content[at + 4 : at + 4 + size]
        at += 4 + size
    channels, listed, place = [], attributes["channels"], 0
    while listed[place]:
        end = listed.index(b"\0", place)
        channels.append((listed[place:end].decode(), SAMPLE_TYPES[int.from_bytes(listed[end + 1 : end + 5], "little")]))
        place = end + 17  # after the type come four bytes of flags and two numbers, the steps between samples
    left, top, right, bottom = np.frombuffer(attributes["dataWindow"], "<i4").tolist()
    codec = CODECS[attributes["compression"][0]]
    return _Part(channels, top, bottom - top + 1, right - left + 1, codec), at + 1


def _read_planes(content: bytes, part: _Part, table: int, skipped: int) -> dict[str, np.ndarray]:
    """(H, W) of each channel.

    table: where the offsets of the blocks are.  skipped: bytes before what a block says of itself.
    """
    planes = {name: np.empty((part.height, part.width), np.float32) for name, _ in part.channels}
    row_bytes = sum(np.dtype(kind).itemsize for _, kind in part.channels) * part.width
    for offset in np.frombuffer(content, "<u8", part.num_blocks, table).tolist():
        begin = offset + skipped
        first, size = np.frombuffer(content, "<i4", 2, begin).tolist()
        row = first - part.top
        rows = min(part.rows, part.height - row)
        block = content[begin + 8 : begin + 8 + size]
        plain = np.frombuffer(block, np.uint8) if size == rows * row_bytes else _unzipped(block)
        lines, at = plain.reshape(rows, row_bytes), 0
        for name, kind in part.channels:
            end = at + np.dtype(kind).itemsize * part.width
            planes[name][row : row + rows] = np.ascontiguousarray(lines[:, at:end]).view(kind)
            at = end
    return planes


def _unzipped(block: bytes) -> np.ndarray:
    """Bytes of a ZIP block: EXR stores differences, first those of the even bytes and then those of the odd ones."""
    stored = np.frombuffer(zlib.decompress(block), np.uint8).astype(np.int64)
    stored[1:] -= 128
    stored = (np.cumsum(stored) & 255).astype(np.uint8)
    half = (len(stored) + 1) // 2
    plain = np.empty_like(stored)
    plain[::2], plain[1::2] = stored[:half], stored[half:]
    return plain
