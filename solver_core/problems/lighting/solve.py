"""The public way to a light: image, geometry and camera in, direction or position and strength out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from solver_core.errors import ObservationError
from solver_core.frames import Camera
from solver_core.loop import LoopSettings, iterate, summary
from solver_core.network.update import network_update
from solver_core.network.weights import SHIPPED, shipped_networks
from solver_core.problem import Update, take
from solver_core.problems.lighting.checks import (
    Photograph,
    checked_kind,
    checked_photograph,
    checked_scene,
    checked_start,
    checked_strength,
)
from solver_core.problems.lighting.features import GRID_SIZE, INPUT_LAYOUT
from solver_core.problems.lighting.least_squares import shading_update
from solver_core.problems.lighting.lights import Light
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.observation import mean_square, observe
from solver_core.problems.lighting.problem import MAP_SIZE, LightingPrediction, LightingProblem
from solver_core.problems.lighting.refine import FINE_LOOP, REFINE_LOOP, gauss_newton_update
from solver_core.problems.lighting.report import Report, examine, same_energy
from solver_core.problems.lighting.search import distinct_best
from solver_core.problems.lighting.surface import LitScene, Pixels, choose_pixels, lit_scene
from solver_core.problems.lighting.verdict import judge
from solver_core.render.gbuffer import Albedo, GBuffer, Scene, render_gbuffer
from solver_core.solution import Cancelled, Iteration, StopReason, Verdict

STEPS = 7  # as in the paper
SEARCH_GRID, SEARCH_MAP = 32, 48  # the coarse look: cells of the grid and texels of the shadow map along a side
FINE_GRID, FINE_MAP = 128, 384  # the last refinement
FINE_STARTS, FINE_DISTINCT_DEG = 3, 3.0  # answers that it starts from: edges of shadows tell at full size which one is right


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
    strength: (3,) linear RGB, in Blender's unit for the kind of light; it includes the albedo where that
    is unknown.  ambient: (3,) radiance of the light from all around.  albedo: (M, 3) found for each mesh, relative to that
    which the strength includes; NaN where it was given or is not seen.  image_error: root mean square difference to the
    relit image, of its bright level.  uncertainty_deg: the largest angle at which some light explains the image as well.
    verdict and explanation: how far the light can be trusted, and why.  reason: why the last phase stopped.  report: how
    the uncertainty was found, with sentences on what cannot be known.  alternatives: (N, 3) other lights that explain the
    image as well.
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


class LightingSettings(NamedTuple):
    """steps: the first ones, learned or classical.  refine: Gauss-Newton afterwards.  restarts: other starts, the best of a
    coarse search.
    """

    steps: int = STEPS
    refine: bool = True
    restarts: int = 4


@dataclass(frozen=True, eq=False)
class LightingSetup:
    """A checked lighting problem: what the camera sees of the scene, and the part of the photograph that may be used.

    gauge: index of the mesh whose unknown albedo the strength includes, if there is one.  tinted: of the others whose
    albedo is found.  Build it with `checked`, which raises ObservationError or SetupError with one sentence for what cannot
    be used.
    """

    kind: Light
    scene: Scene
    photograph: Photograph
    buffer: GBuffer
    strength: np.ndarray | None
    start: np.ndarray | None
    gauge: int | None
    tinted: tuple[int, ...]

    @classmethod
    def checked(
        cls,
        image: np.ndarray,
        vertices: np.ndarray | Sequence[np.ndarray],
        faces: np.ndarray | Sequence[np.ndarray],
        camera: Camera,
        camera_from_object: np.ndarray | Sequence[np.ndarray],
        kind: str = "sun",
        albedo: Albedo | Sequence[Albedo] = None,
        strength: float | np.ndarray | None = None,
        mask: np.ndarray | None = None,
        start: np.ndarray | None = None,
        normals: np.ndarray | Sequence[np.ndarray | None] | None = None,
    ) -> LightingSetup:
        light = checked_kind(kind)
        photograph = checked_photograph(image, camera, mask)
        scene, is_unknown = checked_scene(vertices, faces, camera_from_object, albedo, normals)
        size = photograph.image.shape[:2]
        buffer = render_gbuffer([scene], photograph.camera.intrinsics, *size)
        if not buffer.mask.any():
            raise ObservationError("the camera does not see the mesh; check camera_from_object and the camera")
        usable = buffer.mask[0] & photograph.is_usable
        if not usable.any():
            raise ObservationError("no pixel of the object can be used: the mask misses it, or all are NaN or clipped white")
        if not photograph.image[usable].any():
            raise ObservationError(
                "the image is black wherever the object is; the direction of light shows only where some falls"
            )
        known = checked_strength(strength, albedo)
        seen, num_pixels = np.unique(buffer.object_index[0][usable], return_counts=True)
        has_gauge = known is None and bool(is_unknown[seen].all())
        gauge = int(seen[np.argmax(num_pixels)]) if has_gauge else None
        tinted = tuple(int(index) for index in seen if is_unknown[index] and index != gauge)
        buffer = buffer._replace(mask=usable[None])
        return cls(light, scene, photograph, buffer, known, checked_start(start, light), gauge, tinted)

    def problem(self, grid_size: int, map_size: int) -> LightingProblem:
        """The problem of one instance at a resolution: cells of its grid and texels of its shadow maps."""
        return self.problem_at(choose_pixels(self.buffer.mask[0], grid_size), map_size)

    def problem_at(self, pixels: Pixels, map_size: int) -> LightingProblem:
        """The problem of one instance at chosen pixels."""
        lit = lit_scene([self.scene.mesh], self.buffer, [pixels])
        image = self.photograph.image[pixels.row, pixels.column][None]
        observation = observe(image, lit.surface.weight)
        strength = np.full((1, 3), np.nan, np.float32)
        if self.strength is not None:
            strength = (self.strength / self.strength_unit(lit) / observation.level[:, None]).astype(np.float32)
        return LightingProblem(self.kind, lit, observation, strength, map_size, self.tinted)

    def strength_unit(self, scene: LitScene) -> np.ndarray:
        """(1, 1) strength, as Blender has it, of a light that makes albedo times shading the radiance."""
        return self.kind.strength_unit(scene.scale)[:, None]


def solve_lighting(
    image: np.ndarray,
    vertices: np.ndarray | Sequence[np.ndarray],
    faces: np.ndarray | Sequence[np.ndarray],
    camera: Camera,
    camera_from_object: np.ndarray | Sequence[np.ndarray],
    kind: str = "sun",
    albedo: Albedo | Sequence[Albedo] = None,
    strength: float | np.ndarray | None = None,
    mask: np.ndarray | None = None,
    start: np.ndarray | None = None,
    refine: bool = True,
    restarts: int = 4,
    on_step: OnStep | None = None,
    steps: int = STEPS,
    normals: np.ndarray | Sequence[np.ndarray | None] | None = None,
) -> LightingSolution:
    """Sun or point light from one image of known geometry (Ma et al. 2020), refined on the image with its shadows.

    image: (H, W, 3) linear float.  vertices: (V, 3), faces: (F, 3), camera_from_object: (4, 4); or lists of them, one
    entry a mesh.  kind: "sun" or "point".  albedo: linear RGB (3,), by vertex (V, 3) or by face (F, 3), a Texture, or a list
    of these; None = unknown and uniform on the mesh; where no albedo is known, the strength includes that of the mesh of
    which most is seen.  strength: in Blender's units, None = unknown; with it known there is no ambient light.  mask: (H,
    W), pixels to use.  start: (3,) direction or position to start from.  restarts: other starts tried.  on_step: called
    with every LightingStep; it cancels the solve by raising Cancelled.  normals: of smooth surfaces, by vertex (V, 3) or
    by corner (F, 3, 3), or a list of these.
    Raises ObservationError for the image and SetupError for the rest, with one sentence.
    """
    setup = LightingSetup.checked(
        image, vertices, faces, camera, camera_from_object, kind, albedo, strength, mask, start, normals
    )
    return solve_setup(setup, LightingSettings(steps, refine, restarts), on_step)


def solve_setup(setup: LightingSetup, settings: LightingSettings, on_step: OnStep | None = None) -> LightingSolution:
    """solve_lighting for what is checked already."""
    solving = LightingSolving(setup, settings)
    for step in solving.steps():
        if on_step is not None:
            try:
                on_step(step)
            except Cancelled:
                return solving.solution(is_cancelled=True)
    return solving.solution()


class _Lights(NamedTuple):
    """Lights (B, 3) in the scene's frame, their energies (B,) on the middle grid and stop reasons."""

    x: np.ndarray
    energy: np.ndarray
    reasons: list[StopReason]


class LightingSolving:
    """A solve under way, for a user interface: take `steps` one by one, and the `solution` at any time."""

    def __init__(self, setup: LightingSetup, settings: LightingSettings) -> None:
        self.setup, self.settings = setup, settings
        self.started = time.perf_counter()
        self.history: list[LightingStep] = []
        self.problem = setup.problem(GRID_SIZE, MAP_SIZE)
        self.final = self.problem
        self.best = _Lights(self._start(), np.array([np.inf]), [StopReason.MAX_STEPS])
        self.found = self.best

    def steps(self) -> Iterator[LightingStep]:
        steps = LoopSettings(steps=self.settings.steps)
        yield from self._phase("first", self.problem, self._first_update(), self.best.x, steps)
        if not self.settings.refine:
            return
        yield from self._refine("refine", self.best.x)
        if self.settings.restarts:
            first = self.best
            yield from self._refine("restart", self._search())
            row = int(np.argmin(self.found.energy))
            if first.energy[0] <= self.found.energy[row]:
                self.best = first
            self.found = _Lights(
                np.concatenate([first.x, self.found.x]),
                np.concatenate([first.energy, self.found.energy]),
                first.reasons + self.found.reasons,
            )
        self.final = self.setup.problem(FINE_GRID, FINE_MAP)
        found = self.found
        likely = distinct_best(found.x, found.energy, FINE_STARTS, FINE_DISTINCT_DEG)
        finest = self.final.of(np.zeros(len(likely), dtype=int))
        yield from self._phase("fine", finest, gauss_newton_update(finest), found.x[likely], FINE_LOOP)
        self.found = found

    def solution(self, is_cancelled: bool = False) -> LightingSolution:
        """Where the solve stands, with what the image tells about it."""
        row = np.zeros(1, dtype=int)
        x = self.best.x
        prediction = self.final.forward(x, row)
        image_error = self._image_error(prediction)
        report = examine(self.problem, x)
        alternatives = self._alternatives(x)
        to_blender = self.setup.strength_unit(self.final.scene) * self.final.observation.level[:, None]
        uncertainty_deg = float(max([report.uncertainty_deg, *angle_deg(x, alternatives)]))
        light = self._to_camera(x[0])
        return LightingSolution(
            x[0] / np.linalg.norm(x[0]),
            light if self.setup.kind.has_position else None,
            (prediction.strength * to_blender)[0],
            (prediction.ambient * self.final.observation.level[:, None])[0],
            self._albedo(prediction),
            image_error,
            uncertainty_deg,
            *judge(image_error, uncertainty_deg),
            StopReason.CANCELLED if is_cancelled else self.best.reasons[0],
            self.history,
            time.perf_counter() - self.started,
            report,
            self.setup.kind.to_camera(alternatives, self.problem.scene),
        )

    def _start(self) -> np.ndarray:
        """(1, 3) the given start or the usual one."""
        if self.setup.start is None:
            return self.setup.kind.start
        return self.setup.kind.from_camera(self.setup.start, self.problem.scene).astype(np.float32)

    def _first_update(self) -> Update:
        """Steps of the networks where weights for this kind of light ship, else least squares on the shading equation."""
        name = self.setup.kind.weights
        if (SHIPPED / f"{name}.safetensors").exists():
            return network_update(self.problem, shipped_networks(name, "lighting", INPUT_LAYOUT))
        return shading_update(self.problem)

    def _to_camera(self, x: np.ndarray) -> np.ndarray:
        """(3,) light in the camera's frame."""
        return self.setup.kind.to_camera(x[None], self.problem.scene)[0]

    def _search(self) -> np.ndarray:
        """(restarts, 3) the best distinct lights of a coarse look at all."""
        lights = self.setup.kind.candidates()
        problem, rows = self.setup.problem(SEARCH_GRID, SEARCH_MAP), np.zeros(len(lights), dtype=int)
        energy = problem.energy(problem.forward(lights, rows), take(problem.observation, rows), rows)
        return lights[distinct_best(lights, energy, self.settings.restarts)]

    def _refine(self, phase: str, x: np.ndarray) -> Iterator[LightingStep]:
        problem = self.problem.of(np.zeros(len(x), dtype=int))
        yield from self._phase(phase, problem, gauss_newton_update(problem), x, REFINE_LOOP)

    def _phase(
        self, phase: str, problem: LightingProblem, update: Update, x0: np.ndarray, settings: LoopSettings
    ) -> Iterator[LightingStep]:
        """Runs the feedback loop and shows the best instance of every iteration; leaves its result in self.best."""
        iterations: list[Iteration] = []
        for iteration in iterate(problem, update, problem.observation, x0, settings):
            iterations.append(iteration)
            row = int(np.argmin(iteration.energy))
            reasons = summary(iterations, settings).reasons
            self.found = _Lights(iteration.x, iteration.energy, reasons)
            self.best = _Lights(iteration.x[[row]], iteration.energy[[row]], [reasons[row]])
            if iteration.index == 0 and self.history:
                continue  # the end of the phase before
            step = LightingStep(
                phase if iteration.index else "start",
                self._to_camera(iteration.x[row]),
                float(iteration.energy[row]),
                float(iteration.damping[row]),
                time.perf_counter() - self.started,
            )
            self.history.append(step)
            yield step

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
