# SPDX-License-Identifier: Apache-2.0
import os
import signal
import time
from concurrent.futures import Future

import pytest

from solver_core.errors import ResourceError
from solver_core.workers import worker_pool


def prepare(name: str, value: str) -> None:
    os.environ[name] = value


def prepared(name: str) -> str:
    return os.environ[name]


def end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_are_prepared_first():
    with worker_pool(1, "give fewer", prepare, ("WORKER_TEST", "7")) as pool:
        assert pool.submit(prepared, "WORKER_TEST").result() == "7"

    assert "WORKER_TEST" not in os.environ


def test_what_waits_is_dropped_when_the_block_is_left_early():
    count = 50

    def run() -> None:
        with worker_pool(1, "give fewer") as pool:
            futures.extend(pool.submit(time.sleep, 0.05) for _ in range(count))
            futures[0].result()
            raise KeyboardInterrupt

    futures: list[Future[None]] = []
    with pytest.raises(KeyboardInterrupt):
        run()

    assert all(future.done() for future in futures)
    assert sum(future.cancelled() for future in futures) > count / 2


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_worker_that_is_ended_from_outside_is_a_sentence():
    def run() -> None:
        with worker_pool(1, "give fewer") as pool:
            pool.submit(end).result()

    with pytest.raises(ResourceError, match=r"one of the 1 workers was ended from outside.*; give fewer"):
        run()
