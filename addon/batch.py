# SPDX-License-Identifier: GPL-3.0-or-later
"""Solves the tasks of a job file without a window: as a script of Blender, as its command, or as a module beside bpy.

blender -b scene.blend --python-exit-code 1 --python addon/batch.py -- job.json --out results
blender -b -c deep_feedback job.json --out results
python -m addon.batch job.json --out results
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy

COMMAND = "deep_feedback"
NOT_ALL_GOOD, WRONG_INPUT, SYSTEM_FAULT, INTERRUPTED = 1, 2, 3, 130  # exit codes
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
DIR/<name>.json, or the output "json", keeps it with the answer in numbers; those of bones are in <name>.rotations.json, or the
output "rotations". A task without an answer, as its scene is missing or its time was up, writes no file. Tasks whose outputs
are there already are skipped.
Exit code: 0 all good, 1 some doubtful, failed or out of time, 2 the job cannot be run, 3 the machine lacks something,
130 interrupted.
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
    try:
        args = parser.parse_args(arguments)
        if args.job is None and not (args.schema or args.record_schema):
            parser.error("the following arguments are required: job.json")
        jobs = _job_module()
    except ModuleNotFoundError as error:
        _complain([f"The Python module '{error.name}' is missing: install the extension, which brings it."])
        return WRONG_INPUT
    from solver_core.errors import ResourceError, SolverError, plain_line

    if args.worker:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # Blender's own would not tell Python
    try:
        if args.schema or args.record_schema:
            _print(json.dumps(jobs.job_schema() if args.schema else jobs.record_schema(), indent=2))
            return 0
        code = _run_job(args, jobs)
        return 0 if code == NOT_ALL_GOOD and args.accept_all else code
    except jobs.JobError as error:
        _complain([plain_line(problem) for problem in error.problems])
        return WRONG_INPUT
    except SolverError as error:
        _complain([plain_line(f"{error}.")])
        return SYSTEM_FAULT if isinstance(error, ResourceError) else WRONG_INPUT
    except _NoReader as error:
        _complain([f"The batch ends, as nobody takes its lines: {error}."])
        return SYSTEM_FAULT
    except KeyboardInterrupt:
        _complain(["Interrupted; what was finished is kept."])
        return INTERRUPTED
    finally:
        if handler is not None:  # one of Blender's own, set in C, cannot be set from Python again
            signal.signal(signal.SIGINT, handler)


def _run_job(args: argparse.Namespace, jobs: ModuleType) -> int:
    from solver_core.shards import writing_to
    from solver_core.writing import make_folder, remove_unfinished

    tasks = jobs.read_job(args.job, args.out)
    if args.only is not None:
        tasks = [task for task in tasks if task.name == args.only]
        if not tasks:
            raise jobs.JobError([f"The job {args.job} has no task '{args.only}'."])
    if args.list:
        for task in tasks:
            _print(task.name)
        return 0
    if args.shard is not None:
        tasks = args.shard.of(tasks)
    tasks = [replace(task, timeout=task.timeout or args.timeout) for task in tasks]
    make_folder(args.out)
    if args.worker:
        return _print_lines(jobs.run(task) for task in tasks)
    folders = {path.parent for task in tasks for path in task.outputs.values()}
    if args.shard is not None:  # others may be writing to the same folders; what a kill left there, a whole run removes
        folders = set()
    with writing_to(args.out, args.shard):
        for folder in folders:
            remove_unfinished(folder)
        if args.jobs == 1 and not any(task.timeout for task in tasks):
            return _print_lines(jobs.run(task) for task in tasks)
        try:
            return _print_lines(_run_in_processes(tasks, args))
        finally:
            for folder in folders:
                remove_unfinished(folder)  # of those whose time was up


def _print_lines(lines: Generator[dict[str, Any], None, None]) -> int:
    """Prints the line of each task; the exit code."""
    is_all_good = True
    with closing(lines):  # which waits for what runs, though nobody takes its line
        for line in lines:
            _print(json.dumps(line))
            is_all_good &= line.get("verdict") == "good"
    return 0 if is_all_good else NOT_ALL_GOOD


class _NoReader(Exception):
    """stdout is closed, full or without a reader."""


def _print(line: str) -> None:
    """Raises _NoReader."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError) as error:  # AttributeError: it was closed from the start, and is None
        raise _NoReader(getattr(error, "strerror", None) or "stdout is closed") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND, description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", type=Path, nargs="?", metavar="job.json", help="the tasks")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of job files, and solve nothing")
    parser.add_argument("--record-schema", action="store_true", help="print that of records and files of rotations")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of the outputs (default: this one)")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes that solve at the same time")
    parser.add_argument("--only", metavar="NAME", help="solve this task only")
    parser.add_argument("--list", action="store_true", help="print the names of the tasks, and solve nothing")
    parser.add_argument(
        "--shard", type=_shard, metavar="I/N", help="solve every Nth task from the Ith on; N processes together solve the job"
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help='give up a task after this time, unless it has its own "timeout"'
    )
    parser.add_argument(
        "--accept-all",
        action="store_true",
        help="exit code 0 instead of 1, for farms that would try again; lines say what is doubtful or failed",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)  # a process of --jobs
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or len(text) > 4 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 9999, not '{text}'")
    return int(text)


def _shard(text: str) -> Any:
    from solver_core.shards import Shard  # which may be missing, and then main says so

    return Shard.parse(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be a positive number of seconds, not '{text}'")
    return seconds


def _job_module() -> ModuleType:
    """job.py of this folder; as a script it has no package yet."""
    if __package__:
        return importlib.import_module(".job", __package__)
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py", submodule_search_locations=[str(folder)])
    package = sys.modules[folder.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    return importlib.import_module(f"{folder.name}.job")


def _run_in_processes(tasks: Sequence[Any], args: argparse.Namespace) -> Generator[dict[str, Any], None, None]:
    """One process a task, so that one that crashes takes no other along, and one whose time is up can be ended."""
    running: set[subprocess.Popen[bytes]] = set()
    with ThreadPoolExecutor(args.jobs) as pool:
        lines = [pool.submit(_run_in_process, task, args, running) for task in tasks]
        try:
            for line in as_completed(lines):
                yield line.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(running):
                process.kill()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # what runs is finished and kept


def _run_in_process(task: Any, args: argparse.Namespace, running: set[subprocess.Popen[bytes]]) -> dict[str, Any]:
    own = ["--worker", f"--out={args.out.resolve()}", f"--only={task.name}", str(args.job.resolve())]
    alive, kept_open = os.pipe()  # its end tells the process that this one has ended, in whatever way
    try:
        with subprocess.Popen([*_launcher(), *own], stdin=alive, stdout=subprocess.PIPE) as process:
            running.add(process)
            try:
                said, _ = process.communicate(timeout=task.timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                return {"task": task.name, "status": "timeout", "error": f"It was given up after {task.timeout:g} seconds."}
            finally:
                running.discard(process)
    finally:
        os.close(alive)
        os.close(kept_open)
    start = json.dumps({"task": task.name})[:-1]
    # Blender writes to the same pipe in whatever encoding, and may leave a line of its own unfinished before ours.
    _, found, rest = said.decode(errors="replace").partition(start)
    if not found:
        return {
            "task": task.name,
            "status": "failed",
            "error": f"The process ended without a result, with code {process.returncode}.",
        }
    return json.loads(found + rest.partition("\n")[0])


def _end_with_parent() -> None:
    """Ends this process when the one that started it has ended, and with it the other end of stdin."""
    while os.read(0, 1):
        pass
    os._exit(SYSTEM_FAULT)


def _launcher() -> list[str]:
    """How this very program was started, up to its own arguments."""
    if bpy.app.binary_path:
        last = sys.argv.index("--" if "--" in sys.argv else COMMAND)
        return [bpy.app.binary_path, "--disable-autoexec", *sys.argv[1 : last + 1]]
    return [sys.executable, *(("-m", __spec__.name) if __spec__ else (__file__,))]


def _complain(problems: Sequence[str]) -> None:
    """Sentences on stderr, if there is one."""
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]))
