"""The public way to a light: image, geometry and camera in, direction or position and strength out."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.frames import Camera
from solver_core.loop import LoopSettings
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks, shipped_weights
from solver_core.options import Options, keyword_options, option
from solver_core.problem import Update, take
from solver_core.problems.lighting.features import GRID_SIZE, INPUT_LAYOUT
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.observation import mean_square
from solver_core.problems.lighting.problem import MAP_SIZE, LightingPrediction, LightingProblem
from solver_core.problems.lighting.refine import FINE_LOOP, REFINE_LOOP, gauss_newton_update, shading_update
from solver_core.problems.lighting.report import Report, examine, same_energy
from solver_core.problems.lighting.search import distinct_best
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.verdict import judge
from solver_core.render.gbuffer import Albedo
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

SEARCH_GRID, SEARCH_MAP = 32, 48  # the coarse look: cells of the grid and texels of the shadow map along a side
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
        "Number of other lights, the best of a coarse search, that are followed as well",
        minimum=0,
        maximum=64,
    )
    weights: Path | None = option(None, "Weights", "Networks of the first steps", unset="those that ship")


@dataclass(frozen=True)
class LightingStep:
    """One step of a solve, as the user may watch it.  Within a phase the energy never rises.

    phase: "start", "first", "refine", "restart" or "fine".  light: (3,) unit direction towards the sun or position of the
    light, in the camera's frame.  energy: 0 explains the image, 1 explains nothing.  damping: factor by which the step was
    taken, 0 = not at all.  seconds since the start.
    """

    phase: str
    light: np.ndarray
    energy: float
    damping: float
    seconds: float


@dataclass(frozen=True)
class LightingSolution:
    """Result of a solve, in the camera's frame.

    direction: (3,) unit, from the scene towards the light.  position: (3,) of a light that has one, else None.
    strength: (3,) linear RGB, W/m2 of a sun and W of a point light as in Blender; it includes the albedo where that is
    unknown.  ambient: (3,) radiance of the light from all around.  albedo: (M, 3) found for each mesh, relative to that
    which the strength includes; NaN where it was given or is not seen.  image_error: root mean square difference to the
    relit image, of its bright level.  uncertainty_deg: the largest angle at which some light explains the image as well.
    verdict and explanation: how far the light can be trusted, and why.  reason: why the last phase stopped.  history: all
    steps.  seconds: time of the solve.  report: how the uncertainty was found, with sentences on what cannot be known.
    alternatives: (N, 3) other lights that explain the image as well.
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
    report: Report
    alternatives: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))

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
    options: LightingOptions,
    on_step: OnStep | None = None,
) -> LightingSolution:
    """Sun or point light from one image of known geometry (Ma et al. 2020), refined on the image with its shadows.

    Args:
        image: (H, W, 3) float, linear RGB.
        vertices: (V, 3) in metres, or a list with one entry for each mesh; so are faces, camera_from_object, albedo, normals.
        faces: (F, 3) int, indices into vertices.
        camera: pinhole camera of the image's aspect.
        camera_from_object: (4, 4) rigid transform.
        albedo: linear RGB (3,), by vertex (V, 3) or by face (F, 3), or a Texture; None = unknown and uniform on the mesh.
            Where no albedo is known, the strength includes that of the mesh of which most is seen.
        strength: one number or (3,) RGB, W/m2 of a sun and W of a point light as in Blender; None = unknown.  With it known
            there is no ambient light.
        mask: (H, W), the pixels to use are those of at least 0.5; None = all.
        start: (3,) direction towards the light or its position, in the camera's frame; None = over the camera.
        normals: of smooth surfaces, by vertex (V, 3) or by corner (F, 3, 3); None = flat faces.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every LightingStep; it cancels the solve by raising Cancelled.

    Returns:
        LightingSolution in the camera's frame.

    Raises:
        ObservationError: if image or mask cannot be used.
        SetupError: if geometry, camera, albedo, strength or start cannot be used.
        ConfigError: if an option is out of its range.
        WeightsError: if the weights are no networks for this kind of light.
    """
    setup = LightingSetup.checked(
        image, vertices, faces, camera, camera_from_object, options.kind, albedo, strength, mask, start, normals
    )
    return LightingSession(setup, options).run(on_step)


class _Found(NamedTuple):
    """Lights (B, 3) in the scene's frame, their energies (B,) on the middle grid and stop reasons."""

    x: np.ndarray
    energy: np.ndarray
    reasons: list[StopReason]

    def best(self) -> _Found:
        """The one of least energy."""
        row = int(np.argmin(self.energy))
        return _Found(self.x[[row]], self.energy[[row]], [self.reasons[row]])

    def joined(self, other: _Found) -> _Found:
        return _Found(
            np.concatenate([self.x, other.x]), np.concatenate([self.energy, other.energy]), self.reasons + other.reasons
        )


class LightingSession(Session[LightingStep, LightingSolution]):
    """A solve under way: first steps, refinement, other starts, a finer grid."""

    def __init__(self, setup: LightingSetup, options: LightingOptions) -> None:
        super().__init__()
        self.setup, self.options = setup, options
        task, weights = setup.kind.weights, options.weights
        is_known = weights is not None or shipped_weights(task).exists()
        self.networks = load_networks(weights, task, INPUT_LAYOUT) if is_known and options.steps else []
        self.problem = setup.problem(GRID_SIZE, MAP_SIZE)
        self.final = self.problem
        self.best = _Found(self._start(), np.array([np.inf]), [StopReason.MAX_STEPS])
        self.found = self.best

    def phases(self) -> list[Phase]:
        if not self.options.refine:
            return [Phase(self._first, self.options.steps)]
        return [
            Phase(self._first, self.options.steps),
            Phase(self._refine, REFINE_LOOP.steps),
            Phase(self._restart, REFINE_LOOP.steps if self.options.restarts else 0),
            Phase(self._finish, FINE_LOOP.steps),
        ]

    def result(self) -> LightingSolution:
        x = self.best.x
        prediction = self.final.forward(x, np.zeros(1, dtype=int))
        image_error = self._image_error(prediction)
        report = examine(self.problem, x)
        alternatives = self._alternatives(x)
        uncertainty_deg = max([report.uncertainty_deg, *angle_deg(x, alternatives)])
        level = self.final.observation.level[:, None]
        light = self._to_camera(x[0])
        return LightingSolution(
            x[0] / np.linalg.norm(x[0]),
            light if self.setup.kind.has_position else None,
            (prediction.strength * (self.setup.strength_unit(self.final.scene) * level))[0],
            (prediction.ambient * level)[0],
            self._albedo(prediction),
            image_error,
            uncertainty_deg,
            *judge(image_error, uncertainty_deg, len(alternatives)),
            StopReason.CANCELLED if self.is_cancelled else self.best.reasons[0],
            self.history,
            self.seconds,
            report,
            self.setup.kind.to_camera(alternatives, self.problem.scene),
        )

    def _first(self) -> Iterator[LightingStep]:
        """Steps of the networks, or where none ship for this kind of light, least squares on the shading equation."""
        update = network_update(self.problem, self.networks) if self.networks else shading_update(self.problem)
        yield from self._run("first", self.problem, update, self.best.x, LoopSettings(steps=self.options.steps))

    def _refine(self) -> Iterator[LightingStep]:
        yield from self._follow("refine", self.best.x)

    def _restart(self) -> Iterator[LightingStep]:
        """The best distinct lights of a coarse look at all."""
        if self.options.restarts == 0:
            return
        lights = self.setup.kind.candidates()
        problem, rows = self.setup.problem(SEARCH_GRID, SEARCH_MAP), np.zeros(len(lights), dtype=int)
        energy = problem.energy(problem.forward(lights, rows), take(problem.observation, rows), rows)
        starts = lights[distinct_best(lights, energy, self.options.restarts)]
        yield from self._follow("restart", starts, beside=self.best)

    def _finish(self) -> Iterator[LightingStep]:
        """The likeliest answers on a finer grid."""
        found = self.found
        self.final = self.setup.problem(FINE_GRID, FINE_MAP)
        likely = distinct_best(found.x, found.energy, FINE_STARTS, FINE_DISTINCT_DEG)
        finest = self.final.of(np.zeros(len(likely), dtype=int))
        yield from self._run("fine", finest, gauss_newton_update(finest), found.x[likely], FINE_LOOP)
        self.found = found

    def _follow(self, phase: str, x: np.ndarray, beside: _Found | None = None) -> Iterator[LightingStep]:
        """Refinement of lights (B, 3) on the middle grid."""
        problem = self.problem.of(np.zeros(len(x), dtype=int))
        yield from self._run(phase, problem, gauss_newton_update(problem), x, REFINE_LOOP, beside)

    def _run(
        self,
        phase: str,
        problem: LightingProblem,
        update: Update,
        x0: np.ndarray,
        settings: LoopSettings,
        beside: _Found | None = None,
    ) -> Generator[LightingStep, None, None]:
        """Runs the feedback loop and shows the best instance of every iteration; self.best is that, or one found before."""

        def keep(x: np.ndarray, energy: np.ndarray, reasons: list[StopReason]) -> None:
            found = _Found(x, energy, reasons)
            self.found = found if beside is None else beside.joined(found)
            self.best = self.found.best()

        def show(iteration: Iteration) -> LightingStep:
            row = int(np.argmin(iteration.energy))
            keep(iteration.x, iteration.energy, [StopReason.CANCELLED] * len(iteration.x))
            return LightingStep(
                phase if iteration.index else "start",
                self._to_camera(iteration.x[row]),
                float(iteration.energy[row]),
                float(iteration.damping[row]),
                self.seconds,
            )

        solution: Solution = yield from self._loop(show, problem, update, problem.observation, x0, settings)
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

    def _alternatives(self, x: np.ndarray) -> np.ndarray:
        """(N, 3) lights found on the way that explain the image as well as x (1, 3) and are elsewhere."""
        energy = self.problem.image_energies(np.concatenate([x, self.found.x]))
        lights = np.concatenate([x, self.found.x[energy[1:] <= same_energy(float(energy[0]))]])
        order = distinct_best(lights, np.arange(len(lights)), len(lights))
        return lights[order[1:]]
