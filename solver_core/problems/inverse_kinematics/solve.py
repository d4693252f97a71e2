"""solve_ik: joint rotations from joint positions."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from solver_core.errors import SetupError, WeightsError
from solver_core.loop import LoopSettings, OnStep, solve
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.update import Network, network_update
from solver_core.network.weights import load_weights, shipped_networks
from solver_core.problems.inverse_kinematics import refine as refinement
from solver_core.problems.inverse_kinematics.body import Body, body_path, human, read_body
from solver_core.problems.inverse_kinematics.features import INPUT_LAYOUT, num_features
from solver_core.problems.inverse_kinematics.limits import JointLimits
from solver_core.problems.inverse_kinematics.mapping import check_names, skeleton_mapping
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.smooth import continuous_signs, smoothed
from solver_core.problems.inverse_kinematics.start import mean_pose_start
from solver_core.problems.inverse_kinematics.targets import Request, checked_targets
from solver_core.problems.inverse_kinematics.transfer import Transfer
from solver_core.solution import Iteration, Solution, StopReason

STEPS = LoopSettings(steps=4, halvings=3)  # as in the paper
NUM_RESTARTS = 16  # of what is no human; a 6-axis arm needs about 5 without networks, 1 with its own


@dataclass(frozen=True, eq=False)
class Trained:
    """A body and the stage networks that were trained for it."""

    body: Body
    networks: Sequence[Network]

    @classmethod
    def load(cls, weights: str | Path) -> Trained:
        """Networks from a weights file, for the body that lies beside it or, without one, the human.

        Raises WeightsError or SetupError.
        """
        stages, info = load_weights(weights, "ik", INPUT_LAYOUT)
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


def solve_ik(
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
) -> KinematicResult:
    """The rotations of a skeleton whose nodes are nearest to the targets and, where those leave a choice, natural.

    targets: (F, N, 3) or (N, 3) metres, one for each node; nan = not given.  weights: (N,) or (F, N) >= 0, 0 = not given.
    start: (F, N, 4) or (N, 4) wxyz to refine from, instead of the networks' answer.  limits: (N, 3, 2) lowest and highest
    Euler angle about x, y and z in radians (Blender's XYZ order), infinite where free, equal where locked.
    refine: meet the targets exactly after the networks' steps.  smooth: frames over which rotations are evened out in
    time; the targets are met again afterwards.  on_step: called with every Iteration; raises StopIteration to cancel.
    mapping: nodes of the trained body -> nodes of the skeleton; found by the names when not given.  trained: other networks
    than those for humans.  What is no human is refined with restarts, from their answer or else from the rest pose.

    Raises ObservationError or SetupError with a sentence if the targets or the skeleton cannot be used.
    """
    started = time.perf_counter()
    if not 0 <= smooth < np.inf:
        raise SetupError(f"smooth must be a number of frames of at least 0, got {smooth:g}")
    request = checked_targets(targets, weights, skeleton)
    limited = None if limits is None else JointLimits.from_ranges(skeleton, limits)
    offsets = np.broadcast_to(skeleton.offsets.astype(np.float32), request.observation.positions.shape)
    problem = KinematicProblem(Body.at_rest(skeleton), offsets, limited)
    guide = _guide(skeleton, mapping, trained)

    solutions: list[Solution] = []
    if start is not None:
        x = _checked_start(start, problem)
    elif guide is not None:
        solutions.append(_ask_networks(guide, request.observation, limited, on_step))
        x = problem.within_limits(solutions[-1].x)
    else:
        x = problem.within_limits(np.tile(np.array([1, 0, 0, 0], np.float32), (len(offsets), skeleton.num_joints, 1)))
    natural = None if guide is None else replace(problem, body=guide[0].natural_body)
    if refine and (start is not None or guide is not None):
        x = _refine(problem, natural, request.observation, x, solutions, on_step)
    is_rig = guide is None or guide[0].body is not human()
    if refine and start is None and is_rig and not _is_cancelled(solutions):
        starts = [x, *refinement.random_starts(problem, x, NUM_RESTARTS, np.random.default_rng(0))]
        solutions.append(refinement.refine_from_several(problem, request.observation, starts, on_step))
        x = solutions[-1].x
    if smooth > 0 and len(x) > 1 and not _is_cancelled(solutions):
        x = problem.within_limits(smoothed(x, smooth))
        if refine:
            x = _refine(problem, natural, request.observation, x, solutions, on_step)
    return _result(problem, request, x, solutions, time.perf_counter() - started)


def _guide(
    skeleton: Skeleton, mapping: Mapping[str, str] | None, trained: Trained | None
) -> tuple[Transfer, Sequence[Network]] | None:
    """How to ask networks about this skeleton, or None if it resembles no body that they know."""
    body = human() if trained is None else trained.body
    if mapping is None and trained is None:
        mapping = skeleton_mapping(skeleton)
    elif mapping is None:
        mapping = {name: name for name in body.skeleton.names}
    if not mapping:
        return None
    check_names(mapping.keys(), body.skeleton.names, "the trained body")
    check_names(mapping.values(), skeleton.names, "the skeleton")
    if body.skeleton.names[body.skeleton.root] not in mapping:
        raise SetupError(f"the map must name the joint that stands for {body.skeleton.names[body.skeleton.root]!r}")
    networks = shipped_networks("ik", "ik", INPUT_LAYOUT) if trained is None else trained.networks
    return _transfer(skeleton, body, tuple(mapping.items())), networks


@functools.lru_cache(maxsize=8)
def _transfer(skeleton: Skeleton, body: Body, pairs: tuple[tuple[str, str], ...]) -> Transfer:
    """Kept, because preparing one takes longer than solving a frame."""
    return Transfer(skeleton, body, dict(pairs))


def _ask_networks(
    guide: tuple[Transfer, Sequence[Network]], observation: Targets, limits: JointLimits | None, on_step: OnStep | None
) -> Solution:
    """The networks' Solution, with x (F, J, 4) and its history for the skeleton."""
    transfer, networks = guide
    problem = transfer.problem(len(observation.positions), limits)
    targets = transfer.targets(observation)

    def report(iteration: Iteration) -> None:
        if on_step is not None:
            on_step(replace(iteration, x=transfer.to_skeleton(iteration.x)))

    x0 = mean_pose_start(problem, targets)
    solution = solve(problem, network_update(problem, networks), targets, x0, STEPS, report)
    every_x = transfer.to_skeleton(np.concatenate([iteration.x for iteration in solution.history]))
    history = [
        replace(iteration, x=x) for iteration, x in zip(solution.history, np.split(every_x, len(solution.history)), strict=True)
    ]
    return replace(solution, x=history[-1].x, history=history)


def _refine(
    problem: KinematicProblem,
    natural: KinematicProblem | None,
    observation: Targets,
    x: np.ndarray,
    solutions: list[Solution],
    on_step: OnStep | None,
) -> np.ndarray:
    """Joint rotations (F, J, 4) after refinement as motions go and then, where that does not meet the targets, anyhow.

    Appends to solutions; does nothing once one of them was cancelled.
    """
    if natural is not None and not _is_cancelled(solutions):
        solutions.append(refinement.refine(natural, observation, x, refinement.NATURAL, on_step))
        x = solutions[-1].x
    if not _is_cancelled(solutions):
        solutions.append(refinement.refine(problem, observation, x, refinement.REFINE, on_step))
        x = solutions[-1].x
    return x


def _is_cancelled(solutions: list[Solution]) -> bool:
    return bool(solutions) and StopReason.CANCELLED in solutions[-1].reasons


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


def _result(
    problem: KinematicProblem, request: Request, x: np.ndarray, solutions: list[Solution], seconds: float
) -> KinematicResult:
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
        reasons=solutions[-1].reasons if solutions else [StopReason.MAX_STEPS] * len(x),
        history=[iteration for solution in solutions for iteration in solution.history],
        seconds=seconds,
        notices=request.notices,
    )
