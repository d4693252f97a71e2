# SPDX-License-Identifier: Apache-2.0
"""Faults of the world around: full disks, kills at any moment, two writers, files that vanish.  Run by `make test-faults`.

FAULT_MOMENTS: at how many random moments a batch, and as often a training run, is killed (default 100).  FAULT_SEED: which.
"""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from solver_core.locking import LOCK_NAME

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = int(os.environ.get("FAULT_MOMENTS", "100"))
SEED = int(os.environ.get("FAULT_SEED", "0"))
SURROUNDINGS = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
DISK_BYTES = 8 * 2**20
LONGEST = 600  # seconds that a process may take on a busy machine

RECIPE = """
[training]
problem = "pose"
name = "small"
iterations = [2, 2]
batch_size = 8
workers = 1
validation_samples = 4
validate_every = 2
[network]
convolutions = [[4, 2], [4, 2], [4, 2], [4, 2]]
hidden = [8]
[sampling]
resolutions = [64]
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="tmpfs, /proc and signals of Linux")


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk of its own can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path, left: int = 0) -> None:
    """Fills a disk up to so many bytes."""
    free = shutil.disk_usage(place).free
    with (place / "filling").open("wb") as file:
        file.write(bytes(max(0, free - left)))


def solver_core(*arguments, before=(), **options) -> subprocess.CompletedProcess:
    """Runs the command line; before: a command that starts it."""
    command = [*before, sys.executable, "-m", "solver_core", *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "env": SURROUNDINGS} | options
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=LONGEST, **options)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"filling"}


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def motion(demo_dir) -> list[str]:
    """A command line that solves the motion that ships."""
    files = ["--skeleton", demo_dir / "ik_rest.bvh", "--targets", demo_dir / "ik_targets.csv"]
    return ["solve", "inverse_kinematics", *map(str, files), "--no-refine"]


# The command line.


def test_a_full_disk_keeps_every_old_result_of_the_command_line(disk, motion):
    outputs = {"--out": "motion.bvh", "--picture": "motion.png", "--animation": "motion.gif"}
    for name in outputs.values():
        (disk / name).write_text("yesterday's")
    fill(disk, left=4096)

    for option, name in outputs.items():
        done = solver_core(*motion, option, disk / name)
        assert done.returncode == 3, done.stderr
        assert done.stderr.splitlines()[-1].endswith("No space left on device")
        assert "Traceback" not in done.stderr
        assert (disk / name).read_text() == "yesterday's"
    assert names(disk) == set(outputs.values())


def test_two_writers_of_one_file_leave_one_of_two_whole_files(motion, tmp_path):
    command = [sys.executable, "-m", "solver_core", *motion, "--out", str(tmp_path / "m.bvh")]
    processes = [subprocess.Popen(command, env=SURROUNDINGS, stdout=subprocess.DEVNULL) for _ in range(3)]

    assert all(process.wait(timeout=LONGEST) in (0, 1) for process in processes)

    assert names(tmp_path) == {"m.bvh"}
    assert solver_core(*motion[:3], tmp_path / "m.bvh", "--targets", tmp_path / "m.bvh").returncode in (0, 1)


def test_files_that_must_not_be_read_or_written_are_a_sentence(motion, tmp_path):
    if os.geteuid() == 0:  # who may read everything, unless these rights are taken away
        if shutil.which("setpriv") is None:
            pytest.skip("the rights of root cannot be taken away: there is no setpriv")
        rights = "-dac_override,-dac_read_search"
        before = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    else:
        before = []
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    shut = tmp_path / "shut.bvh"
    shut.write_text("")
    shut.chmod(0)

    unreadable = solver_core(*motion[:2], "--skeleton", shut, "--targets", shut, before=before)
    unwritable = solver_core(*motion, "--out", folder / "m.bvh", before=before)
    device = solver_core(*motion[:2], "--skeleton", "/proc/self/mem", "--targets", shut)  # reading fails as of a broken disk

    for done, code in ((unreadable, 2), (unwritable, 2), (device, 3)):
        assert done.returncode == code, done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert "Permission denied" in unreadable.stderr
    assert "Permission denied" in unwritable.stderr
    assert "Input/output error" in device.stderr


def test_a_pipe_that_breaks_amid_a_result_is_a_sentence(motion, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)

    done = solver_core(*motion, "--out", tmp_path / "m.bvh", stdout=writing)

    os.close(writing)
    assert done.returncode == 3
    assert "Broken pipe" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert names(tmp_path) == {"m.bvh"}


def test_the_workers_of_a_folder_of_clips_end_with_it(motion, demo_dir, tmp_path):
    (tmp_path / "clips").mkdir()
    for number in range(40):
        shutil.copy(demo_dir / "ik_targets.csv", tmp_path / "clips" / f"clip{number:02d}.csv")
    command = [*motion[:4], "--targets", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), "--jobs", "2"]
    process = subprocess.Popen([sys.executable, "-m", "solver_core", *command], env=SURROUNDINGS, stdout=subprocess.DEVNULL)
    wait_until(lambda: len(list((tmp_path / "out").glob("*.bvh"))) > 1, LONGEST)
    workers = children(process.pid)

    process.kill()

    process.wait()
    assert len(workers) >= 2
    wait_until(lambda: all(map(has_ended, workers)))


def children(pid: int) -> set[int]:
    return {int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _parent(path) == pid}


def _parent(process: Path) -> int | None:
    """None for one that has ended."""
    try:
        state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None
    return None if state == "Z" else int(parent)


def has_ended(pid: int) -> bool:
    return _parent(Path("/proc", str(pid))) is None


# Training.  Its processes are forked from this one, which has loaded torch: else most kills would hit the loading.


@pytest.fixture
def meshes(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trimesh = pytest.importorskip("trimesh")
    folder = tmp_path / "shapes" / "box"
    folder.mkdir(parents=True)
    for index in range(20):
        trimesh.creation.box((1, 1 + 0.1 * index, 2)).export(folder / f"box{index}.ply")
    return folder.parent


@pytest.fixture
def recipe(tmp_path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return path


class Training:
    """A process that trains."""

    def __init__(self, recipe: Path, meshes: Path, out: Path, is_forking: bool = True) -> None:
        pytest.importorskip("torch").set_num_threads(1)
        from solver_core import workers
        from solver_core.command import cli

        arguments = ["train", "pose", "--config", recipe, "--data", meshes, "--out", out]
        arguments += ["--resume"] if list(out.glob("checkpoint*.pt")) else []
        self.said = recipe.with_name(f"{out.name}.txt")
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                for stream in (sys.stdout, sys.stderr):
                    os.dup2(os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
                if is_forking:
                    workers.get_context = lambda _: multiprocessing.get_context("fork")
                code = cli.main([*map(str, arguments)])
            finally:
                os._exit(code)

    def wait(self, seconds: float = LONGEST) -> int | None:
        """Exit code, negative for a signal; None if it goes on after this time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return None

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)


@pytest.mark.torch
def test_a_training_run_on_a_full_disk_ends_with_a_sentence(recipe, meshes, disk):
    out = disk / "run"
    out.mkdir()
    fill(disk, left=16384)

    training = Training(recipe, meshes, out)

    assert training.wait() == 3
    assert "No space left on device" in training.said.read_text().splitlines()[-1]
    assert "Traceback" not in training.said.read_text()


@pytest.mark.torch
def test_data_that_vanish_before_a_training_run_or_under_it_are_a_sentence(recipe, meshes, tmp_path):
    recipe.write_text(RECIPE.replace("[2, 2]", "[40, 2]"))
    training = Training(recipe, meshes, tmp_path / "run")
    wait_until(lambda: (tmp_path / "run" / "log.jsonl").exists() or children(training.pid) != set())
    shutil.rmtree(meshes)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    code = training.wait()

    later = Training(recipe, meshes, tmp_path / "later")

    assert later.wait() == 2
    assert code in (0, 2), training.said.read_text()  # 0: it had read all before they vanished
    for one in (training, later):
        assert "Traceback" not in one.said.read_text()
    assert "does not exist" in later.said.read_text().splitlines()[-1]


@pytest.mark.torch
@pytest.mark.parametrize(
    ("number", "is_forking"),
    [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGTERM, True), (signal.SIGINT, True)],
    ids=["kill", "kill, forked", "term, forked", "int, forked"],
)
def test_the_workers_of_a_training_run_end_with_it(number, is_forking, recipe, meshes, tmp_path):
    recipe.write_text(RECIPE.replace("[2, 2]", "[100000]").replace("workers = 1", "workers = 2"))
    training = Training(recipe, meshes, tmp_path / "run", is_forking)
    wait_until(lambda: (tmp_path / "run" / "log.jsonl").exists(), LONGEST)
    workers = children(training.pid)

    training.kill(number)

    assert len(workers) >= 2
    assert training.wait() == (130 if number != signal.SIGKILL else -number), training.said.read_text()
    assert "Traceback" not in training.said.read_text()
    wait_until(lambda: all(map(has_ended, workers)))


@pytest.mark.torch
def test_a_training_run_that_is_killed_at_any_moment_gives_the_same_weights(recipe, meshes, tmp_path, monkeypatch):
    from solver_core.network.weights import load_networks
    from solver_core.problems.pose.features import INPUT_LAYOUT

    def weights(folder: Path) -> list[dict[str, np.ndarray]]:
        return [network.weights for network in load_networks(folder / "small.safetensors", "pose", INPUT_LAYOUT)]

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    rng, started = random.Random(SEED), time.monotonic()
    assert Training(recipe, meshes, tmp_path / "straight").wait() == 0
    seconds = time.monotonic() - started
    wanted = weights(tmp_path / "straight")

    kills = runs = 0
    while kills < MOMENTS:
        out, code = tmp_path / f"run{runs}", None
        runs += 1
        while code != 0:
            training = Training(recipe, meshes, out)
            code = training.wait(rng.uniform(0, 1.1) * seconds if kills < MOMENTS else LONGEST)
            if code is None:
                training.kill()
                training.wait()
                kills += 1
                if kills % 5 == 0:  # and a disk damages the last checkpoint
                    for path in out.glob("checkpoint.pt"):
                        path.write_bytes(path.read_bytes()[:-200])
            elif code == 2 and "no checkpoint" in training.said.read_text():  # the damaged one was the only one
                shutil.rmtree(out)
            else:
                assert code == 0, training.said.read_text()
        for found, stage in zip(weights(out), wanted, strict=True):
            assert found.keys() == stage.keys()
            for name in stage:
                np.testing.assert_array_equal(found[name], stage[name])
        assert not list(out.glob(".solver_core*"))
    assert not list(temporary.glob("solver_core*"))


# Batches.


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Path:
    """An arm of three bones and an empty to reach, which is solved in a moment."""
    if find_spec("bpy") is None:
        pytest.skip("needs Blender as a module")
    path = tmp_path_factory.mktemp("scene") / "arm.blend"
    script = (
        "import bpy, sys\n"
        "bpy.ops.object.armature_add()\n"
        "armature = bpy.context.object\n"
        "bpy.ops.object.mode_set(mode='EDIT')\n"
        "bones = armature.data.edit_bones\n"
        "for number in (1, 2):\n"
        "    bone = bones.new(f'bone{number}')\n"
        "    bone.head, bone.tail = (0, 0, number), (0, 0, number + 1)\n"
        "    bone.parent, bone.use_connect = bones[number - 1], True\n"
        "bpy.ops.object.mode_set(mode='OBJECT')\n"
        "armature.pose.bones[0].lock_location = (True, True, True)\n"
        "targets = bpy.data.collections.new('Targets')\n"
        "bpy.context.scene.collection.children.link(targets)\n"
        "goal = bpy.data.objects.new('goal', None)\n"
        "goal.location = (1, 1, 1)\n"
        "targets.objects.link(goal)\n"
        "bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, timeout=LONGEST)
    return path


@pytest.fixture
def job(scene, tmp_path) -> Path:
    """A job of four tasks."""
    task = {"problem": "inverse_kinematics", "armature": "Armature", "collection": "Targets"}
    task |= {"bones": [{"target": "goal", "bone": "bone2_end"}]}
    tasks = []
    for number in range(4):
        shutil.copy(scene, tmp_path / f"arm{number}.blend")
        tasks.append(
            task | {"scene": f"arm{number}.blend", "name": f"task{number}", "outputs": {"blend": f"task{number}.blend"}}
        )
    (tmp_path / "job.json").write_text(json.dumps(tasks))
    return tmp_path / "job.json"


OUTPUTS = {f"task{number}.{kind}" for number in range(4) for kind in ("blend", "json", "rotations.json")}


def reports(folder: Path) -> dict[str, dict]:
    """Those of the records in a folder, by the names of their files."""
    records = (path for path in folder.glob("*.json") if not path.name.endswith(".rotations.json"))
    return {path.name: json.loads(path.read_text())["report"] for path in records}


def start_batch(job: Path, out: Path, *options: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "addon.batch", str(job), "--out", str(out), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=SURROUNDINGS)


def lines_of(said: str) -> list[dict]:
    return [json.loads(line) for line in said.splitlines() if line.startswith('{"task"')]


def run_batch(job: Path, out: Path, *options: str) -> tuple[int, list[str], str]:
    """Exit code, status of each task, and what was said on stderr."""
    process = start_batch(job, out, *options)
    said, complaints = process.communicate(timeout=LONGEST)
    return process.returncode, [line["status"] for line in lines_of(said)], complaints


def test_a_batch_that_runs_again_on_a_full_disk_keeps_yesterday_s_files(job, disk):
    code, statuses, said = run_batch(job, disk)
    assert (code, statuses) == (0, ["done"] * 4), said
    before = {path.name: path.read_bytes() for path in disk.iterdir()}
    tasks = json.loads(job.read_text())
    job.write_text(json.dumps([task | {"smooth": 1.0} for task in tasks]))
    fill(disk)

    code, statuses, said = run_batch(job, disk)

    assert (code, statuses) == (1, ["failed"] * 4), said
    assert {path.name: path.read_bytes() for path in disk.iterdir() if path.name != "filling"} == before
    (disk / "filling").unlink()
    assert run_batch(job, disk)[:2] == (0, ["done"] * 4)


def test_scenes_that_vanish_under_a_batch_fail_with_a_sentence(job, tmp_path):
    process = start_batch(job, tmp_path / "out")
    first = json.loads(next(line for line in process.stdout if line.startswith('{"task"')))
    (tmp_path / "arm3.blend").unlink()

    said, complaints = process.communicate(timeout=LONGEST)

    assert process.returncode == 1, complaints
    assert [line["status"] for line in [first, *lines_of(said)]] == ["done", "done", "done", "failed"]
    assert "arm3.blend" in lines_of(said)[-1]["error"]
    assert "Traceback" not in complaints


@pytest.mark.parametrize("options", [(), ("--jobs", "2")], ids=["one process", "two processes"])
def test_a_batch_that_is_killed_at_any_moment_goes_on_to_the_same_end(options, job, tmp_path):
    rng, straight = random.Random(SEED), tmp_path / "straight"
    process = start_batch(job, straight, *options)
    wait_until(straight.exists)  # from here on it works
    started = time.monotonic()
    assert process.communicate(timeout=LONGEST) is not None
    assert process.returncode == 0
    seconds = time.monotonic() - started
    wanted = reports(straight)

    kills = runs = 0
    while kills < MOMENTS // 2:
        out, code = tmp_path / f"run{runs}", None
        runs += 1
        while code != 0:
            (out / LOCK_NAME).unlink(missing_ok=True)  # that of one that was killed: a new one tells that this one works
            process = start_batch(job, out, *options)
            wait_until(lambda out=out, process=process: (out / LOCK_NAME).exists() or process.poll() is not None)
            try:
                _, said = process.communicate(timeout=rng.uniform(0, 1.1) * seconds if kills < MOMENTS // 2 else LONGEST)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                kills += 1
                continue
            code = process.returncode
            assert code == 0, said
        found = reports(out)
        assert found.keys() == wanted.keys()
        for name, report in found.items():
            assert report["worst_cm"] == wanted[name]["worst_cm"]
        assert names(out) == OUTPUTS
