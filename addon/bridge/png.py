# SPDX-License-Identifier: GPL-3.0-or-later
"""Pixels of PNG files as the bytes they hold: Blender gives scripts floats, which takes several times as long.

Frames of a shot are read so; https://www.w3.org/TR/png-3/ says what stands in a file.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from solver_core.kernel import loader
from solver_core.kernel.png import unfilter

MAGIC = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # of kinds of colour: grey, RGB, grey and alpha, RGBA
LARGEST = 1 << 28  # bytes of pixels
PLAIN = (8, 0, 0, 0)  # bits, compression, filters and rows one after the other
NOT_PLAIN = {b"tRNS", b"iCCP", b"cICP", b"gAMA", b"cHRM"}  # transparent colours and colour spaces, which Blender may heed
BROKEN = (ValueError, KeyError, struct.error, zlib.error)  # what reading raises where a file is not whole


def read_bytes(content: bytes) -> np.ndarray | None:
    """(H, W, C) uint8 of a PNG file, row 0 on top: grey, RGB, or either with alpha, 1 to 4 channels.

    None for other files, for those that hold more than bytes of pixels, for those that are not whole, and without the kernel:
    they are left to Blender.
    """
    if content[:8] != MAGIC or loader.library() is None:
        return None
    try:
        return _read_bytes(dict(_chunks(content)))
    except BROKEN:
        return None


def _read_bytes(chunks: dict[bytes, bytes]) -> np.ndarray | None:
    width, height, bits, colour, *rest = struct.unpack(">2I5B", chunks[b"IHDR"])
    if (bits, *rest) != PLAIN or colour not in CHANNELS or chunks.keys() & NOT_PLAIN:
        return None
    channels = CHANNELS[colour]
    size = height * (1 + width * channels)
    if not (width and height) or size > LARGEST:
        return None
    rows = np.frombuffer(zlib.decompressobj().decompress(chunks[b"IDAT"], size), np.uint8).reshape(height, -1)
    return unfilter(rows, channels).reshape(height, width, channels)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of a file's chunks, those of the pixels in one piece."""
    at, pixels = len(MAGIC), []
    while at < len(content):
        size, name = struct.unpack_from(">I4s", content, at)
        piece = content[at + 8 : at + 8 + size]
        if name == b"IDAT":
            pixels.append(piece)
        else:
            yield name, piece
        at += size + 12
    yield b"IDAT", b"".join(pixels)
