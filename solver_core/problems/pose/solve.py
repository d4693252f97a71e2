"""The public way to a pose: mask, mesh and camera in, camera_from_object out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_kind
from solver_core.errors import ConfigError, SetupError
from solver_core.frames import Camera
from solver_core.loop import LoopSettings, solve
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks
from solver_core.options import Options, keyword_options, option
from solver_core.problems.pose.align import ALIGN_LOOP
from solver_core.problems.pose.crop import CroppedPoses, crop_poses, turn_pose
from solver_core.problems.pose.features import INPUT_LAYOUT
from solver_core.problems.pose.polish import MAX_ENERGY, MAX_FACES, POLISH_LOOP, polish_update
from solver_core.problems.pose.refine import FINE_LOOP, REFINE_LOOP, RESTART_LOOP, RefineLevel, refine_levels
from solver_core.problems.pose.setup import PoseSetup
from solver_core.problems.pose.verdict import GOOD_IOU, judge
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

RESTART_IOU = 0.99  # below it other starts are tried; clean masks reach 0.998
# Rounds of restarts: up to which angle they turn the start, and the IoU below which there is a round.  A little beyond what the
# networks are trained for at first; farther where no pose near the start explains the mask.
RESTART_ROUNDS = ((np.radians(50.0), RESTART_IOU), (np.radians(70.0), GOOD_IOU), (np.radians(90.0), GOOD_IOU))
DRAWS_PER_RESTART = 6  # random turns that are only aligned, for each one that is followed to its end
NEARNESS = 0.002  # IoU that a radian away from the given start has to gain
DISTINCT_ANGLE = np.radians(10.0)  # alternatives differ from the result, and from each other, by at least this angle
ALTERNATIVE_IOU = 0.02  # and fit at most this much worse


@dataclass(frozen=True)
class PoseOptions(Options):
    """What a user may choose about a solve."""

    steps: int = option(  # 5 as in the paper
        5,
        "Steps",
        "Number of learned steps, each from how far the outline still is from that of the mask",
        minimum=0,
        maximum=50,
    )
    refine: bool = option(True, "Refine", "Fits the outline to a fraction of a pixel after the learned steps")
    restarts: int = option(
        8,
        "Restarts",
        "Number of other starts that are tried where the outline does not fit well",
        minimum=0,
        maximum=64,
    )
    seed: int = option(0, "Seed", "Random seed; the same seed gives the same result", minimum=0)
    weights: Path | None = option(None, "Weights", "Networks of the learned steps", unset="those that ship")


@dataclass(frozen=True)
class PoseStep:
    """One step of a solve, as the user may watch it.

    phase: "start", "align", "network", "refine", "restart", "polish" or "result".  camera_from_object: (4, 4), read-only.
    energy: 1 - IoU in the image that the phase works on: a crop for the start, alignment and networks, then the mask
    itself, if it is large first at a lower resolution.  In one image it never rises from step to step, but for "polish"
    and when restarts begin.  damping: factor by which the step was taken, 0 = not at all.  seconds since the start.
    """

    phase: str
    camera_from_object: np.ndarray
    energy: float
    damping: float
    seconds: float


@dataclass(frozen=True)
class PoseAlternative:
    """Another pose that explains the mask about as well; camera_from_object: (4, 4)."""

    camera_from_object: np.ndarray
    iou: float


@dataclass(frozen=True)
class PoseSolution:
    """Result of a solve.

    camera_from_object: (4, 4).  iou: overlap with the mask.  verdict and explanation: how far the pose can be trusted, and
    why.  reason: why the last phase stopped.  history: all steps.  seconds: time of the solve.  alternatives: other poses
    that explain the mask about as well, the best first.
    """

    camera_from_object: np.ndarray
    iou: float
    verdict: Verdict
    explanation: str
    reason: StopReason
    history: list[PoseStep]
    seconds: float
    alternatives: list[PoseAlternative] = field(default_factory=list)


OnStep = Callable[[PoseStep], None]


@keyword_options(PoseOptions)
def solve_pose(
    mask: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    start: np.ndarray | None = None,
    *,
    options: PoseOptions,
    on_step: OnStep | None = None,
    rng: np.random.Generator | None = None,
) -> PoseSolution:
    """Pose of a known object from one silhouette (Ma et al. 2020), refined on its contour.

    Args:
        mask: (H, W) bool, or float coverage in [0, 1].
        vertices: (V, 3) in any unit of length.
        faces: (F, 3) int, indices into vertices.
        camera: pinhole camera of the mask's size.
        start: (4, 4) camera_from_object, turned about 40 degrees from the truth or less; None tries views from around
            the object, taken to be upright along its z.
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every PoseStep; it cancels the solve by raising Cancelled.
        rng: draws the restarts and the final averaging; None makes one from the seed.

    Returns:
        PoseSolution with camera_from_object in the unit of the vertices.

    Raises:
        ObservationError: if the mask cannot be used.
        SetupError: if mesh, camera or start cannot be used.
        ConfigError: if an option is out of its range.
        WeightsError: if the weights are no networks for this.
    """
    return PoseSession(PoseSetup.checked(mask, vertices, faces, camera, start), options, rng).run(on_step)


@keyword_options(PoseOptions)
def solve_pose_batch(
    masks: Sequence[np.ndarray],
    vertices: Sequence[np.ndarray],
    faces: Sequence[np.ndarray],
    cameras: Sequence[Camera],
    starts: Sequence[np.ndarray | None] | None = None,
    *,
    options: PoseOptions,
    rng: np.random.Generator | None = None,
) -> list[PoseSolution]:
    """One solve_pose for each entry of the lists; all inputs are checked before the first is solved.

    Args:
        masks: one mask for each solve, as solve_pose takes it; so are the other lists.
        vertices: one array each.
        faces: one array each.
        cameras: one each.
        starts: one each, None where there is none; None = no start for any.
        options: the following all at once, instead of as keyword arguments.
        {options}
        rng: draws for all of them, one after the other; None makes one from the seed for each.

    Returns:
        A PoseSolution for each entry.

    Raises:
        SolverError: as solve_pose does, or if the lists are not equally long.
    """
    starts = starts if starts is not None else [None] * len(masks)
    counts = [len(one) for one in (masks, vertices, faces, cameras, starts)]
    if len(set(counts)) != 1:
        raise SetupError(f"masks, vertices, faces, cameras and starts must be equally many, got {counts}")
    setups = [PoseSetup.checked(*one) for one in zip(masks, vertices, faces, cameras, starts, strict=True)]
    return [PoseSession(setup, options, rng).run() for setup in setups]


class _Candidates(NamedTuple):
    """Poses (B, 7) of the unit mesh in the camera, their energies (B,) at the mask's resolution and stop reasons."""

    x: np.ndarray
    energy: np.ndarray
    reasons: list[StopReason]


Steps = Generator[PoseStep, None, _Candidates]


class PoseSession(Session[PoseStep, PoseSolution]):
    """A solve under way: first run, rounds of restarts, the mask's own resolution."""

    def __init__(self, setup: PoseSetup, options: PoseOptions, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.setup, self.options = setup, options
        rng = np.random.default_rng(options.seed) if rng is None else rng
        self.rng = checked_kind(rng, np.random.Generator, "rng", "a numpy.random.Generator", ConfigError)
        self.starts = setup.starts()
        self.cropped: CroppedPoses = crop_poses([setup.mesh], [setup.coverage], [setup.camera])
        self.levels = refine_levels(setup.mesh, setup.coverage, setup.camera)
        self.networks = load_networks(options.weights, "pose", INPUT_LAYOUT) if options.steps else []
        self.candidates = _Candidates(np.zeros((0, 7)), np.zeros(0), [])
        self.final: _Candidates | None = None

    def phases(self) -> list[Phase]:
        refined = REFINE_LOOP.steps if self.options.refine else 0
        restarted = ALIGN_LOOP.steps + self.options.steps + (RESTART_LOOP.steps if self.options.refine else 0)
        return [
            Phase(self._first, ALIGN_LOOP.steps + self.options.steps + refined),
            *(Phase(lambda one=one: self._restart(*one), restarted) for one in RESTART_ROUNDS),
            Phase(self._finish, FINE_LOOP.steps + 1 if self.options.refine else 1),
        ]

    def result(self) -> PoseSolution:
        if self.final is None:
            return self._best_so_far()
        iou = 1 - float(self.final.energy[0])
        alternatives = self._alternatives(self.final)
        matrix = self.setup.user_matrix(self.final.x[0])
        return PoseSolution(
            matrix,
            iou,
            *judge(self.setup.coverage, iou, len(alternatives)),
            self.final.reasons[0],
            self.history,
            self.seconds,
            alternatives,
        )

    def _best_so_far(self) -> PoseSolution:
        best = min(self.history, key=lambda step: step.energy)
        iou = 1 - best.energy
        return PoseSolution(
            best.camera_from_object, iou, *judge(self.setup.coverage, iou, 0), StopReason.CANCELLED, self.history, self.seconds
        )

    def _first(self) -> Generator[PoseStep, None, None]:
        """The given start, or the views from around, followed to their end."""
        self.candidates = yield from self._follow(self.starts, is_restart=False)

    def _restart(self, angle: float, enough_iou: float) -> Generator[PoseStep, None, None]:
        """Turned starts, where nothing so far explains the mask."""
        if self.options.restarts > 0 and 1 - self.candidates.energy.min() < enough_iou:
            found = yield from self._follow(self._promising_starts(angle), is_restart=True)
            self.candidates = _joined(self.candidates, found)

    def _finish(self) -> Generator[PoseStep, None, None]:
        """The best candidate at the mask's own resolution."""
        final = yield from self._refine_fully(self._best())
        yield self._step("result", self.setup.user_matrix(final.x[0]), float(final.energy[0]), 1.0)
        self.final = final

    def _follow(self, starts: np.ndarray, is_restart: bool) -> Steps:
        """Alignment, networks and coarse refinement of all starts (B, 7) together."""
        cropped = self.cropped.repeated(len(starts))
        virtual_from_camera = cropped.virtual_from_camera[0]
        problem, observation = cropped.problem, cropped.observation
        show = self._show("restart" if is_restart else "align", virtual_from_camera)
        x0 = _before_camera(turn_pose(virtual_from_camera, starts))
        solution = yield from self._loop(show, problem, cropped.align, observation, x0, ALIGN_LOOP)
        if self.options.steps:
            loop = LoopSettings(steps=self.options.steps)
            update = network_update(problem, self.networks)
            show = self._show("restart" if is_restart else "network", virtual_from_camera)
            solution = yield from self._loop(show, problem, update, observation, solution.x, loop)
        estimates = [turn_pose(virtual_from_camera.T, iteration.x) for iteration in solution.history]
        if not self.options.refine:
            return self._judged(estimates[-1], solution.reasons)
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

    def _promising_starts(self, angle: float) -> np.ndarray:
        """(restarts, 7) the best of many random turns of the starts, up to an angle, judged after the alignment."""
        count = DRAWS_PER_RESTART * self.options.restarts
        turn = rotations.wxyz_from_rotvec(rotations.random_rotvec(self.rng, count, angle))
        drawn = self.starts[self.rng.integers(len(self.starts), size=count)]
        drawn[:, :4] = rotations.multiply(turn, drawn[:, :4])
        cropped = self.cropped.repeated(count)
        x0 = _before_camera(turn_pose(cropped.virtual_from_camera, drawn))
        aligned = solve(cropped.problem, cropped.align, cropped.observation, x0, ALIGN_LOOP)
        return drawn[np.argsort(aligned.energy, kind="stable")[: self.options.restarts]]

    def _refine_fully(self, best: _Candidates) -> Steps:
        """The chosen pose at the mask's own resolution; where that is coarse, the mean of equals around it."""
        if not self.options.refine:
            return best
        coarse, *finer = self.levels
        if best.reasons[0] is StopReason.MAX_STEPS:
            best = yield from self._refine(coarse, best.x, "refine", REFINE_LOOP)
        if finer:
            return (yield from self._refine(finer[0], best.x, "refine", FINE_LOOP))
        if len(self.setup.mesh.faces) > MAX_FACES or best.energy[0] > MAX_ENERGY:
            return best
        update = polish_update(coarse.problem, self.rng)
        polished = yield from self._loop(self._show("polish"), coarse.problem, update, coarse.observation, best.x, POLISH_LOOP)
        return _Candidates(polished.x, polished.energy, best.reasons)

    def _best(self) -> _Candidates:
        """The candidate that explains the mask best; among equals the one nearest to the given start."""
        candidates = self.candidates
        score = candidates.energy
        if self.setup.start is not None:
            score = score + NEARNESS * rotations.angle_between(self.starts[:, :4], candidates.x[:, :4])
        row = int(np.argmin(score))
        return _Candidates(candidates.x[[row]], candidates.energy[[row]], [candidates.reasons[row]])

    def _alternatives(self, final: _Candidates) -> list[PoseAlternative]:
        """Other candidates that fit about as well as the best, the best of them first."""
        kept = [final.x[0]]
        alternatives = []
        for row in np.argsort(self.candidates.energy, kind="stable"):
            pose, energy = self.candidates.x[row], self.candidates.energy[row]
            if energy > self.candidates.energy.min() + ALTERNATIVE_IOU:
                break
            if all(rotations.angle_between(pose[:4], other[:4]) > DISTINCT_ANGLE for other in kept):
                kept.append(pose)
                alternatives.append(PoseAlternative(self.setup.user_matrix(pose), 1 - float(energy)))
        return alternatives

    def _refine(self, single: RefineLevel, x: np.ndarray, phase: str, settings: LoopSettings) -> Steps:
        """Refinement of poses (B, 7) at a level."""
        level = single.repeated(len(x))
        solution: Solution = yield from self._loop(
            self._show(phase), level.problem, level.update, level.observation, x, settings
        )
        return _Candidates(solution.x, solution.energy, solution.reasons)

    def _show(self, phase: str, view_from_camera: np.ndarray | None = None) -> Callable[[Iteration], PoseStep]:
        """Makes a step of the best instance of an iteration, whose poses are in a turned camera if one is given."""
        camera_from_view = np.eye(4)
        if view_from_camera is not None:
            camera_from_view[:3, :3] = view_from_camera.T

        def show(iteration: Iteration) -> PoseStep:
            row = int(np.argmin(iteration.energy))
            matrix = camera_from_view @ self.setup.user_matrix(iteration.x[row])
            name = phase if iteration.index else "start"
            return self._step(name, matrix, float(iteration.energy[row]), float(iteration.damping[row]))

        return show

    def _step(self, phase: str, camera_from_object: np.ndarray, energy: float, damping: float) -> PoseStep:
        camera_from_object.setflags(write=False)
        return PoseStep(phase, camera_from_object, energy, damping, self.seconds)


def _before_camera(x: np.ndarray) -> np.ndarray:
    """Poses (B, 7) of which those behind the camera are put on its axis; a wide-angle start may be behind the crop's."""
    is_behind = x[:, 6] >= 0
    return np.where(is_behind[:, None], np.concatenate([x[:, :4], np.tile([0.0, 0.0, -3.0], (len(x), 1))], axis=1), x)


def _joined(a: _Candidates, b: _Candidates) -> _Candidates:
    return _Candidates(np.concatenate([a.x, b.x]), np.concatenate([a.energy, b.energy]), a.reasons + b.reasons)
