# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ProcessPoolExecutor

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


STARTING = """
import time
from solver_core.workers import worker_pool

if __name__ == "__main__":
    try:
        with worker_pool(2, "give fewer") as pool:
            waiting = [pool.submit(time.sleep, 0.1) for _ in range(4)]
            print("started", flush=True)
            time.sleep(60)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a group of processes")
@pytest.mark.parametrize("seconds", [0.0, 0.2])  # Python itself takes longer to start
def test_ctrl_c_while_workers_start_is_left_to_the_one_that_started_them(seconds, tmp_path):
    (tmp_path / "starting.py").write_text(STARTING)
    hears = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # also where these tests run in the background
    command = [sys.executable, str(tmp_path / "starting.py")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)

    os.killpg(process.pid, signal.SIGINT)
    out, said = process.communicate(timeout=60)

    assert (out, said) == ("interrupted\n", "")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to a thread")
def test_ctrl_c_that_another_thread_takes_waits_until_a_worker_has_started(monkeypatch):
    steps = []

    def submit(pool: ProcessPoolExecutor) -> None:
        signal.pthread_kill(other.ident, signal.SIGINT)
        time.sleep(0.2)
        steps.append("started")

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()

    try:
        with worker_pool(1, "give fewer") as pool, pytest.raises(KeyboardInterrupt):
            pool.submit()
    finally:
        end.set()
        signal.signal(signal.SIGINT, before)

    assert steps == ["started"]


def deaf() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN and signal.SIGINT not in signal.pthread_sigmask(
        signal.SIG_BLOCK, ()
    )


@pytest.mark.skipif(os.name != "posix", reason="asks for the signals of a thread")
def test_only_workers_are_deaf_to_ctrl_c_and_what_they_start_is_not():
    with worker_pool(1, "give fewer") as pool:
        assert pool.submit(deaf).result()

    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_worker_that_is_ended_from_outside_is_a_sentence():
    def run() -> None:
        with worker_pool(1, "give fewer") as pool:
            pool.submit(end).result()

    with pytest.raises(ResourceError, match=r"one of the 1 workers was ended from outside.*; give fewer"):
        run()
