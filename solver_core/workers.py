# SPDX-License-Identifier: Apache-2.0
"""Processes that work for this one, on this machine or on a cluster.

Those on this machine end with it, in whatever way it ends, and leave Ctrl-C to it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import chdir, contextmanager
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TypeVar

from solver_core.errors import ConfigError, ResourceError
from solver_core.optional import needed_for

Item = TypeVar("Item")
Result = TypeVar("Result")
CONNECT_SECONDS = 30.0


class Places(NamedTuple):
    """Where work is done: in this process, in `jobs` processes of this machine, or on a cluster.

    cluster: address of a Dask scheduler such as tcp://host:8786, or its scheduler file; None = on this machine.
    """

    jobs: int = 1
    cluster: str | None = None


def results(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    places: Places,
    advice: str,
    prepare: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[tuple[int, Result]]:
    """The number of each item and what work gives for it, in the order in which they end.

    Work and items travel to other processes by pickle.  A cluster does again what a worker that dies had under way, so work
    that was done has to be known by its results.  For the others see worker_pool.
    Raises ResourceError and ConfigError as worker_pool and cluster_pool do, and whatever work raises.
    """
    if places.cluster is None and (places.jobs == 1 or len(items) == 1):
        yield from ((number, work(item)) for number, item in enumerate(items))
        return
    if places.cluster is None:
        pool, where = worker_pool(places.jobs, advice, prepare, arguments), None
    else:
        pool, where = cluster_pool(places.cluster), Path.cwd()
    with pool as executor:
        number_of = {executor.submit(_work_in, where, work, item): number for number, item in enumerate(items)}
        for ended in as_completed(number_of):
            yield number_of[ended], ended.result()


def _work_in(folder: Path | None, work: Callable[[Item], Result], item: Item) -> Result:
    """Work with paths that start in the folder; None = where the process is."""
    if folder is None:
        return work(item)
    with chdir(folder):
        return work(item)


@contextmanager
def cluster_pool(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster; at the end of the block what waits is dropped.

    address: of the scheduler, or its scheduler file.  Needs the extra solver_core[dask].
    Raises ConfigError if nobody answers, ResourceError if the same work ends several workers.
    """
    with needed_for("a cluster", extra="dask"):
        from distributed import Client, KilledWorker
    file = address if Path(address).is_file() else None
    if file is None and "://" not in address and ":" not in address:
        raise ConfigError(f"there is no file {address}, and a Dask scheduler's address is like tcp://host:8786")
    try:
        client = Client(None if file else address, scheduler_file=file, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address!r}; start one with `dask scheduler`, and give its address or its file"
        ) from error
    try:
        yield client.get_executor(pure=False)
    except KilledWorker as error:
        raise ResourceError(
            "several workers of the cluster ended over the same work, as they do when their memory runs out; give them more"
        ) from error
    finally:
        client.close()


@contextmanager
def worker_pool(
    count: int, advice: str, prepare: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes; at the end of the block what runs is finished, and what waits is dropped.

    advice: what a user does where there is too little memory for them.  prepare, arguments: called first in each process.
    Raises ResourceError if one is ended from outside.
    """
    # Spawned, because forking a process that has threads can deadlock.
    pool = _Pool(count, get_context("spawn"), _begin, (prepare, arguments))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise ResourceError(
            f"one of the {count} workers was ended from outside, as the system does when the memory runs out; {advice}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Pool(ProcessPoolExecutor):
    """Its processes, which start when work is submitted, start whole, and deaf to Ctrl-C before any line of Python."""

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        with _interrupts_held():
            return super().submit(*arguments, **named)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A Ctrl-C inside of the block is raised at its end, and does not reach processes that the block starts."""
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        with _signal_blocked():
            yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))  # any other thread may take the signal
    try:
        with _signal_blocked():
            yield
    finally:
        signal.signal(signal.SIGINT, handler)
    for call in came[:1]:
        handler(*call)


@contextmanager
def _signal_blocked() -> Iterator[None]:
    """No SIGINT in this thread and in processes that it starts, where the system lets a thread choose its signals."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it lets the signal through again once it has started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(prepare: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):  # which reach a whole group of processes; the parent ends the workers
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # a program that it starts may listen
    if prepare is not None:
        prepare(*arguments)


def _end_with_parent() -> None:
    """Ends this process when its parent has died: a worker would wait for ever for somebody to ask it."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
