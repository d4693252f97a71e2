# SPDX-License-Identifier: Apache-2.0
"""What the command line does where the world around it is not as usual; each case is a process of its own."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="descriptors, limits and signals of POSIX")


def run(*arguments, script="", **options) -> subprocess.CompletedProcess:
    """Runs the command line; with a script, it runs the command as "$@"."""
    command = [sys.executable, "-m", "solver_core", *map(str, arguments)]
    if script:
        command = ["sh", "-c", script, "sh", *command]
    options = {"stdout": subprocess.PIPE, "env": os.environ | {"PYTHONPATH": str(ROOT)}} | options
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=300, **options)


def one_sentence(done: subprocess.CompletedProcess) -> str:
    """The sentence on stderr, where the kernel may have had one of its own before."""
    *before, sentence = done.stderr.splitlines()
    assert sentence.startswith("solver_core: "), done.stderr
    assert not [line for line in before if "no compiled kernel" not in line]
    return sentence


@pytest.mark.parametrize("script", ['"$@" >&-', '"$@" > /dev/full'], ids=["closed", "full"])
@pytest.mark.parametrize("arguments", [("info",), ("--help",)], ids=" ".join)
def test_stdout_that_takes_nothing_is_a_sentence(script, arguments):
    done = run(*arguments, script=script)

    assert done.returncode == 3
    assert "cannot print to stdout" in one_sentence(done)


def test_a_reader_that_went_away_is_a_sentence():
    read, write = os.pipe()
    os.close(read)

    done = run("info", stdout=write)

    os.close(write)
    assert done.returncode == 3
    assert "Broken pipe" in one_sentence(done)


def test_a_result_is_kept_though_stdout_takes_nothing(demo_dir, tmp_path):
    out = tmp_path / "motion.json"
    files = ["--skeleton", demo_dir / "ik_rest.bvh", "--targets", demo_dir / "ik_targets.csv", "--json", out]

    done = run("solve", "ik", *files, "--no-refine", script='"$@" >&-')

    assert done.returncode == 3
    assert json.loads(out.read_text())["frames"] > 1


@pytest.mark.parametrize("script", ['"$@" 2>&-', '"$@" 2> /dev/full'], ids=["closed", "full"])
def test_stderr_that_takes_nothing_changes_no_exit_code(script, tmp_path):
    assert run("solve", "pose", script=script).returncode == 2
    assert run("info", script=script).returncode == 0


def test_letters_that_the_terminal_lacks_are_spelled_out(tmp_path):
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": os.environ["PATH"]}
    missing = tmp_path / "größe \x1b[2J\n.json"

    done = run(
        "solve", "pose", "--mesh", missing, "--mask", missing, "--camera", missing, env=plain | {"PYTHONPATH": str(ROOT)}
    )

    assert done.returncode == 2
    assert r"\x1b" in one_sentence(done)
    assert run("--help", env=plain | {"PYTHONPATH": str(ROOT)}).returncode == 0


def test_a_user_without_a_home_is_served(tmp_path):
    surroundings = {key: value for key, value in os.environ.items() if key not in ("HOME", "XDG_CACHE_HOME")}

    assert run("info", env=surroundings | {"PYTHONPATH": str(ROOT)}).returncode == 0


@pytest.mark.parametrize("most", [5, 8, 16])
def test_few_descriptors_are_enough_or_a_sentence(most, demo_dir, tmp_path):
    files = ["--skeleton", demo_dir / "ik_rest.bvh", "--targets", demo_dir / "ik_targets.csv", "--out", tmp_path / "m.bvh"]

    done = run(
        "solve", "ik", *files, "--no-refine", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    )

    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "m.bvh").exists() == (done.returncode == 0)


SOLVES = {
    "pose": "--mesh pose_model.ply --mask pose_mask.png --camera camera.json --start start.json",
    "ik": "--skeleton ik_rest.bvh --targets ik_targets.csv",
    "lighting": "--mesh light/cream.ply light/table.ply --image light/photo.jpg --camera light/camera.json "
    "--pose light/pose.json --restarts 0 --no-refine --picture {tmp_path}/light.png",
}


@pytest.mark.parametrize("room_mb", [120, 200, 400])
@pytest.mark.parametrize("problem", SOLVES)
def test_too_little_memory_is_a_sentence(problem, room_mb, demo_dir, tmp_path):
    limit, arguments = room_mb * 2**20, SOLVES[problem].format(tmp_path=tmp_path).split()

    done = run(
        *("solve", problem, *arguments),
        cwd=demo_dir,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )

    assert done.returncode in (0, 1, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode != 3 or one_sentence(done)


def hear_interrupts() -> None:
    """What a shell runs in the background ignores them, and so does all that is started from there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_at_any_moment_is_a_sentence_and_leaves_no_file(demo_dir, tmp_path):
    picture, files = tmp_path / "motion.gif", ["--skeleton", demo_dir / "ik_rest.bvh", "--targets", demo_dir / "ik_targets.csv"]
    command = [sys.executable, "-m", "solver_core", "solve", "ik", *files, "--animation", picture, "--out", tmp_path / "m.bvh"]
    for _ in range(5):  # on a busy machine it may be over before it hears of it
        process = subprocess.Popen(
            [*map(str, command)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            preexec_fn=hear_interrupts,
        )
        while not (tmp_path / "m.bvh").exists() and process.poll() is None:  # the animation comes after it
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=300)
        if process.returncode != 0:
            break
        for path in tmp_path.iterdir():
            path.unlink()

    assert process.returncode == 130
    assert said.endswith("solver_core: interrupted\n")
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir()} == {"m.bvh"}
