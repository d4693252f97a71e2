# SPDX-License-Identifier: Apache-2.0
"""Memory that workers write batches into: what is read is what was written, and nothing of it stays."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest

from solver_core.training import blocks
from solver_core.training.blocks import Block, Blocks, size_of, write_arrays

ARRAYS = {
    "image": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "rows": np.array([3, 1, 2]),
    "is_left": np.array([True, False]),
    "none": np.empty((0, 5), np.float32),
}


def exists(name: str) -> bool:
    try:
        Block(name).close()
    except FileNotFoundError:
        return False
    return True


@pytest.fixture
def block():
    with Blocks() as made:
        made.make(1, size_of(ARRAYS.values()))
        yield made.take()


def test_arrays_are_read_as_they_were_written(block):
    places = write_arrays(block.name, ARRAYS)

    read = block.arrays(places)

    assert read.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_arrays_that_are_too_large_are_not_written(block):
    larger = ARRAYS | {"image": np.zeros(block.size, np.float32)}

    assert write_arrays(block.name, larger) is None


def test_nothing_is_left_but_what_is_still_looked_at():
    with Blocks() as made:
        made.make(2, 1000)
        first, second = made.take(), made.take()
        assert made.take() is None
        made.give_back(first)
        assert made.take() is first
        view = first.arrays(write_arrays(first.name, {"rows": ARRAYS["rows"]}))["rows"]

    assert not exists(first.name)
    assert not exists(second.name)
    np.testing.assert_array_equal(view, ARRAYS["rows"])


def test_blocks_are_done_without_where_there_is_no_room(monkeypatch):
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks, "Block", full)
    with Blocks() as made:
        made.make(2, 1000)

        assert made.are_made
        assert made.take() is None


KILLED = """
import time
from solver_core.training.blocks import Blocks

with Blocks() as made:
    made.make(1, 1000)
    print(made.take().name, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows frees such memory with the last process that sees it")
def test_blocks_of_a_process_that_was_killed_are_freed():
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    name = process.stdout.readline().strip()
    SharedMemory(name).close()

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    until = time.monotonic() + 60
    while exists(name) and time.monotonic() < until:
        time.sleep(0.05)
    assert not exists(name)
