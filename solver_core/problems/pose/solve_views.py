# SPDX-License-Identifier: Apache-2.0
"""The pose of one object from several calibrated cameras: masks, cameras and where they stand in, world_from_object out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_kind, checked_rigid
from solver_core.errors import ConfigError, ObservationError, SetupError, SolverError
from solver_core.frames import Camera
from solver_core.loop import LoopSettings
from solver_core.options import keyword_options
from solver_core.problem import Update
from solver_core.problems.pose.candidates import Candidates, likely_others
from solver_core.problems.pose.confidence import PoseInterval, calibrated, confidence
from solver_core.problems.pose.evidence import Evidence, gather_evidence, spreads
from solver_core.problems.pose.observation import overlap
from solver_core.problems.pose.refine import FINE_LOOP, REFINE_LOOP, RESTART_LOOP
from solver_core.problems.pose.settle import SETTLE_LOOP, TOLERANCE
from solver_core.problems.pose.setup import UP_AXES, PoseSetup
from solver_core.problems.pose.several_views import ViewsLevel, carried, joint_covariance, where_rays_meet
from solver_core.problems.pose.solve import BEST_FEW, OnStep, PoseOptions, PoseSession, PoseStep
from solver_core.problems.pose.verdict import GOOD_IOU, judge, judge_views, notes
from solver_core.session import Phase, Session
from solver_core.solution import Iteration, Solution, StopReason, Verdict

MIN_IOU = 0.5  # a view of which less is explained is not explained at all
MAX_DISAGREEMENT = 0.15  # of energy: a view that is explained so much worse than it can be does not agree with the others


@dataclass(frozen=True)
class ViewsAlternative:
    """Another pose that explains the masks about as well.

    world_from_object: (4, 4).  probability: that it is this one, among the result and its alternatives.
    """

    world_from_object: np.ndarray
    probability: float


@dataclass(frozen=True)
class PoseViewsSolution:
    """Result of a solve from several views.

    world_from_object: (4, 4).  cameras_from_object: (V, 4, 4), the same as each camera sees it.  ious: overlap with each mask.
    verdict, explanation, confidence, notes, reason, history and seconds: as of a PoseSolution, by the evidence of all views
    together, or of the one that is explained worst where the views do not agree; then the confidence is at most the share of
    views that do, and the interval reaches what each says alone.  The steps are shown before the first camera.  interval and
    covariance: as the first camera sees them.
    evidence: mean over the views, with the spread that all of them leave.  views: evidence of each alone.
    """

    world_from_object: np.ndarray
    cameras_from_object: np.ndarray
    ious: list[float]
    verdict: Verdict
    explanation: str
    confidence: float
    interval: PoseInterval
    covariance: np.ndarray
    evidence: Evidence
    views: list[Evidence]
    notes: list[str]
    reason: StopReason
    history: list[PoseStep]
    seconds: float
    alternatives: list[ViewsAlternative] = field(default_factory=list)


@keyword_options(PoseOptions)
def solve_pose_views(
    masks: Sequence[np.ndarray],
    vertices: np.ndarray,
    faces: np.ndarray,
    cameras: Sequence[Camera],
    worlds_from_cameras: Sequence[np.ndarray],
    start: np.ndarray | None = None,
    ignores: Sequence[np.ndarray | None] | None = None,
    up: str = UP_AXES[0],
    *,
    options: PoseOptions,
    on_step: OnStep | None = None,
    rng: np.random.Generator | None = None,
) -> PoseViewsSolution:
    """Pose of a known object that stands still, from silhouettes by several calibrated cameras.

    Each view is searched as solve_pose does; what they find is judged and refined by all of them together.

    Args:
        masks: V of them, as solve_pose takes them; their sizes may differ.
        vertices: (V, 3) in the unit of the world.
        faces: (F, 3) int, indices into vertices.
        cameras: one for each mask.
        worlds_from_cameras: (4, 4) each, where the cameras stand and look, along -z with y up.
        start: (4, 4) world_from_object, turned about 40 degrees from the truth or less; None tries views from around.
        ignores: for each mask what solve_pose takes as ignore, or None; None = none for any.
        up: which axis of the mesh points up in the images, where there is no start: "z", "y", "either" of them, or "any".
        options: the following all at once, instead of as keyword arguments.
        {options}
        on_step: called with every PoseStep; it cancels the solve by raising Cancelled.
        rng: draws the restarts; None makes one from the seed for each view.

    Returns:
        PoseViewsSolution with world_from_object in the unit of the vertices.

    Raises:
        SolverError: as solve_pose does, naming the view, or if the lists are not equally long.
    """
    lists = {"masks": masks, "cameras": cameras, "worlds_from_cameras": worlds_from_cameras}
    lists |= {} if ignores is None else {"ignores": ignores}
    for name, one in lists.items():
        if not isinstance(one, Sequence) and not getattr(one, "shape", ()):
            raise SetupError(f"{name} must be a list with an entry for each view, got {type(one).__name__}")
    counts = [len(one) for one in lists.values()]
    if len(set(counts)) != 1 or counts[0] == 0:
        raise SetupError(f"{', '.join(lists)} must have an entry for each view, at least one, got {counts}")
    start = None if start is None else checked_rigid(start, "start")
    setups, places = [], []
    for view, (mask, camera, place) in enumerate(zip(masks, cameras, worlds_from_cameras, strict=True)):
        try:
            world_from_camera = checked_rigid(place, "world_from_camera")
            seen = None if start is None else np.linalg.inv(world_from_camera) @ start
            ignore = None if ignores is None else ignores[view]
            setups.append(PoseSetup.checked(mask, vertices, faces, camera, seen, ignore, up))
        except SolverError as error:
            is_spare = isinstance(error, ObservationError) and len(masks) > 1
            raise type(error)(f"view {view + 1}: {error}{'; or leave this view out' * is_spare}") from error
        places.append(world_from_camera)
    return ViewsSession(setups, np.stack(places), options, rng).run(on_step)


class ViewsSession(Session[PoseStep, PoseViewsSolution]):
    """A solve under way: the search of each view, then all views together.

    worlds_from_cameras: (V, 4, 4), in the unit of the mesh.
    """

    def __init__(
        self,
        setups: Sequence[PoseSetup],
        worlds_from_cameras: np.ndarray,
        options: PoseOptions,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        if rng is not None:
            checked_kind(rng, np.random.Generator, "rng", "a numpy.random.Generator", ConfigError)
        self.options, self.worlds_from_cameras = options, worlds_from_cameras
        self.singles = [PoseSession(setup, options, rng) for setup in setups]
        self.setup = setups[0]
        view_from_first = np.linalg.inv(worlds_from_cameras) @ worlds_from_cameras[0]
        view_from_first[:, :3, 3] /= self.setup.diagonal
        self.view_from_first = view_from_first
        self.search = ViewsLevel.of([one.search_level for one in self.singles], view_from_first)
        self.coarse = ViewsLevel.of([one.levels[0] for one in self.singles], view_from_first)
        self.fine = ViewsLevel.of([one.levels[-1] for one in self.singles], view_from_first)
        self.candidates = Candidates(np.zeros((0, 7)), np.zeros(0), [])
        self.final: Candidates | None = None

    def phases(self) -> list[Phase]:
        searches = [
            Phase(lambda view=view, run=phase.run: self._seen_from_first(view, run()), phase.steps)
            for view, single in enumerate(self.singles)
            for phase in single.search_phases()
        ]
        is_refined = self.options.refine
        return [
            *searches,
            Phase(self._join, RESTART_LOOP.steps + REFINE_LOOP.steps if is_refined else 0),
            Phase(self._finish, FINE_LOOP.steps + SETTLE_LOOP.steps + 1 if is_refined else 1),
        ]

    def result(self) -> PoseViewsSolution:
        if self.final is None:
            best = max(self.history, key=lambda step: step.iou)
            pose, reason = self.setup.unit_pose(best.camera_from_object), StopReason.CANCELLED
        else:
            pose, reason = self.final.x[0], self.final.reasons[0]
        symmetries, problem, none = self.singles[0].symmetries, self.coarse.problem, np.zeros(0)
        poses = [problem.pose_in(view, pose[None])[0] for view in range(len(self.singles))]
        parts = zip(self.coarse.levels, poses, strict=True)
        looked = [gather_evidence(level, seen, 0.0, none, symmetries) for level, seen in parts]
        views = [one.evidence for one in looked]
        covariance = joint_covariance(problem, pose, [one.covariance for one in looked])
        rotation_deg, across, along = spreads(covariance, pose, symmetries)
        mean = Evidence(*np.mean(views, axis=0).tolist())
        others = self.candidates.others_than(pose, symmetries)
        gap = float(np.clip(np.min(others.energy, initial=np.inf) - mean.energy, 0, mean.gap))
        joint = {"gap": gap, "rotation_deg": rotation_deg, "across": across, "along": along}
        unexplained, disagreeing = [view for view, one in enumerate(views) if one.iou < MIN_IOU], self._disagreeing(views)
        evidence = judged = mean._replace(**joint)
        if unexplained or disagreeing:  # what most views are sure of is none of it: the worst one speaks
            judged = max(views, key=lambda one: one.energy)._replace(**joint)
        sure, diagonal = confidence(judged), self.setup.diagonal
        probability = min(sure.probability, 1 - len(disagreeing) / len(views))
        within = PoseInterval(*np.maximum(sure.interval, self._farthest(pose, disagreeing)).tolist())
        largest = max((single.setup.coverage for single in self.singles), key=lambda coverage: (coverage >= 0.5).sum())
        num_others = len(others.as_good_as(evidence.energy).x)
        judgement = judge(largest, judged, probability, num_others, num_masks=len(views))
        matrix = self.setup.user_matrix(pose)
        return PoseViewsSolution(
            self.worlds_from_cameras[0] @ matrix,
            np.stack([single.setup.user_matrix(seen) for single, seen in zip(self.singles, poses, strict=True)]),
            [one.iou for one in views],
            *judge_views(judgement, disagreeing, unexplained),
            probability,
            within._replace(across=diagonal * within.across, along=diagonal * within.along),
            calibrated(covariance, evidence, within),
            evidence,
            views,
            notes(evidence, 1.0, symmetries, num_others),
            reason,
            self.history,
            self.seconds,
            [
                ViewsAlternative(self.worlds_from_cameras[0] @ self.setup.user_matrix(other.pose), other.probability)
                for other in likely_others(pose, evidence.energy, others, symmetries)
            ],
        )

    def _disagreeing(self, views: Sequence[Evidence]) -> list[int]:
        """Views that are explained much worse than their own search has explained them."""
        return [
            view
            for view, (single, evidence) in enumerate(zip(self.singles, views, strict=True))
            if len(single.candidates.x) and evidence.energy - single.best_energy > MAX_DISAGREEMENT
        ]

    def _farthest(self, pose: np.ndarray, views: Sequence[int]) -> np.ndarray:
        """(3,) how far the best poses of views by themselves lie from a pose (7,), as the parts of a PoseInterval."""
        apart = np.zeros((1 + len(views), 3))
        for row, view in enumerate(views, 1):
            own = self.singles[view].best_pose()
            seen = np.linalg.inv(self.worlds_from_cameras[0]) @ self.worlds_from_cameras[view] @ own
            nearest = self.singles[0].symmetries.nearest(self.setup.unit_pose(seen), pose[:4])
            shift, ray = nearest[4:] - pose[4:], pose[4:] / np.linalg.norm(pose[4:])
            along = float(shift @ ray)
            turn = rotations.angle_between(pose[None, :4], nearest[None, :4])[0]
            apart[row] = np.degrees(turn), np.linalg.norm(shift - along * ray), abs(along)
        return apart.max(axis=0)

    def _seen_from_first(self, view: int, steps: Generator[PoseStep, None, None]) -> Generator[PoseStep, None, None]:
        """Steps of a single view, their poses before the first camera."""
        first_from_view = np.linalg.inv(self.worlds_from_cameras[0]) @ self.worlds_from_cameras[view]
        for step in steps:
            yield replace(step, camera_from_object=first_from_view @ step.camera_from_object, seconds=self.seconds)

    def _join(self) -> Generator[PoseStep, None, None]:
        """What the views found, placed where their rays meet, judged and refined by all of them together."""
        found = []
        for view, single in enumerate(self.singles):
            x = single.candidates.x[single.candidates.distinct(BEST_FEW)]
            found.append(carried(np.linalg.inv(self.view_from_first[view]), x))
        best = np.stack([one.candidates.x[np.argmin(one.candidates.energy), 4:] for one in self.singles])
        x = np.concatenate(found)
        placed = np.concatenate([x[:, :4], where_rays_meet(self.view_from_first, best, x[:, 4:])], axis=1)
        x = np.concatenate([x, placed[placed[:, 6] < 0]])
        x = x[x[:, 6] < 0]
        if self.options.refine:
            tried = yield from self._refine(self.search, self.search.update, x, "restart", RESTART_LOOP)
            x = tried.x[tried.distinct(BEST_FEW)]
            self.candidates = yield from self._refine(self.coarse, self.coarse.update, x, "refine", REFINE_LOOP)
        else:
            level, rows = self.coarse.repeated(len(x)), np.arange(len(x))
            energy = level.problem.energy(level.problem.forward(x, rows), level.observation, rows)
            self.candidates = Candidates(x, energy, [StopReason.MAX_STEPS] * len(x))

    def _finish(self) -> Generator[PoseStep, None, None]:
        """The best pose at the masks' own resolution, where the outlines lie on each other on average."""
        best = self.candidates.at([int(np.argmin(self.candidates.energy))])
        if self.options.refine:
            level = self.fine
            if min(self._ious(best.x[0])) >= GOOD_IOU:
                level = level.exact
            best = yield from self._refine(level, level.update, best.x, "refine", FINE_LOOP)
            settled = yield from self._refine(level, level.settling, best.x, "polish", SETTLE_LOOP)
            if settled.energy[0] <= best.energy[0] + TOLERANCE:
                best = settled
        if self.setup.start is not None:
            start = self.setup.unit_pose(self.setup.start)
            best = best._replace(x=self.singles[0].symmetries.nearest(best.x[0], start[:4])[None])
        iou = float(np.mean(self._ious(best.x[0])))
        yield PoseStep("result", self.setup.user_matrix(best.x[0]), float(best.energy[0]), iou, 1.0, self.seconds)
        self.final = best

    def _ious(self, pose: np.ndarray) -> list[float]:
        """Overlap of a pose (7,) with each mask."""
        renders = self.coarse.problem.forward(pose[None], np.array([0]))
        pairs = zip(renders, self.coarse.observation, strict=True)
        return [float(overlap(np.isfinite(depth), mask)[0]) for depth, mask in pairs]

    def _refine(
        self, single: ViewsLevel, update: Update, x: np.ndarray, phase: str, settings: LoopSettings
    ) -> Generator[PoseStep, None, Candidates]:
        """Refinement of poses (B, 7) at a level."""
        level = single.repeated(len(x))
        solution: Solution = yield from self._loop(self._show(phase), level.problem, update, level.observation, x, settings)
        return Candidates(solution.x, solution.energy, solution.reasons)

    def _show(self, phase: str) -> Callable[[Iteration], PoseStep]:
        """Makes a step of the best instance of an iteration."""

        def show(iteration: Iteration) -> PoseStep:
            row = int(np.argmin(iteration.energy))
            pose, damping = iteration.x[row], float(iteration.damping[row])
            iou = float(np.mean(self._ious(pose)))
            return PoseStep(phase, self.setup.user_matrix(pose), float(iteration.energy[row]), iou, damping, self.seconds)

        return show
