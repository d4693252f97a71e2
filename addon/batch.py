# SPDX-License-Identifier: GPL-3.0-or-later
"""Solves the tasks of a job file without a window: as a script of Blender, as its command, or as a module beside bpy.

blender -b scene.blend --python-exit-code 1 --python addon/batch.py -- job.json --out results
blender -b -c deep_feedback job.json --out results
python -m addon.batch job.json --out results
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy

COMMAND = "deep_feedback"
EXAMPLE = """\
A job is a JSON list of tasks. Paths are relative to the job file, outputs to DIR. All keys of a task but those below are
the settings of the panels; what is left out has the panel's default.

[
  {
    "name": "car", "scene": "car.blend", "problem": "pose",
    "object": "Car", "camera": "Camera", "silhouette": {"file": "car_mask.png"}, "mask": {"key": "LUMINANCE"},
    "outputs": {"blend": "car_solved.blend", "png": "car_solved.png"}
  },
  {
    "name": "sun", "scene": "yard.blend", "problem": "lighting",
    "image": {"use_background": true}, "camera": "Camera", "kind": "sun", "light": "Sun",
    "outputs": {"blend": "yard_lit.blend"}
  },
  {
    "name": "walk", "scene": "rig.blend", "problem": "inverse_kinematics",
    "armature": "Rig", "source": "FILE", "file": "walk.bvh", "frame_start": 1, "frame_end": 60,
    "outputs": {"blend": "walk.blend", "json": "walk.json"}
  }
]

Without "scene" a task takes the file that Blender has open. One line of JSON is written for each task as it ends, and
DIR/<name>.json, or the output "json", keeps it. Tasks whose outputs are there already are skipped.
Exit code: 0 all good, 1 some doubtful or failed, 2 the job cannot be run.
"""


def register() -> None:
    global _registered
    _registered = bpy.utils.register_cli_command(COMMAND, main)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_registered)


_registered: Any = None


def main(arguments: Sequence[str]) -> int:
    """Runs a job; the exit code."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.job is None and not args.schema:
        parser.error("the following arguments are required: job.json")
    try:
        jobs = _job_module()
    except ModuleNotFoundError as error:
        _complain([f"The Python module '{error.name}' is missing: install the extension, which brings it."])
        return 2
    if args.schema:
        sys.stdout.write(json.dumps(jobs.job_schema(), indent=2) + "\n")
        return 0
    try:
        tasks = jobs.read_job(args.job, args.out)
    except jobs.JobError as error:
        _complain(error.problems)
        return 2
    if args.only is not None:
        tasks = [task for task in tasks if task.name == args.only]
        if not tasks:
            _complain([f"The job {args.job} has no task '{args.only}'."])
            return 2
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _complain([f"The folder {args.out} cannot be made: {error.strerror}."])
        return 2
    lines = (jobs.run(task) for task in tasks) if args.jobs == 1 else _run_in_processes(tasks, args)
    is_all_good = True
    for line in lines:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        is_all_good &= line.get("verdict") == "good"
    return int(not is_all_good)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", type=Path, nargs="?", metavar="job.json", help="the tasks")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of job files, and solve nothing")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of the outputs (default: this one)")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes that solve at the same time")
    parser.add_argument("--only", metavar="NAME", help="solve this task only")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not '{text}'")
    return int(text)


def _job_module() -> ModuleType:
    """job.py of this folder; as a script it has no package yet."""
    if __package__:
        return importlib.import_module(".job", __package__)
    folder = Path(__file__).resolve().parent
    sys.path.append(str(folder.parent))  # last: an installed solver_core has its kernel, a checkout perhaps not
    return importlib.import_module(f"{folder.name}.job")


def _run_in_processes(tasks: Sequence[Any], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One process a task, so that one that crashes takes no other along."""
    with ThreadPoolExecutor(args.jobs) as pool:
        running = [pool.submit(_run_in_process, task, args) for task in tasks]
        for finished in as_completed(running):
            yield finished.result()


def _run_in_process(task: Any, args: argparse.Namespace) -> dict[str, Any]:
    own = [str(args.job), "--out", str(args.out), "--only", task.name]
    done = subprocess.run([*_launcher(), *own], stdout=subprocess.PIPE, check=False)
    start = json.dumps({"task": task.name})[:-1]
    # Blender writes to the same pipe in whatever encoding, and may leave a line of its own unfinished before ours.
    _, found, rest = done.stdout.decode(errors="replace").partition(start)
    if not found:
        return {
            "task": task.name,
            "status": "failed",
            "error": f"The process ended without a result, with code {done.returncode}.",
        }
    return json.loads(found + rest.partition("\n")[0])


def _launcher() -> list[str]:
    """How this very program was started, up to its own arguments."""
    if bpy.app.binary_path:
        last = sys.argv.index("--" if "--" in sys.argv else COMMAND)
        return [bpy.app.binary_path, *sys.argv[1 : last + 1]]
    return [sys.executable, *(("-m", __spec__.name) if __spec__ else (__file__,))]


def _complain(problems: Sequence[str]) -> None:
    sys.stderr.write("".join(f"{problem}\n" for problem in problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]))
