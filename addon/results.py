# SPDX-License-Identifier: GPL-3.0-or-later
"""What the solves of this session found, step by step: for the panels, the overlay and the replay slider."""

from __future__ import annotations

from dataclasses import dataclass, field

import bpy

from solver_core.errors import SolverError

from .solves.solve import Solve, Step


@dataclass
class Result:
    """A solve, running or done, and the steps of its last part.  Names and arrays only, so that it outlives an undo.

    current: index of the step that the scene shows, frame: at which frame.  progress: from 0 to 1, never falls; num_done: parts
    that are; is_finishing: whether all are.  report: Solve.report(), None while the solve runs.  notice: why the last replay
    could not be shown.
    """

    problem: str
    scene: str
    camera: str
    solve: Solve
    steps: list[Step] = field(default_factory=list)
    current: int = -1
    frame: int = 0
    progress: float = 0.0
    num_done: int = 0
    is_finishing: bool = False
    report: dict | None = None
    notice: str = ""

    @property
    def step(self) -> Step | None:
        """The step that the scene shows."""
        return self.steps[self.current] if self.steps else None

    def take(self, step: Step) -> None:
        """Shows a new step in the scene and remembers it."""
        if self.steps and self.steps[-1].part != step.part:
            self.steps.clear()
            self.num_done += 1
        self._apply(step)
        reached = self.num_done + min(step.index / max(step.count, 1), 1)
        self.progress = max(self.progress, reached / len(self.solve.parts))
        self.steps.append(step)
        self.current = len(self.steps) - 1

    def replay(self, current: int) -> None:
        """Shows an earlier step in the scene; notes why not where what was solved is gone."""
        self.current, self.notice = current, ""
        try:
            self._apply(self.steps[current])
        except SolverError as error:
            self.notice = str(error)

    def is_seen_in(self, scene: bpy.types.Scene) -> bool:
        """Whether a scene, at its frame, is as the current step left it."""
        return bool(self.steps) and (scene.name, scene.frame_current) == (self.scene, self.frame)

    def _apply(self, step: Step) -> None:
        self.solve.apply(step)
        self.frame = int(bpy.data.scenes[self.scene].frame_current)


_results: dict[str, Result] = {}
_shown: Result | None = None  # by the overlay


def find(problem: str, scene: bpy.types.Scene) -> Result | None:
    """The newest result of a problem, if it was found in this scene."""
    result = _results.get(problem)
    return result if result is not None and result.scene == scene.name else None


def keep(result: Result) -> None:
    """Makes a result the newest of its problem and lets the overlay show it."""
    _results[result.problem] = result
    show(result)


def forget(problem: str) -> None:
    result = _results.pop(problem, None)
    if result is _shown:
        show(None)


def show(result: Result | None) -> None:
    """Lets the overlay of all viewports draw a result."""
    global _shown
    _shown = result
    redraw()


def shown() -> Result | None:
    return _shown


def is_running() -> bool:
    return any(result.report is None for result in _results.values())


def redraw() -> None:
    """Asks for a redraw of all viewports with their side panels."""
    for manager in bpy.data.window_managers:
        for window in manager.windows:
            for area in window.screen.areas:
                if area.type == "VIEW_3D":
                    area.tag_redraw()


@bpy.app.handlers.persistent
def _forget_all(*_: object) -> None:
    for problem in list(_results):
        forget(problem)


@bpy.app.handlers.persistent
def _hide(*_: object) -> None:
    """After an undo the scene no longer shows the step that the overlay draws; the slider brings both back."""
    show(None)


def register() -> None:
    bpy.app.handlers.load_pre.append(_forget_all)
    bpy.app.handlers.undo_post.append(_hide)


def unregister() -> None:
    bpy.app.handlers.undo_post.remove(_hide)
    bpy.app.handlers.load_pre.remove(_forget_all)
    _forget_all()
