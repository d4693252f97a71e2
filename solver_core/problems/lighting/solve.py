# SPDX-License-Identifier: Apache-2.0
"""The public way to a light: image, geometry and camera in, direction or position and strength out."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from solver_core.frames import Camera
from solver_core.loop import LoopSettings
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks, shipped_weights
from solver_core.options import Options, keyword_options, option
from solver_core.problem import Update
from solver_core.problems.lighting.disc import SunSize, sun_size
from solver_core.problems.lighting.features import GRID_SIZE, INPUT_LAYOUT
from solver_core.problems.lighting.known import KnownLight
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.observation import mean_square
from solver_core.problems.lighting.problem import MAP_SIZE, LightingPrediction, LightingProblem
from solver_core.problems.lighting.refine import (
    FINE_LOOP,
    FINE_REACHES,
    REFINE_LOOP,
    SORT_LOOP,
    gauss_newton_update,
    shading_update,
)
from solver_core.problems.lighting.report import DISTINCT_DEG, FLOOR, PROBABLE, Answers, Report, examine
from solver_core.problems.lighting.search import BasisImages, contradicted, distinct_best
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.verdict import judge
from solver_core.render.gbuffer import Albedo, Passes
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

TINY = float(np.finfo(np.float32).tiny)
SEARCH_GRID, SEARCH_MAP = 32, 48  # the look at all lights: cells of the grid and texels of the shadow map along a side
NEAR_DEG = 6.0  # lights that are followed are at first at least so far apart
LOOKED_AT = 3  # lights of that look that are compared on the middle grid for each that is followed
FREE_STARTS = 2  # lights that are followed without regard to a strength that is known
# Energies up to which lights are followed: at first, after the first steps of refinement, and on the finest grid.
START_RATIO, START_MORE = 3.0, 0.05
LIKELY_RATIO, LIKELY_MORE = 1.3, 0.005
# Of the light, ambient light that a picture must hold before its surfaces can be seen to light each other: clean pictures of
# validation meshes hold up to 0.03, scenes on a ground from 0.037 on.
LEAST_AMBIENT = 0.035
HOPELESS = 1.3  # times as much is left of the image with indirect light: then it need not be tried
SET_ASIDE = 1.1  # times as large must the energy be with the strength that is known before it is set aside
FINE_GRID, FINE_MAP = 128, 384  # the last refinement
FINE_STARTS, FINE_DISTINCT_DEG = 3, 3.0  # answers that it starts from: edges of shadows tell at full size which one is right


@dataclass(frozen=True)
class LightingOptions(Options):
    """What a user may choose about a solve."""

    kind: str = option("sun", "Kind", "Kind of light", choices={name: kind.description for name, kind in LIGHTS.items()})
    steps: int = option(  # 7 as in the paper
        7, "Steps", "Number of first steps, each from the difference to the relit image", minimum=0, maximum=50
    )
    refine: bool = option(True, "Refine", "Fits shading and shadow edges closely after the first steps")
    restarts: int = option(
        4,
        "Restarts",
        "Number of other lights, the best of a look at all, that are followed as well",
        minimum=0,
        maximum=64,
    )
    indirect: bool = option(
        True,
        "Indirect Light",
        "Lets surfaces hide the sky from each other and light each other, if that explains the image better; needs restarts",
    )
    size: bool = option(False, "Sun's Size", "Finds the angle across the sun's disc from how soft its shadows are")
    weights: Path | None = option(None, "Weights", "Networks of the first steps", unset="those that ship")


@dataclass(frozen=True)
class LightingStep:
    """One step of a solve, as the user may watch it.  Within a phase the energy never rises.

    phase: "start", "first", "refine" or "fine".  light: (3,) unit direction towards the sun or position of the
    light, in the camera's frame.  energy: 0 explains the image, 1 explains nothing.  damping: factor by which the step was
    taken, 0 = not at all.  seconds since the start.
    """

    phase: str
    light: np.ndarray
    energy: float
    damping: float
    seconds: float


@dataclass(frozen=True)
class LightingAlternative:
    """Another light (3,) that explains the image: a direction or a position, as in LightingSolution.light."""

    light: np.ndarray
    probability: float


@dataclass(frozen=True)
class LightingSolution:
    """Result of a solve, in the camera's frame.

    direction: (3,) unit, from the scene towards the light.  position: (3,) of a light that has one, else None.
    strength: (3,) linear RGB, W/m2 of a sun and W of a point light as in Blender; it includes the albedo where that is
    unknown.  ambient: (3,) radiance of the light from all around.  albedo: (M, 3) found for each mesh, relative to that
    which the strength includes; NaN where it was given or is not seen.  image_error: root mean square difference to the
    relit image, of its bright level.  uncertainty_deg: the angle around the answer within which the light lies with a
    probability of 90 %.
    verdict and explanation: how far the light can be trusted, and why.  reason: why the last phase stopped.  history: all
    steps.  seconds: time of the solve.  probability: that this answer is the right one of those found.  report: more on what
    the image tells, with sentences on what it does not.  alternatives: other lights that explain the image, the likeliest
    first.
    """

    direction: np.ndarray
    position: np.ndarray | None
    strength: np.ndarray
    ambient: np.ndarray
    albedo: np.ndarray
    image_error: float
    uncertainty_deg: float
    verdict: Verdict
    explanation: str
    reason: StopReason
    history: list[LightingStep]
    seconds: float
    probability: float
    report: Report
    alternatives: list[LightingAlternative] = field(default_factory=list)
    known: tuple[KnownLight, ...] = ()
    size: SunSize | None = None

    @property
    def light(self) -> np.ndarray:
        """(3,) position of a light that has one, else its direction."""
        return self.direction if self.position is None else self.position


OnStep = Callable[[LightingStep], None]


@keyword_options(LightingOptions)
def solve_lighting(
    image: np.ndarray,
    vertices: np.ndarray | Sequence[np.ndarray],
    faces: np.ndarray | Sequence[np.ndarray],
    camera: Camera,
    camera_from_object: np.ndarray | Sequence[np.ndarray],
    *,
    albedo: Albedo | Sequence[Albedo] = None,
    strength: float | np.ndarray | None = None,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    normals: np.ndarray | Sequence[np.ndarray | None] | None = None,
    known: Sequence[KnownLight | Mapping[str, Any]] | None = None,
    passes: Passes | Mapping[str, Any] | None = None,
    options: LightingOptions,
    on_step: OnStep | None = None,
) -> LightingSolution:
    """Sun or point light from one image of known geometry (Ma et al. 2020), refined on the image with its shadows.

    Args:
        image: (H, W, 3) float, linear RGB.
        vertices: (V, 3) in metres, or a list with one entry for each mesh; so are faces, camera_from_object, albedo, normals.
        faces: (F, 3) int, indices into vertices.
        camera: of the image's aspect; the distortion of its lens is taken out of image and mask.
        camera_from_object: (4, 4) rigid transform.
        albedo: linear RGB (3,), by vertex (V, 3) or by face (F, 3), or a Texture; None = unknown and uniform on the mesh.
            Where no albedo is known, the strength includes that of the mesh of which most is seen.
        strength: one number or (3,) RGB, W/m2 of a sun and W of a point light as in Blender; None = unknown.  With it known
            there is no ambient light.
        mask: (H, W), the pixels to use are those of at least 0.5; None = all.
        start: (3,) direction towards the light or its position, in the camera's frame; None = over the camera.
        normals: of smooth surfaces, by vertex (V, 3) or by corner (F, 3, 3); None = flat faces.
        known: other lights that shine as well, such as {"kind": "point", "position": [0, 1, -2], "strength": 60}; see
            KnownLight.  They need the albedo.  One that the image contradicts is set aside, and a note says so.
        passes: pictures by another renderer of albedo, normal and depth, as large as the image and seen through its lens, which
            count instead of those of the meshes; see Passes.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every LightingStep; it cancels the solve by raising Cancelled.

    Returns:
        LightingSolution in the camera's frame.

    Raises:
        ObservationError: if image or mask cannot be used.
        SetupError: if geometry, camera, albedo, strength, start or known lights cannot be used.
        ConfigError: if an option is out of its range.
        WeightsError: if the weights are no networks for this kind of light.
    """
    setup = LightingSetup.checked(
        image, vertices, faces, camera, camera_from_object, options.kind, albedo, strength, mask, start, normals, known, passes
    )
    return LightingSession(setup, options).run(on_step)


class _Found(NamedTuple):
    """Lights (B, 3) in the scene's frame, and how well they explain the image.

    energy: (B,) with what it costs to set the known strength aside; is_free: (B,) whether that is done.  reasons: why each
    stopped.
    """

    x: np.ndarray
    energy: np.ndarray
    is_free: np.ndarray
    reasons: list[StopReason]

    def of(self, rows: np.ndarray) -> _Found:
        return _Found(self.x[rows], self.energy[rows], self.is_free[rows], [self.reasons[row] for row in rows])

    def best(self) -> _Found:
        """The one of least energy."""
        return self.of(np.array([np.argmin(self.energy)]))


class LightingSession(Session[LightingStep, LightingSolution]):
    """A solve under way: first steps, refinement of their answer and of the best of a look at all lights, a finer grid."""

    def __init__(self, setup: LightingSetup, options: LightingOptions) -> None:
        super().__init__()
        missing = _contradicted_lights(setup)
        setup = replace(setup, known=tuple(light for light in setup.known if light not in missing))
        self.setup, self.options = setup, options
        task, weights = setup.kind.weights, options.weights
        is_known = weights is not None or shipped_weights(task).exists()
        self.networks = load_networks(weights, task, INPUT_LAYOUT) if is_known and options.steps else []
        self.problem = setup.problem(GRID_SIZE, MAP_SIZE)
        self.final = self.problem
        self.best = _Found(self._start(), np.array([np.inf]), np.array([False]), [StopReason.MAX_STEPS])
        self.found = self.best
        self.notes = [f"The image does not show the known light {light.name}, so it was not counted." for light in missing]

    def phases(self) -> list[Phase]:
        first = [Phase(self._first, self.options.steps)]
        if not self.options.refine:
            return first
        refine_steps = SORT_LOOP.steps + REFINE_LOOP.steps
        return [*first, Phase(self._refine, refine_steps), Phase(self._finish, FINE_LOOP.steps)]

    def result(self) -> LightingSolution:
        x, is_free = self.best.x, self.best.is_free
        final = _hypotheses(self.final, is_free)
        prediction = final.forward(x, np.zeros(1, dtype=int))
        image_error = self._image_error(prediction)
        answers = self._answers()
        report = examine(final, _hypotheses(self.problem, is_free), answers)
        alternatives = [
            LightingAlternative(self._to_camera(other), float(probability))
            for other, probability in zip(answers.x[1:], report.probabilities[1:], strict=True)
            if probability >= PROBABLE
        ]
        level = self.final.observation.level[:, None]
        strength = (prediction.strength * (self.setup.strength_unit(self.final.scene) * level))[0]
        if self.setup.strength is not None and is_free[0]:
            ratio = float(strength.mean() / max(self.setup.strength.mean(), TINY))
            report.notes.append(
                f"The image is {ratio:.2g} times as bright as the known strength makes it, so the strength was fitted."
            )
        report.notes.extend(self.notes)
        light = self._to_camera(x[0])
        return LightingSolution(
            x[0] / np.linalg.norm(x[0]),
            light if self.setup.kind.has_position else None,
            strength,
            (prediction.ambient * level)[0],
            self._albedo(prediction),
            image_error,
            report.uncertainty_deg,
            *judge(image_error, report.uncertainty_deg, len(alternatives)),
            StopReason.CANCELLED if self.is_cancelled else self.best.reasons[0],
            self.history,
            self.seconds,
            float(report.probabilities[0]),
            report,
            alternatives,
            self.setup.known,
            sun_size(final, x) if self.options.size and not self.setup.kind.has_position else None,
        )

    def _first(self) -> Iterator[LightingStep]:
        """Steps of the networks, or where none ship for this kind of light, least squares on the shading equation."""
        update = network_update(self.problem, self.networks) if self.networks else shading_update(self.problem)
        yield from self._run("first", self.problem, update, self.best, LoopSettings(steps=self.options.steps))

    def _refine(self) -> Iterator[LightingStep]:
        """The first answer and the best of a look at all lights on the middle grid; after a few steps the likely ones only."""
        if self.options.restarts:
            yield from self._sort()
        else:
            yield from self._follow(self.best, SORT_LOOP)
        yield from self._follow(_likely(self.found, LIKELY_RATIO, LIKELY_MORE), REFINE_LOOP)

    def _sort(self) -> Iterator[LightingStep]:
        """A few steps from many starts, without indirect light and, where shadows are not black, with it; the better stays."""
        setup, first = replace(self.setup, has_indirect=True), self.best
        straight = BasisImages(self.setup.problem(SEARCH_GRID, SEARCH_MAP))
        yield from self._follow(_likely(self._starts(straight, first), START_RATIO, START_MORE), SORT_LOOP)
        if not self.options.indirect or self._ambient_share() < LEAST_AMBIENT:
            return
        indirect = BasisImages(setup.problem(SEARCH_GRID, SEARCH_MAP), straight.shading)
        if indirect.least_rest() > HOPELESS * straight.least_rest():
            return
        before = self.setup, self.problem, self.found, self.best
        self.setup, self.problem = setup, setup.problem(GRID_SIZE, MAP_SIZE)
        yield from self._follow(_likely(self._starts(indirect, first), START_RATIO, START_MORE), SORT_LOOP)
        if self.best.energy[0] >= before[-1].energy[0]:
            self.setup, self.problem, self.found, self.best = before

    def _ambient_share(self) -> float:
        """How much ambient light a picture holds beside that of the best light, whether or not its strength is known."""
        free = replace(_hypotheses(self.problem, np.ones(1, bool)), alone=None)
        prediction = free.forward(self.best.x, np.zeros(1, dtype=int))
        brightest = max(float(prediction.strength.mean() * prediction.shading.max()), TINY)
        return float(prediction.ambient.mean()) / brightest

    def _starts(self, images: BasisImages, first: _Found) -> _Found:
        """The first answer and the best distinct mixtures of the basis, with the known strength and without."""
        image = images.problem.observation.image[0].mean(axis=1)
        count = 1 + self.options.restarts
        known = None if self.setup.strength is None else float(images.problem.strength.mean())
        found = self._chosen(np.concatenate([first.x, self._mixed(images, image, known)]), False, count)
        if known is None:
            return found
        free = self._chosen(self._mixed(images, image, None), True, min(FREE_STARTS, self.options.restarts))
        x, energy, is_free = (np.concatenate(pair) for pair in zip(found[:3], free[:3], strict=True))
        return _Found(x, energy, is_free, found.reasons + free.reasons)

    def _mixed(self, images: BasisImages, image: np.ndarray, strength: float | None) -> np.ndarray:
        """(N, 3) the best distinct lights of a look at all."""
        mixtures = images.mixtures(image, strength)
        return mixtures.x[distinct_best(mixtures.x, mixtures.left, LOOKED_AT * self.options.restarts, NEAR_DEG)]

    def _chosen(self, x: np.ndarray, is_free: bool, count: int) -> _Found:
        """The best distinct of lights (B, 3) on the middle grid."""
        rows = np.arange(len(x))
        problem = _hypotheses(self.problem, rows < len(x) * is_free)
        energy = problem.energy(problem.forward(x, rows), problem.observation, rows)
        chosen = distinct_best(x, energy, count, NEAR_DEG)
        flags = np.full(len(chosen), is_free)
        return _Found(x[chosen], _cost(energy[chosen], flags), flags, [StopReason.MAX_STEPS] * len(chosen))

    def _finish(self) -> Iterator[LightingStep]:
        """The likeliest answers on a finer grid."""
        self.final = self.setup.problem(FINE_GRID, FINE_MAP)
        likely = _likely(self.found, LIKELY_RATIO, LIKELY_MORE)
        likely = likely.of(distinct_best(likely.x, likely.energy, FINE_STARTS, FINE_DISTINCT_DEG))
        finest = _hypotheses(self.final, likely.is_free)
        yield from self._run("fine", finest, gauss_newton_update(finest, FINE_REACHES), likely, FINE_LOOP)

    def _follow(self, starts: _Found, settings: LoopSettings) -> Iterator[LightingStep]:
        """Refinement on the middle grid."""
        problem = _hypotheses(self.problem, starts.is_free)
        yield from self._run("refine", problem, gauss_newton_update(problem), starts, settings)

    def _run(
        self, phase: str, problem: LightingProblem, update: Update, starts: _Found, settings: LoopSettings
    ) -> Generator[LightingStep, None, None]:
        """Runs the feedback loop and shows the best instance of every iteration, which is self.best at any time."""

        def keep(x: np.ndarray, energy: np.ndarray, reasons: list[StopReason]) -> None:
            self.found = _Found(x, _cost(energy, starts.is_free), starts.is_free, reasons)
            self.best = self.found.best()

        def show(iteration: Iteration) -> LightingStep:
            keep(iteration.x, iteration.energy, [StopReason.CANCELLED] * len(iteration.x))
            row = int(np.argmin(self.found.energy))
            return LightingStep(
                phase if iteration.index else "start",
                self._to_camera(iteration.x[row]),
                float(self.found.energy[row]),
                float(iteration.damping[row]),
                self.seconds,
            )

        solution: Solution = yield from self._loop(show, problem, update, problem.observation, starts.x, settings)
        keep(solution.x, solution.energy, solution.reasons)

    def _start(self) -> np.ndarray:
        """(1, 3) the given start or the usual one."""
        if self.setup.start is None:
            return self.setup.kind.start
        return self.setup.kind.from_camera(self.setup.start, self.problem.scene).astype(np.float32)

    def _to_camera(self, x: np.ndarray) -> np.ndarray:
        """(3,) light in the camera's frame."""
        return self.setup.kind.to_camera(x[None], self.problem.scene)[0]

    def _albedo(self, prediction: LightingPrediction) -> np.ndarray:
        """(M, 3) what was found for each mesh."""
        found = np.full((self.setup.scene.face_object[-1] + 1, 3), np.nan)
        if self.setup.gauge is not None:
            found[self.setup.gauge] = 1
        found[list(self.setup.tinted)] = prediction.tint[0]
        return found

    def _image_error(self, prediction: LightingPrediction) -> float:
        observation = self.final.observation
        squared = mean_square(prediction.image - observation.image)
        return math.sqrt(np.sum(observation.weight * squared) / np.sum(observation.weight))

    def _answers(self) -> Answers:
        """The answer and the other lights that were followed to the end and are elsewhere."""
        followed = _Found(
            np.concatenate([self.best.x, self.found.x]),
            np.concatenate([[0], self.found.energy]),
            np.concatenate([self.best.is_free, self.found.is_free]),
            [*self.best.reasons, *self.found.reasons],
        )
        rows = np.arange(len(followed.x))
        problem = _hypotheses(self.final, followed.is_free)
        energy = _cost(problem.image_energy(problem.forward(followed.x, rows), problem.observation), followed.is_free)
        order = distinct_best(followed.x, np.concatenate([[-1], energy[1:]]), len(rows), DISTINCT_DEG)
        return Answers(followed.x[order], energy[order])


def unexplained(setup: LightingSetup) -> float:
    """Share of the squared image that a look at all lights leaves; it tells which of two ways to read a photograph is right."""
    return BasisImages(setup.problem(SEARCH_GRID, SEARCH_MAP)).least_left()


def _contradicted_lights(setup: LightingSetup) -> list[KnownLight]:
    """Those of the known lights that are not in the image."""
    if not setup.known:
        return []
    problem = replace(setup, known=()).problem(SEARCH_GRID, SEARCH_MAP)
    albedo, level = problem.scene.surface.albedo[0], problem.observation.level[0]
    parts = [albedo * light.radiance(problem.scene, SEARCH_MAP) / level for light in setup.known]
    return [setup.known[index] for index in contradicted(problem, np.stack(parts))]


def _hypotheses(problem: LightingProblem, is_free: np.ndarray) -> LightingProblem:
    """One instance once for each of (B,).  is_free: where a known strength is to be found and ambient light is not."""
    many = problem.of(np.zeros(len(is_free), dtype=int))
    return replace(many, strength=np.where(is_free[:, None], np.float32(np.nan), many.strength))


def _cost(energy: np.ndarray, is_free: np.ndarray) -> np.ndarray:
    """(B,) energies, larger where the known strength was set aside."""
    return np.where(is_free, SET_ASIDE * (energy + FLOOR) - FLOOR, energy)


def _likely(found: _Found, ratio: float, more: float) -> _Found:
    """Those whose energy is not much larger than the least, or than the least with the known strength if they have that."""
    is_likely = found.energy <= ratio * found.energy.min() + more
    is_known = ~found.is_free
    if is_known.any():
        is_likely |= is_known & (found.energy <= ratio * found.energy[is_known].min() + more)
    return found.of(np.flatnonzero(is_likely))
