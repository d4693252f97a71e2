"""One pool of threads for all batches.  The kernel runs without Python's lock, so its items run on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

CHUNKS_PER_THREAD = 4  # items differ in cost; smaller chunks even it out, larger ones cost fewer calls

_num_threads = os.cpu_count() or 1
_pool: ThreadPoolExecutor | None = None


def set_num_threads(num_threads: int) -> None:
    """Number of cores that batches are rendered on; 1 renders in the calling thread.  Default: all cores."""
    global _num_threads, _pool
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, got {num_threads}")
    old, _num_threads, _pool = _pool, num_threads, None
    if old is not None:
        old.shutdown(wait=False)


def get_num_threads() -> int:
    return _num_threads


def for_each_chunk(function: Callable[[slice], None], count: int) -> None:
    """Calls function with slices that cover range(count), on all threads.  The first exception is raised here."""
    global _pool
    if count <= 1 or _num_threads == 1:
        function(slice(0, count))
        return
    pool = _pool  # its own name: another thread may set the number of threads meanwhile
    if pool is None:
        pool = _pool = ThreadPoolExecutor(_num_threads, thread_name_prefix="solver_core_render")
    size = -(-count // (_num_threads * CHUNKS_PER_THREAD))
    chunks = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    for _ in pool.map(function, chunks):
        pass


def _forget_pool() -> None:
    """A forked child has the pool's object but none of its threads."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
