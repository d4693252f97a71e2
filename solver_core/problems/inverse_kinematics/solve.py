"""solve_inverse_kinematics: joint rotations from joint positions."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.errors import SetupError, WeightsError
from solver_core.loop import LoopSettings, OnStep, iterate, summary
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.update import Network, network_update
from solver_core.network.weights import load_weights, shipped_networks
from solver_core.problem import Update, put, take
from solver_core.problems.inverse_kinematics.checks import Request, checked_targets
from solver_core.problems.inverse_kinematics.features import INPUT_LAYOUT, num_features
from solver_core.problems.inverse_kinematics.files.bodies import body_path, human, read_body
from solver_core.problems.inverse_kinematics.names.mapping import skeleton_mapping
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.refine import (
    FAR,
    NATURAL,
    POOR,
    REFINE,
    bone_length,
    least_squares_update,
    random_starts,
)
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton, check_names
from solver_core.problems.inverse_kinematics.solver.smooth import continuous_signs, smoothed
from solver_core.problems.inverse_kinematics.solver.start import mean_pose_start
from solver_core.problems.inverse_kinematics.solver.transfer import Transfer
from solver_core.solution import Cancelled, Iteration, StopReason

STEPS = LoopSettings(steps=4, halvings=3)  # as in the paper
NUM_RESTARTS = 16  # of what is no human; a 6-axis arm needs about 5 without networks, 1 with its own


class Trained(NamedTuple):
    """A body and the stage networks that were trained for it."""

    body: Body
    networks: Sequence[Network]

    @classmethod
    def shipped(cls) -> Trained:
        """The human and its networks, which come with the package."""
        return cls(human(), shipped_networks("inverse_kinematics", "inverse_kinematics", INPUT_LAYOUT))

    @classmethod
    def load(cls, weights: str | Path) -> Trained:
        """Networks from a weights file, for the body that lies beside it or, without one, the human.

        Raises WeightsError or SetupError.
        """
        stages, info = load_weights(weights, "inverse_kinematics", INPUT_LAYOUT)
        path = body_path(Path(weights))
        body = read_body(path) if path.exists() else human()
        if (info.spec.outputs, info.spec.vector_size) != (3 * body.skeleton.num_joints, num_features(body.skeleton)):
            raise WeightsError(f"the weights {weights} are for another body; keep theirs beside them, as {path.name}")
        return cls(body, [NumpyNetwork(info.spec, stage) for stage in stages])


@dataclass(frozen=True, eq=False)
class KinematicResult:
    """Rotations of a skeleton that put its nodes on their targets.

    rotations: (F, N, 4) wxyz in the parents' frames, identity for end sites; their signs do not jump between frames.
    root: (F, 3) position of the root, metres.  position_error: (F, N) metres, nan where no target was given.
    reasons: why each frame stopped.  history: the steps of the networks, then those of the refinement; x (F, J, 4) are
    the skeleton's joints.  notices: sentences about what was found in the input.
    """

    rotations: np.ndarray
    root: np.ndarray
    position_error: np.ndarray
    reasons: list[StopReason]
    history: list[Iteration]
    seconds: float
    notices: tuple[str, ...]

    @property
    def reason(self) -> StopReason:
        """The reason of the frame that is farthest off."""
        return self.reasons[int(np.argmax(np.nan_to_num(self.position_error).max(axis=1)))]


def solve_inverse_kinematics(
    targets: np.ndarray,
    skeleton: Skeleton,
    weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
    limits: np.ndarray | None = None,
    refine: bool = True,
    smooth: float = 0.0,
    on_step: OnStep | None = None,
    mapping: Mapping[str, str] | None = None,
    trained: Trained | None = None,
    limit_axes: np.ndarray | None = None,
) -> KinematicResult:
    """The rotations of a skeleton whose nodes are nearest to the targets and, where those leave a choice, natural.

    targets: (F, N, 3) or (N, 3) metres, one for each node; nan = not given.  weights: (N,) or (F, N) >= 0, 0 = not given.
    start: (F, N, 4) or (N, 4) wxyz to refine from, instead of the networks' answer.  limits: (N, 3, 2) lowest and highest
    Euler angle about x, y and z in radians (Blender's XYZ order), infinite where free, equal where locked.
    refine: meet the targets exactly after the networks' steps.  smooth: frames over which rotations are evened out in
    time; the targets are met again afterwards.  on_step: called with every Iteration; raises Cancelled to cancel.
    mapping: nodes of the trained body -> nodes of the skeleton; found by the names when not given.  trained: other networks
    than those for humans.  What is no human is refined with restarts, from their answer or else from the rest pose.
    limit_axes: (N, 3, 3) rotations whose columns are the x, y and z that the limits are about, such as a rolled bone's.

    Raises ObservationError or SetupError with a sentence if the targets or the skeleton cannot be used.
    """
    setup = KinematicSetup.checked(targets, skeleton, weights, start, limits, mapping, trained, limit_axes)
    solving = KinematicSolving(setup, KinematicSettings(refine, smooth))
    for step in solving.steps():
        if on_step is not None:
            try:
                on_step(step)
            except Cancelled:
                return solving.result(is_cancelled=True)
    return solving.result()


class KinematicSettings(NamedTuple):
    """refine: meet the targets exactly after the networks' steps.  smooth: frames over which rotations are evened out."""

    refine: bool = True
    smooth: float = 0.0


class Guide(NamedTuple):
    """Networks, and how to ask them about a skeleton."""

    transfer: Transfer
    networks: Sequence[Network]


@dataclass(frozen=True, eq=False)
class KinematicSetup:
    """A checked problem of inverse kinematics.  guide: None for what resembles no body that networks know.

    start: (F, J, 4) given by the user, or None.  Build it with `checked`, whose arguments are those of
    solve_inverse_kinematics; it raises ObservationError or SetupError with one sentence for what cannot be used.
    """

    problem: KinematicProblem
    request: Request
    guide: Guide | None
    start: np.ndarray | None

    @classmethod
    def checked(
        cls,
        targets: np.ndarray,
        skeleton: Skeleton,
        weights: np.ndarray | None = None,
        start: np.ndarray | None = None,
        limits: np.ndarray | None = None,
        mapping: Mapping[str, str] | None = None,
        trained: Trained | None = None,
        limit_axes: np.ndarray | None = None,
    ) -> KinematicSetup:
        request = checked_targets(targets, weights, skeleton)
        limited = None if limits is None else JointLimits.from_ranges(skeleton, limits, limit_axes)
        offsets = np.broadcast_to(skeleton.offsets.astype(np.float32), request.observation.positions.shape)
        problem = KinematicProblem(Body.at_rest(skeleton), offsets, limited)
        guide = _guide(skeleton, mapping, trained)
        return cls(problem, request, guide, None if start is None else _checked_start(start, problem))


class KinematicSolving:
    """A solve under way, for a user interface: take `steps` one by one, and the `result` at any time.

    phase: of the latest step, "network", "refine", "restart" or "smooth".
    """

    def __init__(self, setup: KinematicSetup, settings: KinematicSettings) -> None:
        if not 0 <= settings.smooth < np.inf:
            raise SetupError(f"smooth must be a number of frames of at least 0, got {settings.smooth:g}")
        self.setup, self.settings = setup, settings
        self.started = time.perf_counter()
        self.history: list[Iteration] = []
        self.phase = "start"
        self.x = self._first_pose()
        self.reasons = [StopReason.MAX_STEPS] * len(self.x)

    def steps(self) -> Iterator[Iteration]:
        """Every iteration with x (F, J, 4) of the skeleton's joints, the best so far; the targets never get farther."""
        setup, (refine, smooth) = self.setup, self.settings
        guide, problem = setup.guide, setup.problem
        if setup.start is None and guide is not None:
            self.phase = "network"
            yield from self._ask_networks(guide)
            self.x = problem.within_limits(self.x)
        self.phase = "refine"
        if refine and (setup.start is not None or guide is not None):
            yield from self._refine()
        is_rig = guide is None or guide.transfer.body is not human()
        if refine and setup.start is None and is_rig:
            yield from self._refine_from_several()
        if smooth > 0 and len(self.x) > 1:
            self.phase = "smooth"
            self.x = problem.within_limits(smoothed(self.x, smooth))
            if refine:
                yield from self._refine()

    def result(self, is_cancelled: bool = False) -> KinematicResult:
        """Where the solve stands."""
        problem, request, x = self.setup.problem, self.setup.request, self.x
        skeleton, observation = problem.skeleton, request.observation
        posture = problem.forward(x, np.arange(len(x)))
        shift = problem.shift(observation.positions - posture.positions, observation)
        error = np.linalg.norm(problem.residuals(posture, observation), axis=-1)
        every_rotation = np.zeros((len(x), skeleton.num_nodes, 4))
        every_rotation[..., 0] = 1
        every_rotation[:, skeleton.joints] = continuous_signs(x)
        return KinematicResult(
            rotations=every_rotation,
            root=(request.origin + shift)[:, 0],
            position_error=np.where(observation.weights > 0, error, np.nan),
            reasons=self._cancelled() if is_cancelled else self.reasons,
            history=self.history,
            seconds=time.perf_counter() - self.started,
            notices=request.notices,
        )

    def _first_pose(self) -> np.ndarray:
        """(F, J, 4) the given start or the rest pose."""
        problem = self.setup.problem
        if self.setup.start is not None:
            return self.setup.start
        shape = (len(problem.offsets), problem.skeleton.num_joints, 1)
        return problem.within_limits(np.tile(np.array([1, 0, 0, 0], np.float32), shape))

    def _ask_networks(self, guide: Guide) -> Iterator[Iteration]:
        transfer, observation = guide.transfer, self.setup.request.observation
        problem = transfer.problem(len(observation.positions), self.setup.problem.limits)
        targets = transfer.targets(observation)
        x0 = mean_pose_start(problem, targets)
        update = network_update(problem, guide.networks)
        yield from self._loop(problem, update, targets, x0, STEPS, transfer.to_skeleton)

    def _refine(self) -> Iterator[Iteration]:
        """As motions go and then, where that does not meet the targets, anyhow."""
        problem, guide, observation = self.setup.problem, self.setup.guide, self.setup.request.observation
        if guide is not None:
            natural = replace(problem, body=guide.transfer.natural_body)
            yield from self._loop(natural, least_squares_update(natural), observation, self.x, NATURAL)
        yield from self._loop(problem, least_squares_update(problem), observation, self.x, REFINE)

    def _refine_from_several(self) -> Iterator[Iteration]:
        """From the present pose; then, frame by frame where that fails, from others.

        Far from the answer least squares gets stuck; a body without trained networks needs several tries.
        """
        problem, observation = self.setup.problem, self.setup.request.observation
        starts = random_starts(problem, self.x, NUM_RESTARTS, np.random.default_rng(0))
        yield from self._loop(problem, least_squares_update(problem), observation, self.x, FAR)
        threshold = POOR * bone_length(problem)
        self.phase = "restart"
        for start in starts:
            best = self.history[-1]
            rows = np.flatnonzero(best.energy > threshold)
            if len(rows) == 0:
                return
            part = replace(problem, offsets=problem.offsets[rows])
            tried: list[Iteration] = []
            for iteration in iterate(part, least_squares_update(part), take(observation, rows), start[rows], FAR):
                tried.append(iteration)
                yield self._note(_improved(best, iteration, rows))
            reasons = summary(tried, FAR).reasons
            for number in np.flatnonzero(tried[-1].energy < best.energy[rows]):
                self.reasons[rows[number]] = reasons[number]

    def _loop(
        self,
        problem: KinematicProblem,
        update: Update,
        targets: Targets,
        x0: np.ndarray,
        settings: LoopSettings,
        to_skeleton: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Iterator[Iteration]:
        """Runs the feedback loop on all frames and keeps its iterations, with x as the skeleton's joints."""
        passed: list[Iteration] = []
        for iteration in iterate(problem, update, targets, x0, settings):
            passed.append(self._note(iteration if to_skeleton is None else replace(iteration, x=to_skeleton(iteration.x))))
            self.reasons = summary(passed, settings).reasons
            yield passed[-1]

    def _note(self, iteration: Iteration) -> Iteration:
        self.history.append(replace(iteration, prediction=None))
        self.x = iteration.x
        return self.history[-1]

    def _cancelled(self) -> list[StopReason]:
        """The reasons if the user stops now."""
        is_active = self.history[-1].is_active if self.history else np.ones(len(self.x), bool)
        return [StopReason.CANCELLED if active else reason for active, reason in zip(is_active, self.reasons, strict=True)]


def _improved(best: Iteration, tried: Iteration, rows: np.ndarray) -> Iteration:
    """The best iteration with those of its rows replaced that another try, of some rows, explains better."""
    is_better = tried.energy < best.energy[rows]
    better = rows[is_better]
    return replace(
        best,
        x=put(best.x, better, tried.x[is_better]),
        energy=put(best.energy, better, tried.energy[is_better]),
        damping=put(np.zeros_like(best.damping), rows, tried.damping),
        accepted=put(np.zeros_like(best.accepted), rows, tried.accepted),
        is_active=put(np.zeros_like(best.is_active), rows, tried.is_active),
        index=best.index + 1 + tried.index,
        seconds=best.seconds + tried.seconds,
    )


def _guide(skeleton: Skeleton, mapping: Mapping[str, str] | None, trained: Trained | None) -> Guide | None:
    """How to ask networks about this skeleton, or None if it resembles no body that they know."""
    if mapping is None and trained is None:
        mapping = skeleton_mapping(skeleton)
    elif mapping is None:
        mapping = {name: name for name in trained.body.skeleton.names}
    if not mapping:
        return None
    body, networks = trained or Trained.shipped()
    check_names(mapping.keys(), body.skeleton.names, "the trained body")
    check_names(mapping.values(), skeleton.names, "the skeleton")
    if body.skeleton.names[body.skeleton.root] not in mapping:
        raise SetupError(f"the map must name the joint that stands for {body.skeleton.names[body.skeleton.root]!r}")
    return Guide(_transfer(skeleton, body, tuple(mapping.items())), networks)


@functools.lru_cache(maxsize=8)
def _transfer(skeleton: Skeleton, body: Body, pairs: tuple[tuple[str, str], ...]) -> Transfer:
    """Kept, because preparing one takes longer than solving a frame."""
    return Transfer(skeleton, body, dict(pairs))


def _checked_start(start: np.ndarray, problem: KinematicProblem) -> np.ndarray:
    """(F, J, 4) from (F, N, 4) or (N, 4).  Raises SetupError."""
    num_frames, num_nodes = problem.offsets.shape[:2]
    start = np.asarray(start, dtype=np.float32)
    if start.shape not in ((num_nodes, 4), (num_frames, num_nodes, 4)):
        raise SetupError(
            f"start must be wxyz rotations of shape ({num_nodes}, 4) or ({num_frames}, {num_nodes}, 4), got {start.shape}"
        )
    x = np.broadcast_to(start, (num_frames, num_nodes, 4))[:, problem.skeleton.joints]
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    if not np.isfinite(x).all() or lengths.min() < 0.5:
        raise SetupError("start must hold unit quaternions, wxyz")
    return problem.within_limits(x / lengths)
