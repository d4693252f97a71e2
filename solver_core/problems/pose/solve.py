"""The public way to a pose: mask, mesh and camera in, camera_from_object out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.errors import SetupError
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.loop import LoopSettings, iterate, solve, stop_reasons
from solver_core.mesh import Mesh, UnitMesh
from solver_core.network.update import network_update
from solver_core.network.weights import shipped_networks
from solver_core.problem import Arrays, InverseProblem, Update
from solver_core.problems.pose.align import ALIGN_LOOP
from solver_core.problems.pose.checks import checked_coverage, checked_start
from solver_core.problems.pose.crop import CroppedPoses, crop_poses, turn_pose
from solver_core.problems.pose.features import INPUT_LAYOUT
from solver_core.problems.pose.polish import MAX_ENERGY, MAX_FACES, POLISH_LOOP, polish_update
from solver_core.problems.pose.refine import FINE_LOOP, REFINE_LOOP, RESTART_LOOP, RefineLevel, refine_levels
from solver_core.problems.pose.views import view_rotation
from solver_core.solution import Iteration, StopReason

STEPS = 5  # as in the paper
GOOD_IOU = 0.97  # results above it hold practically no wrong pose (training/RESULTS.md)
RESTART_IOU = 0.99  # below it other starts are tried; clean masks reach 0.998
# Rounds of restarts: up to which angle they turn the start, and the IoU below which there is a round.  A little beyond what the
# networks are trained for at first; farther where no pose near the start explains the mask.
RESTART_ROUNDS = ((np.radians(50.0), RESTART_IOU), (np.radians(70.0), GOOD_IOU), (np.radians(90.0), GOOD_IOU))
DRAWS_PER_RESTART = 6  # random turns that are only aligned, for each one that is followed to its end
NEARNESS = 0.002  # IoU that a radian away from the given start has to gain
DISTINCT_ANGLE = np.radians(10.0)  # alternatives differ from the result, and from each other, by at least this angle
ALTERNATIVE_IOU = 0.02  # and fit at most this much worse
VIEW_AZIMUTHS, VIEW_ELEVATIONS = np.radians(np.arange(0.0, 360.0, 45.0)), np.radians((10.0, 45.0))


@dataclass(frozen=True)
class PoseStep:
    """One step of a solve, as the user may watch it.

    phase: "start", "align", "network", "refine", "restart", "polish" or "result".  camera_from_object: (4, 4).
    energy: 1 - IoU in the image that the phase works on: a crop for the start, alignment and networks, then the mask
    itself, if it is large first at a lower resolution.  In one image it never rises from step to step, but for "polish"
    and when restarts begin.  damping: factor by which the step was taken, 0 = not at all.  seconds since the start.
    """

    phase: str
    camera_from_object: np.ndarray
    energy: float
    damping: float
    seconds: float

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) camera_from_object by its short name."""
        return self.camera_from_object


@dataclass(frozen=True)
class PoseAlternative:
    """Another pose that explains the mask about as well; camera_from_object: (4, 4)."""

    camera_from_object: np.ndarray
    iou: float


@dataclass(frozen=True)
class PoseSolution:
    """Result of a solve.  camera_from_object: (4, 4).  iou: overlap with the mask; GOOD_IOU or more can be trusted."""

    camera_from_object: np.ndarray
    iou: float
    reason: StopReason
    history: list[PoseStep]
    seconds: float
    alternatives: list[PoseAlternative] = field(default_factory=list)


OnStep = Callable[[PoseStep], None]


@dataclass(frozen=True)
class PoseSetup:
    """A checked pose problem.  mask: (H, W) bool or float coverage; start: (4, 4) camera_from_object or None.

    Build it with `checked`, which raises ObservationError or SetupError with one sentence for what cannot be used.
    """

    coverage: np.ndarray
    mesh: Mesh
    centre: np.ndarray
    diagonal: float
    camera: Camera
    start: np.ndarray | None

    @classmethod
    def checked(
        cls, mask: np.ndarray, vertices: np.ndarray, faces: np.ndarray, camera: Camera, start: np.ndarray | None
    ) -> PoseSetup:
        coverage = checked_coverage(mask, camera)
        mesh, centre, diagonal = UnitMesh.checked(vertices, faces)
        return cls(coverage, mesh, centre, diagonal, camera, checked_start(start, centre))

    def starts(self) -> np.ndarray:
        """(B, 7) poses of the unit mesh to begin with: the given one, or views from around the upright object."""
        if self.start is not None:
            return self.unit_pose(self.start)[None]
        azimuth, elevation = (grid.ravel() for grid in np.meshgrid(VIEW_AZIMUTHS, VIEW_ELEVATIONS))
        wxyz = view_rotation(azimuth, elevation, np.zeros_like(azimuth))
        return np.concatenate([wxyz, np.tile([0.0, 0.0, -3.0], (len(wxyz), 1))], axis=1)  # alignment sets the place

    def unit_pose(self, camera_from_object: np.ndarray) -> np.ndarray:
        """(7,) pose of the unit mesh for (4, 4) of the user's."""
        pose = pose_from_matrix(camera_from_object)
        pose[4:] = (camera_from_object[:3, :3] @ self.centre + pose[4:]) / self.diagonal
        return pose

    def user_matrix(self, unit_pose: np.ndarray) -> np.ndarray:
        """(4, 4) of the user's mesh for a pose (7,) of the unit mesh."""
        matrix = matrix_from_pose(unit_pose)
        matrix[:3, 3] = unit_pose[4:] * self.diagonal - matrix[:3, :3] @ self.centre
        return matrix


class PoseSettings(NamedTuple):
    """steps: of the networks.  refine: contour Gauss-Newton afterwards.  restarts: other starts tried if the fit is poor."""

    steps: int = STEPS
    refine: bool = True
    restarts: int = 8


class _Candidates(NamedTuple):
    """Poses (B, 7) of the unit mesh in the camera, their energies (B,) at the mask's resolution and stop reasons."""

    x: np.ndarray
    energy: np.ndarray
    reasons: list[StopReason]


Steps = Generator[PoseStep, None, _Candidates]


def solve_pose(
    mask: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    start: np.ndarray | None = None,
    refine: bool = True,
    restarts: int = 8,
    on_step: OnStep | None = None,
    rng: np.random.Generator | None = None,
    steps: int = STEPS,
) -> PoseSolution:
    """Pose of a known object from one silhouette (Ma et al. 2020), refined on its contour.

    mask: (H, W) bool, or float coverage in [0, 1].  vertices: (V, 3) in any unit of length.  faces: (F, 3) ints.
    start: (4, 4) camera_from_object, rotated about 40 degrees from the truth or less; None tries views from around the
    object, taken to be upright along its z.  restarts: other starts tried if the mask is not well explained.
    on_step: called with every PoseStep; it cancels the solve by raising StopIteration.  rng: of the restarts and of the
    final averaging.
    Raises ObservationError for the mask and SetupError for the rest, with one sentence.
    """
    setup = PoseSetup.checked(mask, vertices, faces, camera, start)
    solving = pose_steps(setup, PoseSettings(steps, refine, restarts), rng)
    history: list[PoseStep] = []
    while True:
        try:
            step = next(solving)
        except StopIteration as finished:
            return finished.value
        history.append(step)
        if on_step is not None:
            try:
                on_step(step)
            except StopIteration:
                best = min(history, key=lambda one: one.energy)
                return PoseSolution(best.camera_from_object, 1 - best.energy, StopReason.CANCELLED, history, step.seconds)


def solve_pose_batch(
    masks: Sequence[np.ndarray],
    vertices: Sequence[np.ndarray],
    faces: Sequence[np.ndarray],
    cameras: Sequence[Camera],
    starts: Sequence[np.ndarray | None] | None = None,
    refine: bool = True,
    restarts: int = 8,
    rng: np.random.Generator | None = None,
    steps: int = STEPS,
) -> list[PoseSolution]:
    """One solve_pose for each entry of the lists; all inputs are checked before the first is solved."""
    starts = starts if starts is not None else [None] * len(masks)
    counts = [len(one) for one in (masks, vertices, faces, cameras, starts)]
    if len(set(counts)) != 1:
        raise SetupError(f"masks, vertices, faces, cameras and starts must be equally many, got {counts}")
    setups = [PoseSetup.checked(*one) for one in zip(masks, vertices, faces, cameras, starts, strict=True)]
    settings = PoseSettings(steps, refine, restarts)
    return [_drained(pose_steps(setup, settings, rng)) for setup in setups]


def pose_steps(
    setup: PoseSetup, settings: PoseSettings, rng: np.random.Generator | None = None
) -> Generator[PoseStep, None, PoseSolution]:
    """The solve one step at a time, for a user interface; the generator's return value is the result."""
    rng = rng or np.random.default_rng(0)
    solver = _Solver(setup, settings)
    starts = setup.starts()
    candidates = yield from solver.run(starts, is_restart=False)
    for angle, enough_iou in RESTART_ROUNDS:
        if settings.restarts > 0 and 1 - candidates.energy.min() < enough_iou:
            found = yield from solver.run(solver.promising_starts(starts, angle, rng), is_restart=True)
            candidates = _joined(candidates, found)
    result = yield from solver.finish(solver.best(candidates), rng)
    yield solver.show("result", setup.user_matrix(result.x[0]), float(result.energy[0]), 1.0)
    iou = 1 - float(result.energy[0])
    reason = StopReason.CONVERGED if iou >= GOOD_IOU else result.reasons[0]
    alternatives = solver.alternatives(candidates, result)
    return PoseSolution(setup.user_matrix(result.x[0]), iou, reason, solver.history, solver.seconds(), alternatives)


class _Solver:
    """The phases of one solve, each a generator of PoseSteps that returns candidates."""

    def __init__(self, setup: PoseSetup, settings: PoseSettings) -> None:
        self.setup, self.settings = setup, settings
        self.started = time.perf_counter()
        self.history: list[PoseStep] = []
        self.cropped: CroppedPoses = crop_poses([setup.mesh], [setup.coverage], [setup.camera])
        self.levels = refine_levels(setup.mesh, setup.coverage, setup.camera)
        self.networks = shipped_networks("pose", "pose", INPUT_LAYOUT) if settings.steps else []

    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def show(self, phase: str, camera_from_object: np.ndarray, energy: float, damping: float) -> PoseStep:
        """A PoseStep for the user, noted in the history."""
        self.history.append(PoseStep(phase, camera_from_object, energy, damping, self.seconds()))
        return self.history[-1]

    def run(self, starts: np.ndarray, is_restart: bool) -> Steps:
        """Alignment, networks and coarse refinement of all starts (B, 7) together."""
        cropped = self.cropped.repeated(len(starts))
        virtual_from_camera = cropped.virtual_from_camera[0]
        problem, observation = cropped.problem, cropped.observation
        x0 = _before_camera(turn_pose(virtual_from_camera, starts))
        loop = ALIGN_LOOP
        iterations = yield from self._loop(
            "restart" if is_restart else "align", problem, cropped.align, observation, x0, loop, virtual_from_camera
        )
        if self.settings.steps:
            loop = LoopSettings(steps=self.settings.steps)
            update = network_update(problem, self.networks)
            phase = "restart" if is_restart else "network"
            x0 = iterations[-1].x
            iterations = yield from self._loop(phase, problem, update, observation, x0, loop, virtual_from_camera)
        estimates = [turn_pose(virtual_from_camera.T, iteration.x) for iteration in iterations]
        if not self.settings.refine:
            return self._judged(estimates[-1], stop_reasons(iterations, loop))
        if is_restart:
            return (yield from self._refine(self.levels[0], estimates[-1], "restart", RESTART_LOOP))
        candidates = yield from self._refine(self.levels[0], estimates[-1], "refine", REFINE_LOOP)
        if len(starts) == 1 and 1 - candidates.energy[0] < RESTART_IOU:
            # A wrong step near the end may have left the way to the answer: refine what was there before, too.
            earlier = yield from self._refine(self.levels[0], np.concatenate(estimates[:-1]), "refine", RESTART_LOOP)
            candidates = _joined(candidates, earlier)
        return candidates

    def _judged(self, x: np.ndarray, reasons: list[StopReason]) -> _Candidates:
        """Candidates of poses (B, 7) as they are."""
        level, rows = self.levels[0].repeated(len(x)), np.arange(len(x))
        return _Candidates(x, level.problem.energy(level.problem.forward(x, rows), level.observation, rows), reasons)

    def promising_starts(self, starts: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
        """(restarts, 7) the best of many random turns, up to an angle, of the starts (B, 7), judged after the alignment."""
        count = DRAWS_PER_RESTART * self.settings.restarts
        turn = rotations.wxyz_from_rotvec(rotations.random_rotvec(rng, count, angle))
        drawn = starts[rng.integers(len(starts), size=count)]
        drawn[:, :4] = rotations.multiply(turn, drawn[:, :4])
        cropped = self.cropped.repeated(count)
        x0 = _before_camera(turn_pose(cropped.virtual_from_camera, drawn))
        aligned = solve(cropped.problem, cropped.align, cropped.observation, x0, ALIGN_LOOP)
        return drawn[np.argsort(aligned.energy, kind="stable")[: self.settings.restarts]]

    def finish(self, best: _Candidates, rng: np.random.Generator) -> Steps:
        """The chosen pose, refined at the mask's own resolution; where that is coarse, the mean of equals around it."""
        if not self.settings.refine:
            return best
        coarse, *finer = self.levels
        if best.reasons[0] is StopReason.MAX_STEPS:
            best = yield from self._refine(coarse, best.x, "refine", REFINE_LOOP)
        if finer:
            return (yield from self._refine(finer[0], best.x, "refine", FINE_LOOP))
        if len(self.setup.mesh.faces) > MAX_FACES or best.energy[0] > MAX_ENERGY:
            return best
        update = polish_update(coarse.problem, rng)
        iterations = yield from self._loop("polish", coarse.problem, update, coarse.observation, best.x, POLISH_LOOP, np.eye(3))
        return _Candidates(iterations[-1].x, iterations[-1].energy, best.reasons)

    def best(self, candidates: _Candidates) -> _Candidates:
        """The candidate that explains the mask best; among equals the one nearest to the given start."""
        score = candidates.energy
        if self.setup.start is not None:
            start = self.setup.starts()[:, :4]
            score = score + NEARNESS * rotations.angle_between(start, candidates.x[:, :4])
        row = int(np.argmin(score))
        return _Candidates(candidates.x[[row]], candidates.energy[[row]], [candidates.reasons[row]])

    def alternatives(self, candidates: _Candidates, result: _Candidates) -> list[PoseAlternative]:
        """Other candidates that fit about as well as the best, the best of them first."""
        kept = [result.x[0]]
        alternatives = []
        for row in np.argsort(candidates.energy, kind="stable"):
            pose, energy = candidates.x[row], candidates.energy[row]
            if energy > candidates.energy.min() + ALTERNATIVE_IOU:
                break
            if all(rotations.angle_between(pose[:4], other[:4]) > DISTINCT_ANGLE for other in kept):
                kept.append(pose)
                alternatives.append(PoseAlternative(self.setup.user_matrix(pose), 1 - float(energy)))
        return alternatives

    def _refine(self, single: RefineLevel, x: np.ndarray, phase: str, settings: LoopSettings) -> Steps:
        """Refinement of poses (B, 7) at a level."""
        level = single.repeated(len(x))
        iterations = yield from self._loop(phase, level.problem, level.update, level.observation, x, settings, np.eye(3))
        return _Candidates(iterations[-1].x, iterations[-1].energy, stop_reasons(iterations, settings))

    def _loop(
        self,
        phase: str,
        problem: InverseProblem,
        update: Update,
        observation: Arrays,
        x0: np.ndarray,
        settings: LoopSettings,
        view_from_camera: np.ndarray,
    ) -> Generator[PoseStep, None, list[Iteration]]:
        """Runs the feedback loop and shows the best instance of every iteration; returns the iterations."""
        iterations: list[Iteration] = []
        camera_from_view = np.eye(4)
        camera_from_view[:3, :3] = view_from_camera.T
        for iteration in iterate(problem, update, observation, x0, settings):
            iterations.append(iteration)
            if iteration.index == 0 and self.history:
                continue  # the end of the phase before
            row = int(np.argmin(iteration.energy))
            matrix = camera_from_view @ self.setup.user_matrix(iteration.x[row])
            phase_shown = phase if iteration.index else "start"
            yield self.show(phase_shown, matrix, float(iteration.energy[row]), float(iteration.damping[row]))
        return iterations


def _before_camera(x: np.ndarray) -> np.ndarray:
    """Poses (B, 7) of which those behind the camera are put on its axis; a wide-angle start may be behind the crop's."""
    is_behind = x[:, 6] >= 0
    return np.where(is_behind[:, None], np.concatenate([x[:, :4], np.tile([0.0, 0.0, -3.0], (len(x), 1))], axis=1), x)


def _joined(a: _Candidates, b: _Candidates) -> _Candidates:
    return _Candidates(np.concatenate([a.x, b.x]), np.concatenate([a.energy, b.energy]), a.reasons + b.reasons)


def _drained(solving: Generator[PoseStep, None, PoseSolution]) -> PoseSolution:
    while True:
        try:
            next(solving)
        except StopIteration as finished:
            return finished.value
