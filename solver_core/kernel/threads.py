# SPDX-License-Identifier: Apache-2.0
"""One pool of threads for all batches.  The kernel runs without Python's lock, so its items run on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from solver_core.errors import ConfigError, shown

MOST_THREADS = 1024  # more cores than machines have; each takes memory
CHUNKS_PER_THREAD = 4  # items differ in cost; smaller chunks even it out, larger ones cost fewer calls

_num_threads = os.cpu_count() or 1
_pool: ThreadPoolExecutor | None = None


def set_num_threads(num_threads: int) -> None:
    """Number of cores that batches are rendered on; 1 renders in the calling thread.  Default: all cores.

    Raises ConfigError if it is no whole number from 1 to MOST_THREADS.
    """
    global _num_threads, _pool
    if not isinstance(num_threads, int | np.integer) or isinstance(num_threads, bool) or not 1 <= num_threads <= MOST_THREADS:
        raise ConfigError(f"num_threads must be a whole number from 1 to {MOST_THREADS}, got {shown(num_threads)}")
    _num_threads, _pool = int(num_threads), None  # the old pool ends with the last batch that other threads give it


def get_num_threads() -> int:
    return _num_threads


def for_each_chunk(function: Callable[[slice], None], count: int) -> None:
    """Calls function with slices that cover range(count), on all threads.  The first exception is raised here."""
    global _pool
    num_threads, pool = _num_threads, _pool  # another thread may set the number of threads meanwhile
    if count <= 1 or num_threads == 1:
        function(slice(0, count))
        return
    if pool is None:
        pool = _pool = ThreadPoolExecutor(num_threads, thread_name_prefix="solver_core_render")
    size = -(-count // (num_threads * CHUNKS_PER_THREAD))
    chunks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    for _ in pool.map(function, chunks):
        pass


def _forget_pool() -> None:
    """A forked child has the pool's object but none of its threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
