# SPDX-License-Identifier: GPL-3.0-or-later
"""Where objects are in the passes that a render kept of them: Cryptomatte (Friedman and Jones 2015) and the object index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import ObservationError

from .exr import pass_of

CRYPTOMATTE = re.compile(r"(.*\.)?CryptoObject\d\d")
INDEX = ("IndexOB", "Object Index")  # the pass's names, before Blender 5.0 and since
HOW = "render with this pass, save as OpenEXR MultiLayer with full float, and choose that file"


class Mark(NamedTuple):
    """By what renders know an object."""

    name: str
    index: int

    @classmethod
    def of(cls, thing: bpy.types.Object) -> Mark:
        return cls(thing.name, thing.pass_index)


def cryptomatte(layers: Mapping[str, np.ndarray], marks: Iterable[Mark]) -> np.ndarray:
    """(H, W) float32: share of each pixel that objects cover.  Raises ObservationError."""
    found = [layer for layer in layers if CRYPTOMATTE.fullmatch(layer)]
    if not found:
        raise ObservationError(f"The image has no pass Cryptomatte Object: {HOW}.")
    ranks = np.concatenate([layers[layer].astype(np.float32) for layer in sorted(found)], axis=2)  # id, share, id, share, ...
    ids = np.ascontiguousarray(ranks[..., ::2]).view(np.uint32)
    wanted = {one.name: object_id(one.name) for one in marks}
    is_wanted = np.isin(ids, list(wanted.values()))
    if not is_wanted.any():
        raise ObservationError(f"The Cryptomatte shows nothing of {', '.join(wanted)}: {HOW}; names must be as they were then.")
    return np.clip(np.where(is_wanted, ranks[..., 1::2], 0).sum(axis=2), 0, 1).astype(np.float32)


def object_index(layers: Mapping[str, np.ndarray], marks: Iterable[Mark]) -> np.ndarray:
    """(H, W) float32, 1 where objects are.  Raises ObservationError."""
    found = pass_of(layers, INDEX)
    if found is None:
        raise ObservationError(f"The image has no pass Object Index: {HOW}.")
    wanted = {one.index for one in marks}
    if 0 in wanted:
        raise ObservationError(
            "Give the object a Pass Index other than 0, which all others have (Object Properties > Relations)."
        )
    is_wanted = np.isin(np.round(found[..., 0]), list(wanted))
    if not is_wanted.any():
        raise ObservationError(f"The pass Object Index shows nothing with the number {', '.join(map(str, sorted(wanted)))}.")
    return is_wanted.astype(np.float32)


def object_id(name: str) -> int:
    """The number, in the bits of a float, by which a Cryptomatte knows a name: its MurmurHash3, where that is a number."""
    bits = _murmur3(name.encode())
    exponent = bits >> 23 & 255
    return bits ^ 1 << 23 if exponent in (0, 255) else bits


def _murmur3(content: bytes) -> int:
    """MurmurHash3 of 32 bits with the seed 0 (Appleby 2011)."""
    value = 0
    for begin in range(0, len(content), 4):
        block = content[begin : begin + 4]
        mixed = _turned(int.from_bytes(block, "little") * 0xCC9E2D51, 15) * 0x1B873593 & 0xFFFFFFFF
        value ^= mixed
        if len(block) == 4:
            value = (_turned(value, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    value ^= len(content)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        value = (value ^ value >> shift) * factor & 0xFFFFFFFF
    return value


def _turned(value: int, bits: int) -> int:
    """The lower 32 bits of a number, turned to the left."""
    value &= 0xFFFFFFFF
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF
