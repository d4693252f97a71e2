# SPDX-License-Identifier: Apache-2.0
"""Blocks of memory that several processes see: batches come from workers in them, not through a pipe, which copies them."""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

logger = logging.getLogger(__name__)

ALIGNMENT = 64  # bytes: a line of a processor's cache
LINUX_FOLDER = Path("/dev/shm")  # where Linux keeps such memory as files, within a size that containers set low


class Place(NamedTuple):
    """Where an array is in a block; offset in bytes."""

    shape: tuple[int, ...]
    dtype: str
    offset: int


Places = dict[str, Place]  # of arrays by name


class Block(SharedMemory):
    """Shared memory whose arrays may outlive it; what they see goes with the last of them."""

    def close(self) -> None:
        with suppress(BufferError):  # an array is still there
            super().close()

    def arrays(self, places: Places) -> dict[str, np.ndarray]:
        """Views of what write_arrays wrote."""
        assert self.buf is not None  # it is until close()
        return {
            name: np.frombuffer(self.buf, dtype, math.prod(shape), offset).reshape(shape)  # which keeps the memory there
            for name, (shape, dtype, offset) in places.items()
        }


class Blocks:
    """Blocks of one size, taken and given back.  To be used in a `with`, at whose end they are freed.

    They are also freed where the process that made them is killed: Python's resource tracker outlives it.
    """

    def __init__(self) -> None:
        self.are_made = False
        self._every: list[Block] = []
        self._free: list[Block] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for block in self._every:
            block.unlink()
            block.close()

    def make(self, count: int, size: int) -> None:
        """Makes blocks of `size` bytes; none, or fewer, where there is no room for them."""
        self.are_made = True
        for _ in range(count):
            block = _new_block(size)
            if block is None:
                logger.info("there is no room for batches in shared memory; they come through pipes, which takes longer")
                return
            self._every.append(block)
            self._free.append(block)

    def take(self) -> Block | None:
        """One that is free, if there is any."""
        return self._free.pop() if self._free else None

    def give_back(self, block: Block | None) -> None:
        """Of what was taken."""
        if block is not None:
            self._free.append(block)


def _new_block(size: int) -> Block | None:
    """A block whose pages are there: where they lack later, the process that writes to them is ended."""
    try:
        block = Block(create=True, size=size)
    except OSError:
        return None
    file = LINUX_FOLDER / block.name
    if file.exists():
        try:
            with file.open("r+b") as opened:
                os.posix_fallocate(opened.fileno(), 0, size)
        except OSError:
            block.unlink()
            block.close()
            return None
    return block


def size_of(arrays: Iterable[np.ndarray]) -> int:
    """Bytes that arrays take in a block."""
    return sum(-(-array.nbytes // ALIGNMENT) * ALIGNMENT for array in arrays)


def write_arrays(block_name: str, arrays: dict[str, np.ndarray]) -> Places | None:
    """Writes arrays into another process's block; None if they are too large for it."""
    block = _other_block(block_name)
    if size_of(arrays.values()) > block.size:
        return None
    places, offset = {}, 0
    for name, array in arrays.items():
        places[name] = Place(array.shape, array.dtype.str, offset)
        offset += size_of([array])
    for name, view in block.arrays(places).items():
        view[...] = arrays[name]
    return places


@functools.cache
def _other_block(name: str) -> Block:
    """A block that another process made; it stays mapped, as mapping it takes as long as writing a batch."""
    return Block(name)
