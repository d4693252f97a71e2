# SPDX-License-Identifier: GPL-3.0-or-later
"""What the three solves have in common: one protocol for buttons, the live operator and batch jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import bpy
import numpy as np

from solver_core.errors import ObservationError, SetupError, SolverError

from ..bridge.passes import Render

NO_IMAGE_LINES = np.zeros((0, 2, 2), np.float32)
NO_WORLD_LINES = np.zeros((0, 2, 3), np.float32)
BEFORE_UNKNOWN = "What was before is known only of solves since the file was opened, until their result is cleared."
NO_POINTS = np.zeros((0, 3), np.float32)


@dataclass(frozen=True, eq=False)
class Step:
    """One feedback step, as the user may watch it.

    part: which of the solve's parts.  index: 0 is the start; count: how many are expected.  energy: 0 explains the
    observation.  quality: a phrase such as "IoU 0.94".  answer: what `Solve.apply` writes.  image_lines: (N, 2, 2) segments
    in the camera's image, (x, y) from 0 to 1, y up.  world_lines: (N, 2, 3).  world_points: (N, 3).  seconds: since the start.
    observed_lines, observed_points: what was observed, as image_lines and world_points.  frame: of the scene at which the step
    is shown, None = part.
    """

    part: int
    index: int
    count: int
    phase: str
    energy: float
    quality: str
    answer: Any
    seconds: float
    image_lines: np.ndarray = field(default_factory=lambda: NO_IMAGE_LINES)
    world_lines: np.ndarray = field(default_factory=lambda: NO_WORLD_LINES)
    world_points: np.ndarray = field(default_factory=lambda: NO_POINTS)
    observed_lines: np.ndarray = field(default_factory=lambda: NO_IMAGE_LINES)
    observed_points: np.ndarray = field(default_factory=lambda: NO_POINTS)
    frame: int | None = None

    @property
    def shown_at(self) -> int:
        """The frame of the scene."""
        return self.part if self.frame is None else self.frame


class Solve(Protocol):
    """A solve of one task: gather, then for each part read, drain steps, keep; at last finish and report, or else restore.

    It keeps names and arrays, never Blender's objects, so that it survives timer ticks and undo.
    """

    parts: Sequence[int]  # frames that are solved one after the other

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: Any) -> Self:
        """Reads what does not change.  Raises SolverError with a sentence for the artist."""
        ...

    def read(self, part: int) -> Iterable[Render]:
        """Reads the inputs of a part's frame; hands out what is to be rendered for that, one after the other.

        It is to be drained, each render being carried out before the next one is asked for.  Raises SolverError.
        """
        ...

    def steps(self) -> Iterator[Step]:
        """The steps of the part that was read, the last of which is the answer.

        Touches neither Blender's data nor what `apply` reads, so it may run in a thread while steps are shown.
        """
        ...

    def apply(self, step: Step) -> None:
        """Shows a step in the scene.  Raises SetupError if what it moves is gone."""
        ...

    def keep(self) -> bool:
        """Writes the part's answer; whether the part is done.  If not, it is to be read and solved again from there."""
        ...

    def skip(self, error: ObservationError) -> bool:
        """Whether the parts go on after the one that is not done, whose picture or targets cannot be used; see finish."""
        ...

    @property
    def has_kept(self) -> bool:
        """Whether a part is done, so that there is something to finish."""
        ...

    def finish(self, end: str = "") -> Iterator[None]:
        """Sets the keyframes of all parts that are done, and measures the result in the scene, evaluated again.

        It is to be drained, at once or, so that the window stays alive, a piece at a time.  end: why not all parts are done,
        a sentence.  Raises ObservationError if all parts were skipped.
        """
        ...

    def restore(self) -> None:
        """Puts everything back as it was before gather; what is gone is skipped."""
        ...

    def reset(self) -> list[str]:
        """Puts what a finished solve changed back as it was, keyframes too, and nothing else; what is gone is skipped.

        Returns the names of what it made and the user has changed since, which stays.  Raises SetupError if it cannot.
        """
        ...

    def report(self) -> dict[str, Any]:
        """Numbers and sentences of the result as it was measured, fit for JSON."""
        ...

    def found(self) -> Any:
        """The answer as it was measured in the scene: one of the dataclasses of found.py."""
        ...

    def step_at(self, step: Step, frame: int) -> Step | None:
        """A step of a part that is more than one frame, at another of its frames; None where the part has no such frame."""
        ...


def solve_all(solve: Solve, show: Callable[[Step], None] = lambda step: None) -> None:
    """All parts of a solve, one after the other.  Raises SolverError where nothing was solved before it."""
    try:
        for part in solve.parts:
            is_done = False
            while not is_done:
                try:
                    for render in solve.read(part):
                        render.at_once()
                    for step in solve.steps():
                        show(step)
                    is_done = solve.keep()
                except ObservationError as error:
                    if not solve.skip(error):
                        raise
                    is_done = True
    except SolverError as error:
        if not solve.has_kept:
            raise
        drain(solve.finish(str(error)))
    else:
        drain(solve.finish())


def drain(pieces: Iterator[None]) -> None:
    """Does all that is left."""
    for _ in pieces:
        pass


def frames_of(scene: bpy.types.Scene, first: int | None, last: int | None) -> tuple[int, ...]:
    """Frames of a range, or the current one.  An end that is not given is the scene's."""
    if first is None and last is None:
        return (scene.frame_current,)
    first = scene.frame_start if first is None else first
    last = scene.frame_end if last is None else last
    if first > last:
        raise SetupError(f"The frame range ends before it begins: {first} to {last}.")
    return tuple(range(first, last + 1))


def mean_milliseconds(seconds: float, steps: int) -> float:
    return 1000 * seconds / max(steps, 1)
