# SPDX-License-Identifier: Apache-2.0
"""The public way to a pose: mask, mesh and camera in, camera_from_object out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_kind
from solver_core.errors import ConfigError, SetupError
from solver_core.frames import Camera
from solver_core.loop import LoopSettings, solve
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks
from solver_core.options import Options, keyword_options, option
from solver_core.problem import Update, take
from solver_core.problems.pose.align import ALIGN_LOOP
from solver_core.problems.pose.candidates import ENERGY_OF_CHANCE, Candidates, joined, likely_others
from solver_core.problems.pose.confidence import PoseInterval, calibrated, confidence
from solver_core.problems.pose.crop import CroppedPoses, crop_poses, turn_pose
from solver_core.problems.pose.cut_off import in_doubt, is_cut_off, turned_poses
from solver_core.problems.pose.descend import NARROW_LOOP, NARROW_PX, WIDE_LOOP, WIDE_PX, descent_update
from solver_core.problems.pose.evidence import Evidence, gather_evidence
from solver_core.problems.pose.features import INPUT_LAYOUT
from solver_core.problems.pose.focal import better_focal, fit_focal, is_focal_doubtful
from solver_core.problems.pose.observation import PoseObservation, overlap
from solver_core.problems.pose.polish import MAX_FACES, POLISH_LOOP, polish_update
from solver_core.problems.pose.proportions import doubted_axis
from solver_core.problems.pose.refine import (
    FINE_LOOP,
    REFINE_LOOP,
    RESTART_LOOP,
    SEARCH_PX,
    RefineLevel,
    level_at,
    reduction_to,
    refine_levels,
)
from solver_core.problems.pose.settle import (
    CLOSE_PX,
    OFFSET_LOOP,
    RAGGED_TOLERANCE,
    SETTLE_LOOP,
    TOLERANCE,
    fit_of,
    settling_update,
    smoothing,
    smoothing_update,
)
from solver_core.problems.pose.setup import UP_AXES, PoseSetup
from solver_core.problems.pose.symmetry import Symmetries, find_symmetries
from solver_core.problems.pose.verdict import GOOD_IOU, judge, notes
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

CLEAN_IOU = 0.99  # a mask that a pose explains this well is clean, and the pose right: 0.998 is usual
# Rounds of restarts where no pose explains the mask as a clean one: up to which angle they turn the start, or the best poses
# so far.  The first is a little beyond what the networks are trained for.
RESTART_ROUNDS = ((np.radians(50.0), False), (np.radians(25.0), True), (np.radians(90.0), False))
LOST_ENERGY = 0.3  # no pose near a right one explains a mask so badly; what is not found yet is looked for farther away
BEST_FEW = 8  # poses that differ: they are turned in later rounds, and followed down
CUT_CHANCE = 0.25  # that a side of the mask's box is taken for one where something hides the rest
DRAWS_PER_RESTART = 12  # random turns that are only aligned, for each one that is followed to its end
NEARNESS = 0.002  # IoU that a radian away from the given start has to gain
SUSPICIOUS_PX = 0.25  # an outline that is off by more, where the mask is clean, has a cause
DOUBTED_FOCALS = (0.5, 2.0)  # factors on a focal length that the outline does not agree with
MANY_STARTS = 16
NEARLY_ENERGY = ENERGY_OF_CHANCE * np.log(10)  # a pose whose energy is higher by less is more than a tenth as likely


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

    phase: "start", "align", "network", "refine", "restart", "fine", "polish" or "result".  camera_from_object: (4, 4).
    energy: what the phase lowers, in the image that it works on: a crop for the start, alignment and networks, then the mask
    itself, if it is large first at a lower resolution.  Within a phase it never rises from step to step, but for "polish".
    iou: overlap with the mask in that image.  damping: factor by which the step was taken, 0 = not at all.  seconds since
    the start.
    """

    phase: str
    camera_from_object: np.ndarray
    energy: float
    iou: float
    damping: float
    seconds: float


@dataclass(frozen=True)
class PoseAlternative:
    """Another pose that explains the mask about as well.

    camera_from_object: (4, 4).  iou: its overlap with the mask.  probability: that it is this one, among the result and its
    alternatives.
    """

    camera_from_object: np.ndarray
    iou: float
    probability: float


@dataclass(frozen=True)
class PoseSolution:
    """Result of a solve.

    camera_from_object: (4, 4).  iou: overlap with the mask.  verdict and explanation: how far the pose can be trusted, and
    why.  confidence: probability that the pose is within 5 degrees and 0.05 of the mesh's diagonal of the truth, or of a pose
    that looks the same, if mesh and camera are right.  interval: how far off it may be.  covariance: (6, 6) of the same, of a
    rotation vector about the object's centre in camera axes (radians), of x / -z and y / -z of the centre, and of its log
    depth.  evidence: the numbers that these follow from.  notes: what else is known of it, in sentences.  reason: why the last
    phase stopped.  history: all steps.  seconds: time of the solve.  camera: pinhole that sees the object so, with the focal
    length that was found if none was known; focal_range: focal lengths (fx) that explain the mask about as well, or None.
    alternatives: other poses that explain the mask about as well, the likeliest first.
    """

    camera_from_object: np.ndarray
    iou: float
    verdict: Verdict
    explanation: str
    confidence: float
    interval: PoseInterval
    covariance: np.ndarray
    evidence: Evidence
    notes: list[str]
    reason: StopReason
    history: list[PoseStep]
    seconds: float
    camera: Camera
    focal_range: tuple[float, float] | None
    alternatives: list[PoseAlternative] = field(default_factory=list)


OnStep = Callable[[PoseStep], None]


@keyword_options(PoseOptions)
def solve_pose(
    mask: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    start: np.ndarray | None = None,
    ignore: np.ndarray | None = None,
    up: str = UP_AXES[0],
    focal_range: tuple[float, float] | None = None,
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
        camera: of the mask's size; the distortion of its lens is taken out of the mask.
        start: (4, 4) camera_from_object, turned about 40 degrees from the truth or less; None tries views from around.
        ignore: (H, W) bool, True where the image does not tell whether the object is there, such as behind a hand; None
            where all of the mask counts.
        up: which axis of the mesh points up, where there is no start: "z", "y", "either" of them, or "any" for a mesh in any
            orientation.
        focal_range: lowest and highest focal length (fx) in pixels, where that of the camera is not known; it is found with
            the pose, and is the better known the closer the object is to the camera.
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
    return PoseSession(PoseSetup.checked(mask, vertices, faces, camera, start, ignore, up, focal_range), options, rng).run(
        on_step
    )


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
    lists = [masks, vertices, faces, cameras, *([] if starts is None else [starts])]
    if not all(isinstance(one, Sequence) or getattr(one, "shape", ()) for one in lists):
        raise SetupError("masks, vertices, faces, cameras and starts must be lists")
    starts = starts if starts is not None else [None] * len(masks)
    counts = [len(one) for one in (masks, vertices, faces, cameras, starts)]
    if len(set(counts)) != 1:
        raise SetupError(f"masks, vertices, faces, cameras and starts must be equally many, got {counts}")
    setups = [PoseSetup.checked(*one) for one in zip(masks, vertices, faces, cameras, starts, strict=True)]
    return [PoseSession(setup, options, rng).run() for setup in setups]


Steps = Generator[PoseStep, None, Candidates]


class PoseSession(Session[PoseStep, PoseSolution]):
    """A solve under way: first run, rounds of restarts, the mask's own resolution."""

    def __init__(self, setup: PoseSetup, options: PoseOptions, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.setup, self.options = setup, options
        rng = np.random.default_rng(options.seed) if rng is None else rng
        self.rng = checked_kind(rng, np.random.Generator, "rng", "a numpy.random.Generator", ConfigError)
        self.starts = setup.starts()
        known = None if setup.known is None else [setup.known]
        self.cropped: CroppedPoses = crop_poses([setup.mesh], [setup.coverage], [setup.camera], known)
        self.levels = refine_levels(setup.mesh, setup.coverage, setup.camera, setup.known)
        self.judge_level = self.levels[0]
        self.networks = load_networks(options.weights, "pose", INPUT_LAYOUT) if options.steps else []
        self.candidates = Candidates(np.zeros((0, 7)), np.zeros(0), [])
        self.turned = self.candidates  # of them those that are turned, where the image cuts the object off
        self.final: Candidates | None = None
        self.focal_range: tuple[float, float] | None = None  # of what explains the mask about as well as what was found
        self.focal_factor: float | None = None  # on the focal length, if that explains the mask better
        self.doubted_axis: str | None = None  # of the mesh, if other proportions explain the mask better
        self.edge_px = 0.0  # how far the mask's edge lies outside of the object's outline

    def phases(self) -> list[Phase]:
        return [
            *self.search_phases(),
            Phase(self._find_focal, 0),
            Phase(self._turn, RESTART_LOOP.steps if self.options.refine else 0),
            Phase(self._finish, FINE_LOOP.steps + 1 if self.options.refine else 1),
        ]

    def search_phases(self) -> list[Phase]:
        """Those that gather candidates."""
        refined = REFINE_LOOP.steps if self.options.refine else 0
        restarted = ALIGN_LOOP.steps + self.options.steps + (RESTART_LOOP.steps if self.options.refine else 0)
        return [
            Phase(self._first, ALIGN_LOOP.steps + self.options.steps + refined),
            *(Phase(lambda one=one: self._restart(*one), restarted) for one in RESTART_ROUNDS),
            Phase(self._descend, len(WIDE_PX) + len(NARROW_PX) if self.options.refine else 0),
        ]

    def result(self) -> PoseSolution:
        if self.final is None:
            best = max(self.history, key=lambda step: step.iou)
            pose, reason = self.setup.unit_pose(best.camera_from_object), StopReason.CANCELLED
        else:
            pose, reason = self.final.x[0], self.final.reasons[0]
        symmetries = self.symmetries
        others = self.candidates.others_than(pose, symmetries)
        edge_px = self.edge_px * self.levels[0].problem.height / self.levels[-1].problem.height
        reduction = self.setup.camera.fx / self.levels[0].problem.intrinsics[0, 0]
        evidence, spread = gather_evidence(self.levels[0], pose, edge_px, others.energy, symmetries)
        likely = self.turned.x[self.turned.energy <= evidence.energy + NEARLY_ENERGY]
        sure, said = in_doubt(confidence(evidence), pose, likely, symmetries)
        of_view = sure
        if self.focal_range is not None:
            low, high = self.focal_range
            sure = sure.with_focal_unknown(pose, np.log(high / low) / 2)
        within = sure.interval
        num_others = len(others.as_good_as(evidence.energy).x)
        return PoseSolution(
            self.setup.user_matrix(pose),
            evidence.iou,
            *judge(
                *(self.setup.coverage, evidence, sure.probability, num_others),
                *(self.focal_factor, self.doubted_axis, of_view.probability),
            ),
            sure.probability,
            within.in_unit(self.setup.diagonal),
            calibrated(spread, evidence, within),
            evidence,
            notes(evidence, reduction, symmetries, num_others, self.focal_factor, self.focal_range) + said,
            reason,
            self.history,
            self.seconds,
            self.setup.camera,
            self.focal_range,
            [
                PoseAlternative(self.setup.user_matrix(other.pose), self._iou(other.pose), other.probability)
                for other in likely_others(pose, evidence.energy, others, symmetries)
            ],
        )

    def best_pose(self) -> np.ndarray:
        """(4, 4) camera_from_object that explains the mask best, of what the phases so far have found."""
        return self.setup.user_matrix(self._best().x[0])

    def _first(self) -> Generator[PoseStep, None, None]:
        """The given start, or the views from around, followed to their end."""
        self.candidates = yield from self._follow(self.starts, is_restart=False)

    def _restart(self, angle: float, from_found: bool) -> Generator[PoseStep, None, None]:
        """Turned starts, where nothing so far explains the mask; starts far away only where nothing comes near."""
        is_far = angle > RESTART_ROUNDS[0][0]
        if self.options.restarts > 0 and not self._is_clean() and not (is_far and self.candidates.energy.min() < LOST_ENERGY):
            self._judge_at(self.search_level)
            found = yield from self._follow(self._promising_starts(angle, from_found), is_restart=True)
            self.candidates = joined(self.candidates, found)

    def _descend(self) -> Generator[PoseStep, None, None]:
        """The best poses followed down by steps at random, where nothing explains the mask as a clean one."""
        if not self.options.refine or self._is_clean():
            return
        self._judge_at(self.search_level)
        x, found = self.candidates.x[self.candidates.distinct(BEST_FEW)], []
        for level, spreads_px, loop in ((self.search_level, WIDE_PX, WIDE_LOOP), (self.levels[0], NARROW_PX, NARROW_LOOP)):
            batch = level.repeated(len(x))
            update = descent_update(batch.problem.intrinsics, spreads_px, self.rng)
            show = self._show("restart", batch.observation)
            solution = yield from self._loop(show, batch.problem, update, batch.observation, x, loop)
            found.append(solution.x)
            x = solution.x[[np.argmin(solution.energy)]]
        self._judge_at(self.levels[0])
        x = np.concatenate(found)
        self.candidates = joined(self.candidates, self._judged(x, [StopReason.MAX_STEPS] * len(x)))

    @functools.cached_property
    def search_level(self) -> RefineLevel:
        """The mask with few pixels, for many poses."""
        setup, reduction = self.setup, reduction_to(self.setup.coverage, SEARCH_PX)
        return level_at(setup.mesh, setup.coverage, setup.camera, reduction, setup.known)

    @property
    def best_energy(self) -> float:
        """The lowest energy of what was found, at the coarsest level of the mask's own resolutions."""
        self._judge_at(self.levels[0])
        return float(self.candidates.energy.min())

    @functools.cached_property
    def symmetries(self) -> Symmetries:
        return find_symmetries(self.setup.mesh)

    def _judge_at(self, level: RefineLevel) -> None:
        """From now on poses are refined and compared at a level; energies of two levels cannot be compared."""
        if level is not self.judge_level:
            self.judge_level = level
            self.candidates = self._judged(self.candidates.x, self.candidates.reasons)

    def _outline_px(self, pose: np.ndarray) -> float:
        """Mean distance of the outline at a pose (7,) from that of the mask, cut where it counts as wrong."""
        level = self.levels[0]
        return fit_of(level, pose, has_offset=False).outline * (level.problem.cut_px or 1.0)

    def _is_clean(self) -> bool:
        """Whether the best pose so far explains the mask as well as it does a clean one."""
        return self._iou(self.candidates.x[np.argmin(self.candidates.energy)]) >= CLEAN_IOU

    def _iou(self, pose: np.ndarray) -> float:
        """Overlap of a pose (7,) with the mask, at the coarsest level."""
        problem, observation = self.levels[0]
        return float(overlap(np.isfinite(problem.forward(pose[None], np.array([0]))), observation)[0])

    def _find_focal(self) -> Iterator[PoseStep]:
        """The focal length, where it is not known; from then on all poses are seen with it."""
        if self.setup.focal_range is not None and self.options.refine:
            setup, given = self.setup, self.setup.camera.fx
            low, high = (focal / given for focal in self.setup.focal_range)
            self._judge_at(self.levels[0])
            fit, pose = fit_focal(self.levels[0], self._best().x[0], low, high)
            self.focal_range = given * fit.low, given * fit.high
            self.setup = setup = replace(setup, camera=setup.camera.with_focal(given * fit.best))
            self.levels = refine_levels(setup.mesh, setup.coverage, setup.camera, setup.known)
            self.judge_level = self.levels[0]
            others = self.candidates.x * [1, 1, 1, 1, 1, 1, fit.best]
            self.candidates = self._judged(np.concatenate([pose[None], others]), [StopReason.MAX_STEPS] * (1 + len(others)))
        return iter(())

    def _turn(self) -> Generator[PoseStep, None, None]:
        """Poses turned from the best one and moved until they fit, where the image cuts the object off."""
        if not self.options.refine:
            return
        self._judge_at(self.levels[0])
        pose, mesh, camera = self._best().x[0], self.setup.mesh, self.setup.camera
        if is_cut_off(pose, mesh, camera):
            turned = turned_poses(pose, mesh, camera)
            self.turned = yield from self._refine(self.levels[0], turned, "restart", RESTART_LOOP)
            self.candidates = joined(self.candidates, self.turned)

    def _finish(self) -> Generator[PoseStep, None, None]:
        """The best candidate at the mask's own resolution; of poses that look the same, the one nearest to the given start."""
        self._judge_at(self.levels[0])
        final = yield from self._refine_fully(self._best())
        if self.setup.start is not None:
            final = final._replace(x=self.symmetries.nearest(final.x[0], self.starts[0, :4])[None])
        if self.options.refine and self.focal_range is None:
            self.focal_factor = self._better_focal(final.x[0])
        if self.options.refine:
            self.doubted_axis = doubted_axis(self.levels[-1], final.x[0], has_offset=self.edge_px != 0)
        matrix = self.setup.user_matrix(final.x[0])
        yield self._step("result", matrix, float(final.energy[0]), self._iou(final.x[0]), 1.0)
        self.final = final

    def _better_focal(self, pose: np.ndarray) -> float | None:
        """Factor on the focal length that explains the mask better than none at a pose (7,), or None."""
        if is_focal_doubtful(self.levels[-1], pose):
            return fit_focal(self.levels[-1], pose, *DOUBTED_FOCALS)[0].best
        return better_focal(self.levels[0], pose) if self._outline_px(pose) > SUSPICIOUS_PX else None

    def _follow(self, starts: np.ndarray, is_restart: bool) -> Steps:
        """Alignment, networks and coarse refinement of all starts (B, 7) together."""
        cropped = self.cropped.repeated(len(starts))
        virtual_from_camera = cropped.virtual_from_camera[0]
        problem, observation = cropped.problem, cropped.observation
        show = self._show("restart" if is_restart else "align", observation, virtual_from_camera)
        x0 = _before_camera(turn_pose(virtual_from_camera, starts))
        solution = yield from self._loop(show, problem, cropped.align, observation, x0, ALIGN_LOOP)
        networks, num_steps = self.networks, self.options.steps
        if len(starts) > MANY_STARTS:  # of many, most are wrong: a single step tells
            if num_steps:
                loop = LoopSettings(steps=1, halvings=0)
                solution = yield from self._loop(
                    show, problem, network_update(problem, networks), observation, solution.x, loop
                )
                networks, num_steps = networks[1:] or networks, num_steps - 1
            cropped = self.cropped.repeated(MANY_STARTS)
            problem, observation = cropped.problem, cropped.observation
            best = np.argsort(solution.energy, kind="stable")[:MANY_STARTS]
            solution = replace(solution, x=solution.x[best], history=[])
        if num_steps:
            loop = LoopSettings(steps=num_steps)
            update = network_update(problem, networks)
            show = self._show("restart" if is_restart else "network", observation, virtual_from_camera)
            solution = yield from self._loop(show, problem, update, observation, solution.x, loop)
        estimates = [turn_pose(virtual_from_camera.T, iteration.x) for iteration in solution.history]
        estimates = estimates or [turn_pose(virtual_from_camera.T, solution.x)]
        if not self.options.refine:
            return self._judged(estimates[-1], solution.reasons)
        if is_restart:
            return (yield from self._refine(self.judge_level, estimates[-1], "restart", RESTART_LOOP))
        candidates = yield from self._refine(self.levels[0], estimates[-1], "refine", REFINE_LOOP)
        if len(starts) == 1 and self._iou(candidates.x[0]) < CLEAN_IOU:
            # A wrong step near the end may have left the way to the answer: refine what was there before, too.
            earlier = yield from self._refine(self.levels[0], np.concatenate(estimates[:-1]), "refine", RESTART_LOOP)
            candidates = joined(candidates, earlier)
        return candidates

    def _judged(self, x: np.ndarray, reasons: list[StopReason]) -> Candidates:
        """Candidates of poses (B, 7) as they are."""
        level, rows = self.judge_level.repeated(len(x)), np.arange(len(x))
        return Candidates(x, level.problem.energy(level.problem.forward(x, rows), level.observation, rows), reasons)

    def _promising_starts(self, angle: float, from_found: bool) -> np.ndarray:
        """(restarts, 7) the best of many random turns, up to an angle, of the starts or the best poses found so far."""
        count = DRAWS_PER_RESTART * self.options.restarts
        turn = rotations.wxyz_from_rotvec(rotations.random_rotvec(self.rng, count, angle))
        turned = self.candidates.x[self.candidates.distinct(BEST_FEW)] if from_found else self.starts
        drawn = turned[self.rng.integers(len(turned), size=count)]
        drawn[:, :4] = rotations.multiply(turn, drawn[:, :4])
        cropped = self.cropped.repeated(count)
        cropped = cropped._replace(is_cut=cropped.is_cut | (self.rng.uniform(size=(count, 4)) < CUT_CHANCE))
        x0 = _before_camera(turn_pose(cropped.virtual_from_camera, drawn))
        aligned = solve(cropped.problem, cropped.align, cropped.observation, x0, ALIGN_LOOP)
        best = np.argsort(aligned.energy, kind="stable")[: self.options.restarts]
        return turn_pose(self.cropped.virtual_from_camera[0].T, aligned.x[best])

    def _refine_fully(self, best: Candidates) -> Steps:
        """The chosen pose at the mask's own resolution; where that is coarse, the mean of equals around it."""
        if not self.options.refine:
            return best
        coarse, *finer = self.levels
        if best.reasons[0] is StopReason.MAX_STEPS:
            best = yield from self._refine(coarse, best.x, "refine", REFINE_LOOP)
        is_clean = self._iou(best.x[0]) >= GOOD_IOU
        if is_clean:
            coarse, *finer = (level.exact for level in self.levels)
            best = yield from self._refine(coarse, best.x, "refine", RESTART_LOOP)
        if finer:
            best = yield from self._refine(finer[0], best.x, "refine", FINE_LOOP)
        if not is_clean:
            best = yield from self._settle(self.levels[-1], best)
        if not is_clean or finer or self._outline_px(best.x[0]) > SUSPICIOUS_PX:
            best = yield from self._settle_with_offset(self.levels[-1].exact, best)
        if not is_clean or self.edge_px or finer or len(self.setup.mesh.faces) > MAX_FACES:
            return best
        update = polish_update(coarse.problem, self.rng)
        polished = yield from self._loop(
            self._show("polish", coarse.observation), coarse.problem, update, coarse.observation, best.x, POLISH_LOOP
        )
        return Candidates(polished.x, polished.energy, best.reasons)

    def _settle(self, level: RefineLevel, best: Candidates) -> Steps:
        """The pose about which the outlines lie on each other on average, if that costs little."""
        best = yield from self._settled(level, best, settling_update(level, has_offset=False), best.energy[0] + TOLERANCE)
        smoothed = smoothing(level, best.x[0])
        if smoothed is None:
            return best
        allowed = (1 + RAGGED_TOLERANCE) * best.energy[0] + TOLERANCE
        return (yield from self._settled(level, best, smoothing_update(level, smoothed), allowed))

    def _settled(self, level: RefineLevel, best: Candidates, update: Update, allowed: float) -> Steps:
        """Where whole steps lead from the best pose, if its energy there is allowed."""
        show = self._show("polish", level.observation)
        solution = yield from self._loop(show, level.problem, update, level.observation, best.x, SETTLE_LOOP)
        return Candidates(solution.x, solution.energy, best.reasons) if solution.energy[0] <= allowed else best

    def _settle_with_offset(self, level: RefineLevel, best: Candidates) -> Steps:
        """The pose about which the outlines lie at one distance from each other, if that explains the mask much better."""
        without = fit_of(level, best.x[0], has_offset=False)
        if without.deviation_px < CLOSE_PX:
            return best
        update, show = settling_update(level, has_offset=True), self._show("polish", level.observation)
        solution = yield from self._loop(show, level.problem, update, level.observation, best.x, OFFSET_LOOP)
        fit = fit_of(level, solution.x[0], has_offset=True)
        if not fit.needs_offset(without):
            return best
        self.edge_px = fit.offset_px
        return Candidates(solution.x, solution.energy, best.reasons)

    def _best(self) -> Candidates:
        """The candidate that explains the mask best; among equals the one nearest to the given start."""
        candidates = self.candidates
        score = candidates.energy
        if self.setup.start is not None:
            score = score + NEARNESS * rotations.angle_between(self.starts[:, :4], candidates.x[:, :4])
        row = int(np.argmin(score))
        return Candidates(candidates.x[[row]], candidates.energy[[row]], [candidates.reasons[row]])

    def _refine(self, single: RefineLevel, x: np.ndarray, phase: str, settings: LoopSettings) -> Steps:
        """Refinement of poses (B, 7) at a level."""
        level = single.repeated(len(x))
        solution: Solution = yield from self._loop(
            self._show(phase, level.observation), level.problem, level.update, level.observation, x, settings
        )
        return Candidates(solution.x, solution.energy, solution.reasons)

    def _show(
        self, phase: str, observation: PoseObservation, view_from_camera: np.ndarray | None = None
    ) -> Callable[[Iteration], PoseStep]:
        """Makes a step of the best instance of an iteration, whose poses are in a turned camera if one is given."""
        camera_from_view = np.eye(4)
        if view_from_camera is not None:
            camera_from_view[:3, :3] = view_from_camera.T

        def show(iteration: Iteration) -> PoseStep:
            row = int(np.argmin(iteration.energy))
            matrix = camera_from_view @ self.setup.user_matrix(iteration.x[row])
            name = phase if iteration.index else "start"
            seen = np.isfinite(iteration.prediction[[row]])
            iou = float(overlap(seen, take(observation, np.array([row])))[0])
            return self._step(name, matrix, float(iteration.energy[row]), iou, float(iteration.damping[row]))

        return show

    def _step(self, phase: str, camera_from_object: np.ndarray, energy: float, iou: float, damping: float) -> PoseStep:
        return PoseStep(phase, camera_from_object, energy, iou, damping, self.seconds)


def _before_camera(x: np.ndarray) -> np.ndarray:
    """Poses (B, 7) of which those behind the camera are put on its axis; a wide-angle start may be behind the crop's."""
    is_behind = x[:, 6] >= 0
    return np.where(is_behind[:, None], np.concatenate([x[:, :4], np.tile([0.0, 0.0, -3.0], (len(x), 1))], axis=1), x)
