# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator that solves before the user's eyes: a thread computes the steps, a timer shows them, Esc ends it.

Frames that were solved before Esc, an error or the saving of the file are kept; where there are none, all is taken back.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import bpy

from solver_core.errors import ObservationError, SolverError
from solver_core.solution import Verdict

from .. import messages, results
from ..bridge.passes import Render
from ..bridge.scene import Handle
from ..results import Result
from ..solves.solve import Solve, Step, drain, solve_all

TICK = 0.01  # seconds between looks at the thread
RANGE_TICK = 0.03  # seconds that a look may take where many frames are solved: the window is drawn in between
RENDER_TICK = 0.1  # seconds between looks at a render that was given up
NAVIGATION = {
    *("TIMER", "MOUSEMOVE", "INBETWEEN_MOUSEMOVE", "WINDOW_DEACTIVATE", "MIDDLEMOUSE", "WHEELUPMOUSE", "WHEELDOWNMOUSE"),
    *("WHEELINMOUSE", "WHEELOUTMOUSE", "TRACKPADPAN", "TRACKPADZOOM", "MOUSEROTATE", "MOUSESMARTZOOM", "NDOF_MOTION"),
    *("LEFT_CTRL", "LEFT_SHIFT", "LEFT_ALT", "RIGHT_CTRL", "RIGHT_SHIFT", "RIGHT_ALT"),
    *(f"NUMPAD_{digit}" for digit in range(10)),
}


class Run:
    """A solve under way.  Its steps are computed in a thread, one ahead of what the scene shows."""

    def __init__(self, result: Result, seconds_per_step: float = 0.0) -> None:
        self.result = result
        self.seconds_per_step = seconds_per_step if len(result.solve.parts) == 1 else 0.0
        self.timer: bpy.types.Timer | None = None
        self.is_kept = False  # once it ended: whether there is a result
        self._parts = iter(result.solve.parts)
        self._part: int | None = None
        self._reading: Iterator[Render] | None = None  # of a part
        self._render: Render | None = None  # that it waits for
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="deep_feedback")
        self._steps: Iterator[Step] = iter(())
        self._coming: Future[Step | None] | None = None
        self._shown_at = 0.0
        self._pieces: Iterator[None] | None = None  # of finishing, once that has begun
        self._keys = ""  # that end it, as the status bar says

    def tick(self) -> bool:
        """Shows the next step if it is there, or finishes a piece; whether the run goes on.  Raises SolverError.

        Of a range, as many as a tick has time for.
        """
        until = time.monotonic() + (RANGE_TICK if len(self.result.solve.parts) > 1 else 0)
        goes_on = self._advance(until)
        while goes_on and time.monotonic() < until and self._render is None:
            goes_on = self._advance(until)
        return goes_on

    def _advance(self, until: float) -> bool:
        """The next step or piece of a tick that ends at a time of the clock."""
        if self.is_finishing:
            return next(self._pieces, _NO_PIECE) is not _NO_PIECE
        try:
            return self._solve_on(until)
        except ObservationError as error:
            if not self.result.solve.skip(error):
                raise
        self._part = self._reading = self._render = self._coming = None
        return True

    def _solve_on(self, until: float) -> bool:
        """The next step, or the beginning of the next part."""
        if self._coming is None:
            return self._begin_part()
        wait([self._coming], timeout=max(until - time.monotonic(), 0))
        if not self._coming.done() or time.monotonic() < self._shown_at + self.seconds_per_step:
            return True
        step = self._coming.result()
        if step is None:
            if self.result.solve.keep():
                self._part = None
            self._coming = None
        else:
            self._ask()
            self.result.take(step)
            self._shown_at = time.monotonic()
        results.redraw()
        return True

    @property
    def is_finishing(self) -> bool:
        """Whether all is solved, and keyframes are being set and the result measured."""
        return self._pieces is not None

    def finish(self, end: str) -> None:
        """Does what is left of finishing.  end: why not all was solved, a sentence."""
        drain(self._pieces if self._pieces is not None else self.result.solve.finish(end))

    def say_keys(self, workspace: bpy.types.WorkSpace, label: str) -> None:
        """Says in the status bar what ends the run, where that has changed: a render of Blender's goes on at a right click."""
        keys = "Esc" if self.result.rendered else "Esc or right click"
        if keys != self._keys:
            what = "puts everything back" if len(self.result.solve.parts) == 1 else "keeps the frames that are solved"
            workspace.status_text_set(f"{label}: {keys} ends it and {what}")
            self._keys = keys

    def stop(self) -> None:
        """Lets go of the thread, the timer and the status bar; a step that is being computed is thrown away."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        if self._render is not None:
            bpy.app.timers.register(functools.partial(_let_go, self._render, self._reading), persistent=True)
        if self.timer is not None:
            bpy.context.window_manager.event_timer_remove(self.timer)
            self.timer = None
        for workspace in bpy.data.workspaces:
            workspace.status_text_set(None)

    def _begin_part(self) -> bool:
        if self._part is None:
            self._part = next(self._parts, None)
        if self._part is None:
            self._pieces = self.result.solve.finish()
            self.result.is_finishing, self.result.progress = True, 1.0
            return True
        if self._render is not None and not self._render.is_done():
            return True
        if self._render is not None and self._render.is_ended_by_hand:  # Blender keeps the Esc that ends a render to itself
            return False
        if self._reading is None:
            self._reading = iter(self.result.solve.read(self._part))
        self._render = next(self._reading, None)
        if self._render is not None:
            self._render.begin()
            self.result.rendered = self._render.what
            results.redraw()
            return True
        self._reading, self.result.rendered = None, ""
        self._steps = self.result.solve.steps()
        self._ask()
        return True

    def _ask(self) -> None:
        self._coming = self._worker.submit(next, self._steps, None)


def _let_go(render: Render, reading: Iterator[Render]) -> float | None:
    """For a timer: takes away what a render needed, once Blender has ended it, which may take a moment."""
    if not render.is_done():
        return RENDER_TICK
    reading.close()
    return None


_NO_PIECE = object()
_run: Run | None = None


def start(run: Run) -> None:
    global _run
    _run = run


def is_current(run: Run) -> bool:
    """Whether a run was neither finished nor cancelled."""
    return _run is run


def stop() -> Run | None:
    """Ends the run, if there is one, and gives it; the scene stays as it is."""
    global _run
    run, _run = _run, None
    if run is not None:
        run.stop()
    return run


def conclude(end: str = "") -> None:
    """Ends the run and keeps what it solved, if it solved anything; else puts the scene back as it was.

    end: why it did not solve all, a sentence.
    """
    run = stop()
    if run is None:
        return
    with taken_back_on_failure(run.result):
        run.is_kept = run.result.solve.has_kept
        if run.is_kept:
            run.finish(end)
    if not run.is_kept:
        take_back(run.result)


def cancel() -> None:
    """Ends the run, if there is one, and puts the scene back as it was."""
    run = stop()
    if run is not None:
        take_back(run.result)


def take_back(result: Result) -> None:
    results.take_back(result)
    result.solve.restore()


@contextlib.contextmanager
def taken_back_on_failure(result: Result) -> Iterator[None]:
    """Puts the scene back as it was, whatever goes wrong, before the exception goes on."""
    try:
        yield
    except BaseException:
        stop()
        take_back(result)
        raise


class LiveOperator:
    """Base of the three solves.  Invoked it runs live; executed, by a script or the redo panel, all at once.

    Its properties are the options of the problem; those that the caller leaves out are taken from the scene.
    """

    bl_options = {"REGISTER", "UNDO"}
    problem: str  # also the name of its settings
    solve_class: type[Solve]

    def make_task(self, context: bpy.types.Context) -> Any:
        raise NotImplementedError

    def go_on_from(self, solve: Solve, earlier: Solve) -> None:
        """Lets a solve that begins take the place of the scene's last one, where more than its report is replaced."""

    def summary(self, report: dict) -> str:
        """How the result fits, in a phrase, for what Blender shows at the end."""
        raise NotImplementedError

    def invoke(self, context: bpy.types.Context, _: bpy.types.Event) -> set[str]:
        if bpy.app.background or context.window is None:
            return self.execute(context)
        try:
            result = self._begin(context)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        self.run = Run(result, context.scene.deep_feedback.live.seconds_per_step)
        self.run.timer = context.window_manager.event_timer_add(TICK, window=context.window)
        start(self.run)
        context.window_manager.modal_handler_add(self)
        self.run.say_keys(context.workspace, self.bl_label)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        try:
            if is_current(self.run):
                self._go_on(event)
            if is_current(self.run):
                self.run.say_keys(context.workspace, self.bl_label)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}
        if is_current(self.run):
            return {"PASS_THROUGH"} if event.type in NAVIGATION else {"RUNNING_MODAL"}
        return self._conclude(context, self.run.result) if self.run.is_kept else {"CANCELLED"}

    def _go_on(self, event: bpy.types.Event) -> None:
        """Lets the run take a step or ends it, as the event says.  Raises SolverError if it failed and all was taken back."""
        if event.type in {"ESC", "RIGHTMOUSE"} and event.value == "PRESS":
            conclude("It was ended by hand.")
        elif event.type == "Z" and (event.ctrl or event.oskey) and event.value == "PRESS":
            cancel()
        elif event.type == "TIMER":
            with taken_back_on_failure(self.run.result):
                try:
                    if not self.run.tick():
                        conclude()
                except SolverError as error:
                    if self.run.is_finishing or not self.run.result.solve.has_kept:
                        raise
                    conclude(str(error))

    def cancel(self, _: bpy.types.Context) -> None:
        """Called by Blender when the window closes or a file is loaded."""
        if is_current(self.run):
            cancel()

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            result = self._begin(context)
            with taken_back_on_failure(result):
                solve_all(result.solve, result.take)
                return self._conclude(context, result)
        except SolverError as error:
            messages.report_error(self, error)
            return {"CANCELLED"}

    def _begin(self, context: bpy.types.Context) -> Result:
        """A result without steps, of which all was read that does not change.  Raises SolverError."""
        settings = getattr(context.scene.deep_feedback, self.problem)
        for name in set(self.properties.bl_rna.properties.keys()) - {"rna_type"}:
            if not self.properties.is_property_set(name):
                setattr(self, name, getattr(settings, name))
        task = self.make_task(context)
        solve = self.solve_class.gather(context.scene, task)
        earlier = results.find(self.problem, context.scene)
        if earlier is not None:
            self.go_on_from(solve, earlier.solve)
        result = Result(self.problem, Handle.of(context.scene), getattr(task, "camera", ""), solve)
        results.keep(result)
        return result

    def _conclude(self, context: bpy.types.Context, result: Result) -> set[str]:
        report = result.solve.report()
        getattr(context.scene.deep_feedback, self.problem).step = len(result.steps)
        results.conclude(result, report)  # from now on the slider replays
        verdict = Verdict(report["verdict"])
        said = f"{verdict.value.capitalize()}: {self.summary(report)}. {report['explanation']}"
        self.report({"INFO" if verdict is Verdict.GOOD else "WARNING"}, said)
        return {"FINISHED"}


@bpy.app.handlers.persistent
def _before_change(*_: object) -> None:
    cancel()


@bpy.app.handlers.persistent
def _before_save(*_: object) -> None:
    """No file holds a pose that is half solved."""
    with contextlib.suppress(SolverError):  # all was taken back, and there is nobody to tell
        conclude("The file was saved before all were.")


HANDLERS = (
    (bpy.app.handlers.load_pre, _before_change),
    (bpy.app.handlers.undo_pre, _before_change),
    (bpy.app.handlers.redo_pre, _before_change),
    (bpy.app.handlers.save_pre, _before_save),
)


def register() -> None:
    for handlers, handler in HANDLERS:
        handlers.append(handler)


def unregister() -> None:
    cancel()
    for handlers, handler in reversed(HANDLERS):
        handlers.remove(handler)
