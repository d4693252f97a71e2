# SPDX-License-Identifier: Apache-2.0
"""Processes that work for this one: they end with it, in whatever way it ends, and leave Ctrl-C to it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import wait
from typing import Any

from solver_core.errors import ResourceError


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
    """Its processes, which start when work is submitted, are deaf to Ctrl-C before they run a line of Python."""

    def submit(self, *arguments: Any, **named: Any) -> Future[Any]:
        with _interrupts_held():
            return super().submit(*arguments, **named)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """No Ctrl-C in this thread and in processes that it starts, where the system lets a thread choose its signals."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it lets Ctrl-C through again once it has started
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
