# SPDX-License-Identifier: GPL-3.0-or-later
"""Job files: what their tasks may say, and how one is solved so that a kill at any moment leaves no half result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import bpy

from solver_core.errors import SolverError
from solver_core.reading import outputs_not_read, read_json
from solver_core.solution import Verdict
from solver_core.writing import make_folder, whole_file

from .bridge.passes import silent_handlers
from .output_folder import check_blend, check_png, check_scene_files, clashes, output_path
from .schema import Invalid, read_record, read_value, schema_of
from .solves.armature import ArmatureSolve
from .solves.armature_task import ArmatureTask
from .solves.found import FoundLight, FoundMotion, FoundPose, FoundRotations
from .solves.lighting import LightingSolve, LightingTask
from .solves.pose import PoseSolve, PoseTask
from .solves.solve import Solve, solve_all

PROBLEMS: dict[str, tuple[type[Solve], type]] = {
    "pose": (PoseSolve, PoseTask),
    "lighting": (LightingSolve, LightingTask),
    "inverse_kinematics": (ArmatureSolve, ArmatureTask),
}
ALIASES = {"ik": "inverse_kinematics", "armature": "inverse_kinematics"}  # other names that jobs may use
STATUS = {Verdict.GOOD: "done", Verdict.DOUBTFUL: "doubtful", Verdict.BAD: "failed"}
OUTPUTS = {"blend": ".blend", "json": ".json", "png": ".png"}  # what all tasks can write, and how its name ends
PICTURE_SIZE, PICTURE_SAMPLES = 960, 16  # longer side in pixels and Cycles samples: enough to see what was solved


class JobError(Exception):
    """A job that cannot be run; problems: sentences that name the task and the key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class BatchTask:
    """A checked task.  scene: a .blend file.  task: of the problem.  outputs: paths by kind, "json" always.

    timeout: seconds after which it is given up, None = never.
    """

    name: str
    scene: Path
    problem: str
    task: Any
    outputs: dict[str, Path]
    timeout: float | None = None

    @property
    def files(self) -> list[Path]:
        """The files that the task names, beside its scene."""
        return [
            Path(bpy.path.abspath(str(file), start=str(self.scene.parent))) for file in _files(dataclasses.asdict(self.task))
        ]

    def fingerprint(self) -> str:
        """Changes with the task and with the files that it names."""
        files = {str(path): _stamp(path) for path in (self.scene, *self.files)}
        content = [self.problem, dataclasses.asdict(self.task), files]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def job_schema() -> dict[str, Any]:
    """JSON Schema of job files."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Job of the extension Deep Feedback Solver",
        "type": "array",
        "minItems": 1,
        "items": {"oneOf": [_task_schema(problem) for problem in PROBLEMS]},
    }


def _task_schema(problem: str) -> dict[str, Any]:
    """Schema of a task of one problem: what all tasks have, and the problem's own."""
    schema = schema_of(PROBLEMS[problem][1])
    outputs = {kind: {"type": "string", "pattern": rf"\{end}$"} for kind, end in _outputs_of(problem).items()}
    common = {
        "name": {"type": "string", "description": "Names the record, and the task in messages"},
        "scene": {"type": "string", "description": "The .blend file, relative to the job; else the file that Blender has open"},
        "problem": {"const": problem},
        "timeout": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Seconds after which it is given up"},
        "outputs": {"type": "object", "properties": outputs, "additionalProperties": False},
    }
    return schema | {"properties": common | schema["properties"], "required": ["problem", *schema["required"]]}


def record_schema() -> dict[str, Any]:
    """JSON Schema of the records of tasks, and of the files of rotations."""
    answers = [schema_of(kind) for kind in (FoundPose, FoundLight, FoundMotion)]
    properties = {
        "task": {"type": "string"},
        "problem": {"enum": list(PROBLEMS)},
        "status": {"enum": list(STATUS.values())},
        "verdict": {"enum": [verdict.value for verdict in Verdict]},
        "answer": {"oneOf": answers},
        "report": {"type": "object", "description": "More numbers and sentences, for people"},
        "error": {"type": "string", "description": "Why the task failed"},
        "fingerprint": {"type": "string", "description": "Changes with the task and with the files that it names"},
        "sha256": {"type": "object", "additionalProperties": {"type": "string"}, "description": "Of the other outputs"},
    }
    record = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name != "error"],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Record of a task of the extension Deep Feedback Solver, or its file of rotations",
        "oneOf": [record, schema_of(FoundRotations)],
    }


def _outputs_of(problem: str) -> dict[str, str]:
    """How the names of outputs end, by their kind."""
    return OUTPUTS | ({"rotations": ".json"} if problem == "inverse_kinematics" else {})


class _Stamp(NamedTuple):
    size: int
    modified_ns: int


def read_job(path: Path, out: Path) -> list[BatchTask]:
    """The tasks of a job file, all of them checked.  Raises JobError."""
    try:
        content = read_json(path, "job")
    except SolverError as error:
        raise JobError([f"{error}."]) from error
    if not isinstance(content, list) or not content:
        raise JobError([f"The job {path} must be a list of tasks in JSON, [{{...}}, ...]."])
    tasks, problems = [], []
    for number, entry in enumerate(content, start=1):
        try:
            tasks.append(_read_task(entry, number, path.resolve().parent, out.resolve()))
        except Invalid as error:
            problems.append(error.sentence(number, entry))
    problems += _clashes(path, tasks)
    if problems:
        raise JobError(problems)
    return tasks


def run(task: BatchTask) -> dict[str, Any]:
    """Solves a task unless that is done, writes its outputs and returns its line.

    The status is "done" or "doubtful" as the verdict says, "skipped" if it was so before, "failed" for an error or a bad
    result.  The outputs of a bad result are there to be looked at, but do not count as done.
    """
    line = {"task": task.name, "problem": task.problem}
    try:
        fingerprint = task.fingerprint()
        record = _finished_record(task, fingerprint)
        if record is not None:
            return line | {"status": "skipped", "verdict": record["verdict"], "answer": record["answer"]}
        bpy.ops.wm.open_mainfile(filepath=str(task.scene), load_ui=False, use_scripts=False)  # scripts of others
        check_scene_files(list(task.outputs.values()))
        solve_class, _ = PROBLEMS[task.problem]
        with outputs_not_read({f"the output {path.name}": path for path in task.outputs.values()}):
            solve = solve_class.gather(bpy.context.scene, task.task)
            solve_all(solve)
        report, found = solve.report(), solve.found()
        answer, rotations = found, None
        if isinstance(found, FoundRotations):  # which are too many for a record
            answer = FoundMotion(found.armature, found.frames[0], found.frames[-1], task.outputs["rotations"].name)
            rotations = dataclasses.asdict(found)
        solved = line | {"status": STATUS[Verdict(report["verdict"])], "verdict": report["verdict"]}
        solved |= {"answer": dataclasses.asdict(answer), "report": report}
        solved |= {"error": report["explanation"]} if solved["status"] == "failed" else {}
        _write_outputs(task, solved | {"fingerprint": fingerprint}, rotations)
    except (SolverError, OSError, RuntimeError) as error:  # Blender's operators fail with RuntimeError
        sentence = re.sub("^Error: ", "", str(error), flags=re.MULTILINE)  # which Blender's operators put before theirs
        return line | {"status": "failed", "error": " ".join(sentence.split())}
    except Exception as error:  # a mistake of ours must not stop the other tasks either
        traceback.print_exc()
        return line | {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    return solved


def _write_outputs(task: BatchTask, record: dict[str, Any], rotations: dict[str, Any] | None) -> None:
    """Writes all outputs beside their places and then moves them there, the record last, which says that all is done."""
    for path in task.outputs.values():
        make_folder(path.parent)
    with ExitStack() as stack:  # which ends with what was entered first
        parts = {
            kind: stack.enter_context(whole_file(task.outputs[kind], f"{kind} file", check))
            for kind, check in (("json", None), ("rotations", None), ("png", check_png), ("blend", check_blend))
            if kind in task.outputs
        }
        if "blend" in parts:
            parts["blend"].unlink()  # Blender would keep it as a .blend1
            bpy.ops.wm.save_as_mainfile(filepath=str(parts["blend"]), copy=True)
        if "png" in parts:
            _render(getattr(task.task, "camera", ""), parts["png"])
        if rotations is not None:
            parts["rotations"].write_text(json.dumps(rotations) + "\n", encoding="utf-8")
        digests = {kind: _digest(part) for kind, part in parts.items() if kind != "json"}
        parts["json"].write_text(json.dumps(record | {"sha256": digests}, indent=2) + "\n", encoding="utf-8")


def _render(camera: str, path: Path) -> None:
    """A small picture through a camera, by Cycles on the processor, which needs neither a window nor a graphics card."""
    scene = bpy.context.scene
    scene.camera = scene.objects.get(camera, scene.camera)
    if scene.camera is None:
        raise SolverError("The scene has no camera, so no png can be rendered.")
    render = scene.render
    render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples = "CPU", PICTURE_SAMPLES
    scene.cycles.use_denoising = False  # Debian's Blender has no denoiser
    longer = max(render.resolution_x, render.resolution_y)
    render.resolution_percentage = min(100, math.ceil(100 * PICTURE_SIZE / longer))
    if hasattr(render.image_settings, "media_type"):  # since 5.0 a scene that renders movies offers no PNG
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format = "PNG"
    render.filepath = str(path)
    with silent_handlers():
        bpy.ops.render.render(write_still=True)


def _finished_record(task: BatchTask, fingerprint: str) -> dict[str, Any] | None:
    """The record of an earlier run of the same task, if that did not fail and all that it wrote is there as it was."""
    try:
        record = json.loads(task.outputs["json"].read_text(encoding="utf-8"))
        if record["fingerprint"] != fingerprint or record["status"] == "failed" or not isinstance(record["verdict"], str):
            return None
        digests = {kind: _digest(path) for kind, path in task.outputs.items() if kind != "json"}
        return record if record["sha256"] == digests and "answer" in record else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # there is none, or it is another file
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Stamp(found.st_size, found.st_mtime_ns)


def _files(content: Any) -> list[str]:
    """Paths: what is under the keys "file", and options that are files."""
    if not isinstance(content, dict):
        return []
    own = [value for key, value in content.items() if (key == "file" and value) or isinstance(value, Path)]
    return own + [path for value in content.values() for path in _files(value)]


def _read_task(entry: Any, number: int, folder: Path, out: Path) -> BatchTask:
    """Raises Invalid."""
    if not isinstance(entry, dict):
        raise Invalid("", f"it must be an object {{...}}, not {json.dumps(entry)}")
    entry = dict(entry)
    name = read_value(str, entry.pop("name", f"task-{number}"), "name")
    if not name or name != Path(name).name or name.startswith(".") or "\0" in name:
        raise Invalid("name", f"it must be fit for a file name, not {json.dumps(name)}")
    problem = entry.pop("problem", None)
    problem = ALIASES.get(problem, problem) if isinstance(problem, str) else problem
    if not isinstance(problem, str) or problem not in PROBLEMS:
        raise Invalid("problem", f"it must be one of {', '.join(PROBLEMS)}, not {json.dumps(problem)}")
    scene = read_value(str, entry.pop("scene", bpy.data.filepath), "scene")
    if not scene:
        raise Invalid("scene", "it is missing, and Blender has no file open that could be taken")
    outputs = read_value(dict[str, str], entry.pop("outputs", {}), "outputs")
    ends = _outputs_of(problem)
    for kind, file in outputs.items():
        if kind not in ends:
            raise Invalid(f"outputs.{kind}", f"it is not known; known: {', '.join(ends)}")
        if Path(file).suffix != ends[kind]:
            raise Invalid(f"outputs.{kind}", f"it must end in {ends[kind]}, not be {json.dumps(file)}")
    outputs = {"json": f"{name}.json", **outputs}
    if "rotations" in ends:
        outputs.setdefault("rotations", str(Path(outputs["json"]).with_suffix(".rotations.json")))
    paths = {kind: output_path(out, file, f"outputs.{kind}") for kind, file in outputs.items()}
    timeout = read_value(float | None, entry.pop("timeout", None), "timeout")
    if timeout is not None and not 0 < timeout < math.inf:
        raise Invalid("timeout", f"it must be a positive number of seconds, not {timeout}")
    task = read_record(PROBLEMS[problem][1], entry, "", folder)
    return BatchTask(name, folder / scene, problem, task, paths, timeout)


def _clashes(job: Path, tasks: Sequence[BatchTask]) -> list[str]:
    """Sentences on tasks that have one name, or would overwrite each other or what the job needs."""
    many = [name for name, count in Counter(task.name for task in tasks).items() if count > 1]
    problems = [f"Task '{name}', key 'name': another task has this name as well." for name in many]
    inputs = {file: "an input of a task" for task in tasks for file in task.files}
    inputs |= {task.scene: "the scene of a task" for task in tasks} | {job: "the job"}
    return problems + list(clashes([(task.name, task.outputs) for task in tasks], inputs))
