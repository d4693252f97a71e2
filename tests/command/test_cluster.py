# SPDX-License-Identifier: Apache-2.0
"""Work on a Dask cluster of two processes, of which one is killed: nothing is lost, nothing comes twice."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from solver_core.command.cli import main
from solver_core.errors import ConfigError, ObservationError
from solver_core.workers import Places, results

distributed = pytest.importorskip("distributed", reason="needs the extra dask", exc_type=ImportError)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0, silence_logs=60
    ) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def by_value():
    """The functions below travel as they are: workers cannot import tests."""
    cloudpickle = pytest.importorskip("cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def end_once(item: tuple[Path, int]) -> int:
    """The square of the number; the first who is asked about 3 dies."""
    mark, number = item
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def refuse(item: int) -> int:
    raise ObservationError(f"there is no mask {item}")


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_work_of_a_worker_that_dies_is_done_by_another(cluster, tmp_path):
    mark = tmp_path / "dead"

    found = list(results(end_once, [(mark, n) for n in range(8)], Places(cluster=cluster.scheduler_address), "wait"))

    assert mark.exists()
    assert sorted(found) == [(number, number**2) for number in range(8)]


def test_what_is_wrong_with_an_item_is_said_as_here(cluster):
    with pytest.raises(ObservationError, match="there is no mask 5"):
        list(results(refuse, [5], Places(cluster=cluster.scheduler_address), "wait"))


def report_of(folder: Path, out: Path, *flags: str) -> dict:
    assert main(["evaluate", "ik", str(folder), "--quiet", f"--json={out}", *flags]) == 0
    report = json.loads(out.read_text())
    for case in (report, *report["cases"].values()):  # how long it took is another number each time
        for name in [name for name in case if "seconds" in name]:
            del case[name]
    return report


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_two_workers_of_which_one_is_killed_give_the_table_of_one_process(cluster, demo_dir, tmp_path):
    clips = tmp_path / "clips"
    clips.mkdir()
    for number in range(5):
        (clips / f"{number}.bvh").write_bytes((demo_dir / "ik_truth.bvh").read_bytes())

    def kill_one_at_work() -> None:
        while not (busy := [pid for worker in cluster.workers.values() if (pid := busy_process(cluster, worker))]):
            time.sleep(0.01)
        os.kill(busy[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one_at_work, daemon=True)
    killer.start()
    by_cluster = report_of(clips, tmp_path / "cluster.json", "--cluster", cluster.scheduler_address)
    killer.join(timeout=1)

    assert not killer.is_alive()
    assert len(by_cluster["cases"]) == 5
    assert by_cluster == report_of(clips, tmp_path / "here.json")


def busy_process(cluster, nanny) -> int | None:
    """The process of a worker that has something to do."""
    state = cluster.scheduler.workers.get(nanny.worker_address)
    return nanny.pid if state is not None and state.processing else None


def test_a_cluster_that_nobody_runs_is_a_sentence(monkeypatch):
    monkeypatch.setattr("solver_core.workers.CONNECT_SECONDS", 0.5)

    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        list(results(refuse, [1], Places(cluster="tcp://127.0.0.1:9"), "wait"))


def test_jobs_and_cluster_contradict_each_other(tmp_path, capsys):
    (tmp_path / "clip.bvh").touch()

    assert main(["evaluate", "ik", str(tmp_path), "--jobs", "2", "--cluster", "tcp://127.0.0.1:9"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_scheduler_file_that_is_not_there_is_said_at_once():
    with pytest.raises(ConfigError, match=r"there is no file nosuch\.json"):
        list(results(refuse, [5], Places(cluster="nosuch.json"), "wait"))
