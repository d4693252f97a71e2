# SPDX-License-Identifier: GPL-3.0-or-later
"""What the solves of this session found, step by step: for the panels, the overlay and the replay slider.

The report of a result is in the scene as well: it is there after the file was loaded, and goes and comes with undo and redo.
"""

from __future__ import annotations

import functools
import json
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import bpy

from solver_core.errors import SolverError
from solver_core.solution import Verdict

from .bridge.scene import Handle
from .solves.afterwards import named_in
from .solves.solve import NO_IMAGE_LINES, Solve, Step

RECORD_FORMAT = 1  # of what is in the file; another one is not shown
DIGITS = 6  # of numbers in the file
KEPT = 4  # results of a problem that undo and redo can bring back with all their steps


@dataclass(eq=False)
class Result:
    """A solve, running or done, and its steps.  Names and arrays only, so that it outlives an undo.

    steps_of: of each part that was solved; but for the last part only the last step has its lines.  current: index of the step
    that the scene shows, frame: at which frame.  progress: from 0 to 1, never falls; num_done: parts that are; is_finishing:
    whether all are.  rendered: what Cycles renders before the first step, in words.  report: Solve.report(), None while the
    solve runs.  notice: why the last replay could not be shown.  id: by which the scene knows its result.
    """

    problem: str
    scene: Handle
    camera: str
    solve: Solve
    steps_of: dict[int, list[Step]] = field(default_factory=dict)
    current: int = -1
    frame: int = 0
    progress: float = 0.0
    num_done: int = 0
    is_finishing: bool = False
    rendered: str = ""
    report: dict | None = None
    notice: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _seen: Step | None = None

    @property
    def steps(self) -> list[Step]:
        """Those of the part that the scene shows, else of the last one."""
        return self.steps_of.get(self.frame) or next(reversed(self.steps_of.values()), [])

    @property
    def step(self) -> Step | None:
        """The step that the scene shows."""
        return self.steps[self.current] if self.steps else None

    def take(self, step: Step) -> None:
        """Shows a new step in the scene and remembers it."""
        if self.steps_of and step.part not in self.steps_of:
            done = self.steps_of[next(reversed(self.steps_of))]
            done[:-1] = [replace(one, image_lines=NO_IMAGE_LINES, observed_lines=NO_IMAGE_LINES) for one in done[:-1]]
            self.num_done += 1
        self._apply(step)
        self.steps_of.setdefault(step.part, []).append(step)
        reached = self.num_done + min(step.index / max(step.count, 1), 1)
        self.progress = max(self.progress, reached / len(self.solve.parts))
        self.current = len(self.steps) - 1

    def replay(self, current: int) -> None:
        """Shows an earlier step in the scene, at its frame if that was solved; notes why not where what was solved is gone."""
        self.notice = ""
        try:
            scene = self.scene.require_scene()
            steps = self.steps_of.get(scene.frame_current, self.steps)
            step = steps[min(current, len(steps) - 1)]
            self._apply(self._at_frame(step, scene.frame_current) or step)
            self.current = min(current, len(steps) - 1)
        except SolverError as error:
            self.notice = str(error)

    def seen_in(self, scene: bpy.types.Scene) -> Step | None:
        """The step that a scene shows at its frame: the one that was shown last, else the answer, as the animation plays it.

        None where the frame was not solved, or the scene is another.
        """
        frame = scene.frame_current
        if scene.session_uid != self.scene.uid or not self.steps:
            return None
        if frame == self.frame:
            return self._seen
        last = self.steps_of.get(frame, self.steps)[-1]
        step = self._at_frame(last, frame)
        if step is not None and self.report is not None:
            self.frame, self._seen = frame, step
            self.current = len(self.steps) - 1
        return step

    def _at_frame(self, step: Step, frame: int) -> Step | None:
        return step if step.shown_at == frame else self.solve.step_at(step, frame)

    def _apply(self, step: Step) -> None:
        self.solve.apply(step)
        self.frame, self._seen = self.scene.require_scene().frame_current, step


_results: dict[str, Result] = {}  # the newest of each problem
_earlier: dict[str, list[Result]] = {}  # those before it, the oldest first
_shown: Result | None = None  # by the overlay


def find(problem: str, scene: bpy.types.Scene) -> Result | None:
    """The result of a scene, if it is of this session: the one that runs, else the one that undo and redo have left there."""
    ours = [result for result in _kept(problem) if result.scene.uid == scene.session_uid]
    if ours and ours[-1].report is None:
        return ours[-1]
    known = _record(problem, scene).get("id")
    return next((result for result in ours if result.id == known), None)


def _kept(problem: str) -> list[Result]:
    """All results of a problem that are kept, the newest last."""
    return [*_earlier.get(problem, ()), _results[problem]] if problem in _results else []


def report_of(problem: str, scene: bpy.types.Scene) -> dict | None:
    """The report of a scene's result, be it of this session or stored in the file."""
    return _record(problem, scene).get("report")


def conclude(result: Result, report: dict) -> None:
    """Ends a running result with its report, which is stored in the scene."""
    scene = result.scene.require_scene()
    settings = getattr(scene.deep_feedback, result.problem)
    settings.recorded.clear()
    for name in named_in(result.problem, report):
        line = settings.recorded.add()
        line.name, line.thing = name, scene.objects.get(name)
    settings.record = json.dumps({"format": RECORD_FORMAT, "id": result.id, "report": _rounded(report)}, separators=(",", ":"))
    result.report, result.is_finishing = report, False
    redraw()


def clear(problem: str, scene: bpy.types.Scene) -> None:
    """Takes the result of a scene out of it; undo brings it back."""
    settings = getattr(scene.deep_feedback, problem)
    settings.record = ""
    settings.recorded.clear()
    if _shown is not None and _shown.problem == problem:
        show(None)


def _record(problem: str, scene: bpy.types.Scene) -> dict:
    return _parsed(getattr(scene.deep_feedback, problem).record)


@functools.lru_cache(maxsize=8)  # panels and viewports ask at every redraw
def _parsed(text: str) -> dict:
    """What a scene holds, empty if that is nothing or of another version of the extension."""
    try:
        record = json.loads(text) if text else {}
        is_ours = record.get("format") == RECORD_FORMAT and Verdict(record["report"]["verdict"]) is not None
        return record if is_ours else {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def keep(result: Result) -> None:
    """Makes a result the newest of its problem and lets the overlay show it."""
    _earlier[result.problem] = _kept(result.problem)[1 - KEPT :]
    _results[result.problem] = result
    show(result)


def take_back(result: Result) -> None:
    """Forgets a result, so that the one before it counts again, if there was one."""
    problem = result.problem
    ours = [one for one in _kept(problem) if one is not result]
    if len(ours) == len(_kept(problem)):  # another file was opened
        return
    del _results[problem]
    _earlier[problem] = ours[:-1]
    if ours:
        _results[problem] = ours[-1]
    scene = result.scene.find_scene()
    show(None if scene is None else find(result.problem, scene))


def show(result: Result | None) -> None:
    """Lets the overlay of all viewports draw a result."""
    global _shown
    _shown = result
    redraw()


def shown() -> Result | None:
    return _shown


def is_running() -> bool:
    return any(result.report is None for result in _results.values())


def step_property(problem: str) -> object:
    """The slider that replays a solve."""

    def replay(settings: bpy.types.PropertyGroup, _: bpy.types.Context) -> None:
        result = find(problem, settings.id_data)
        if result is None or result.report is None:
            return
        within = min(settings.step, len(result.steps))
        if within != settings.step:
            settings.step = within  # comes here again
            return
        result.replay(within - 1)
        show(result)

    return bpy.props.IntProperty(
        name="Step",
        description="Shows this step of the last solve in the scene again; the last step is the answer",
        default=1,
        min=1,
        soft_max=32,  # of the dragging; a solve ends where its steps do
        update=replay,
        options={"SKIP_SAVE"},
    )


def record_property() -> object:
    """What the file keeps of a result."""
    return bpy.props.StringProperty(
        name="Result", description="The report of the last solve, which the panel shows, as JSON", options={"HIDDEN"}
    )


def redraw() -> None:
    """Asks for a redraw of all viewports with their side panels."""
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                if area.type == "VIEW_3D":
                    area.tag_redraw()


@bpy.app.handlers.persistent
def _forget_all(*_: object) -> None:
    _results.clear()
    _earlier.clear()
    show(None)


@bpy.app.handlers.persistent
def _hide(*_: object) -> None:
    """After an undo or redo the scene does not show the step that the overlay draws; the slider brings both back."""
    show(None)


def register() -> None:
    bpy.app.handlers.load_pre.append(_forget_all)
    bpy.app.handlers.undo_post.append(_hide)
    bpy.app.handlers.redo_post.append(_hide)


def unregister() -> None:
    bpy.app.handlers.redo_post.remove(_hide)
    bpy.app.handlers.undo_post.remove(_hide)
    bpy.app.handlers.load_pre.remove(_forget_all)
    _forget_all()
