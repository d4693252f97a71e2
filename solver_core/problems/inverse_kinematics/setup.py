"""What a motion is solved from, checked: targets around the origin, skeleton, limits, networks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from solver_core.checks import checked_array
from solver_core.errors import ObservationError, SetupError
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets
from solver_core.problems.inverse_kinematics.names.mapping import Matching, match_by_map, match_targets
from solver_core.problems.inverse_kinematics.placing import WRONG_UNIT, fit_to_skeleton, size_ratio
from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.guide import Guide, Trained, find_guide

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """Targets of F frames relative to origin (F, 1, 3), and sentences about what was found in them."""

    observation: Targets
    origin: np.ndarray
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class KinematicSetup:
    """A checked problem of inverse kinematics.  guide: None for what resembles no body that networks know.

    matching: which named targets are those of which nodes, None where the targets had no names.
    start: (F, J, 4) given by the user, or None.  Build it with `checked`, whose arguments are those of
    solve_inverse_kinematics; it raises ObservationError or SetupError with one sentence for what cannot be used.
    """

    problem: KinematicProblem
    request: Request
    guide: Guide | None
    matching: Matching | None
    start: np.ndarray | None

    @classmethod
    def checked(
        cls,
        targets: np.ndarray | NamedTargets,
        skeleton: Skeleton,
        weights: np.ndarray | None = None,
        start: np.ndarray | None = None,
        limits: np.ndarray | None = None,
        mapping: Mapping[str, str] | None = None,
        target_map: Mapping[str, str | Sequence[str]] | None = None,
        trained: Trained | None = None,
        limit_axes: np.ndarray | None = None,
    ) -> KinematicSetup:
        matching, notices, of_file = None, (), ()
        if isinstance(targets, NamedTargets):
            matching = _matched(targets, skeleton, target_map)
            placed = fit_to_skeleton(targets, matching, skeleton)
            targets, notices, of_file = placed.positions, (*placed.notices, *matching.notices), targets.notices
            if weights is None:  # a node without a target in any frame is no gap worth a notice
                weights = np.isfinite(targets).all(axis=2).any(axis=0).astype(float)
        elif target_map is not None:
            raise SetupError("target_map belongs to targets that have names, as sc.read_targets gives them")
        request = checked_targets(targets, weights, skeleton)
        for notice in (*notices, *request.notices):  # what was said of the file was logged when it was read
            log.warning(notice)
        request = request._replace(notices=(*of_file, *notices, *request.notices))
        limited = None if limits is None else JointLimits.from_ranges(skeleton, limits, limit_axes)
        offsets = np.broadcast_to(skeleton.offsets.astype(np.float32), request.observation.positions.shape)
        problem = KinematicProblem(Body.at_rest(skeleton), offsets, limited)
        guide = find_guide(skeleton, mapping, trained)
        return cls(problem, request, guide, matching, None if start is None else _checked_start(start, problem))


def _matched(targets: NamedTargets, skeleton: Skeleton, target_map: Mapping[str, str | Sequence[str]] | None) -> Matching:
    if target_map is None:
        return match_targets(targets.names, skeleton, targets.parents)
    return match_by_map(target_map, targets.names, skeleton)


def checked_targets(targets: np.ndarray, weights: np.ndarray | None, skeleton: Skeleton) -> Request:
    """What solve_inverse_kinematics was given, as float32 relative to the root's target.  Raises ObservationError."""
    num_nodes = skeleton.num_nodes
    positions = checked_array(targets, "targets", f"(frames, {num_nodes}, 3)", ObservationError).astype(np.float64)
    if positions.ndim == 2:
        positions = positions[None]
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise ObservationError(f"targets must be (frames, {num_nodes}, 3) or ({num_nodes}, 3) metres, got {positions.shape}")
    if positions.shape[1] != num_nodes:
        raise ObservationError(
            f"the skeleton has {num_nodes} nodes and the targets have {positions.shape[1]}; give nan for nodes without a target"
        )
    if len(positions) == 0:
        raise ObservationError("the motion is empty: the targets hold no frames")
    positions, given, notices = _without_gaps(positions, _checked_weights(weights, positions), skeleton)
    _check_unit(positions, given, skeleton)
    of_root = given[:, skeleton.root, None, None] > 0
    mean = (given[..., None] * positions).sum(axis=1, keepdims=True) / given.sum(axis=1)[:, None, None]
    origin = np.where(of_root, positions[:, [skeleton.root]], mean)
    observation = Targets.exact((positions - origin).astype(np.float32), given.astype(np.float32))
    return Request(observation, origin, notices)


def _checked_start(start: np.ndarray, problem: KinematicProblem) -> np.ndarray:
    """(F, J, 4) from (F, N, 4) or (N, 4).  Raises SetupError."""
    num_frames, num_nodes = problem.offsets.shape[:2]
    start = checked_array(start, "start", f"({num_frames}, {num_nodes}, 4)").astype(np.float32)
    if start.shape not in ((num_nodes, 4), (num_frames, num_nodes, 4)):
        raise SetupError(
            f"start must be wxyz rotations of shape ({num_nodes}, 4) or ({num_frames}, {num_nodes}, 4), got {start.shape}"
        )
    x = np.broadcast_to(start, (num_frames, num_nodes, 4))[:, problem.skeleton.joints]
    lengths = np.linalg.norm(x, axis=-1, keepdims=True)
    if not np.isfinite(x).all() or lengths.min() < 0.5:
        raise SetupError("start must hold unit quaternions, wxyz")
    return problem.within_limits(x / lengths)


def _checked_weights(weights: np.ndarray | None, positions: np.ndarray) -> np.ndarray:
    """(F, N)."""
    if weights is None:
        return np.ones(positions.shape[:2])
    weights = checked_array(weights, "weights", str(positions.shape[:2]), ObservationError).astype(np.float64)
    if weights.shape not in (positions.shape[1:2], positions.shape[:2]):
        raise ObservationError(
            f"weights must be {positions.shape[1:2]} or {positions.shape[:2]} numbers, one for each target, got {weights.shape}"
        )
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ObservationError("weights must be finite numbers of at least 0")
    return np.broadcast_to(weights, positions.shape[:2])


def _without_gaps(
    positions: np.ndarray, weights: np.ndarray, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Positions without nan, weights that are 0 there, and a notice if there was any."""
    is_missing = ~np.isfinite(positions.sum(axis=2))
    unexpected = is_missing & (weights > 0)
    notices: tuple[str, ...] = ()
    if unexpected.any():
        names = [skeleton.names[node] for node in np.flatnonzero(unexpected.any(axis=0))]
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        count = int(unexpected.sum())
        subject = "1 target is missing" if count == 1 else f"{count} targets are missing"
        notices = (f"{subject} ({listed}) and left to the solver",)
    weights = np.where(is_missing, 0, weights)
    empty = np.flatnonzero(weights.sum(axis=1) == 0)
    if len(empty):
        raise ObservationError(f"frame {empty[0]} has no target at all; leave it out or give at least one")
    return np.where(is_missing[..., None], 0, positions), weights, notices


def _check_unit(positions: np.ndarray, weights: np.ndarray, skeleton: Skeleton) -> None:
    ratio = size_ratio(positions, weights.min(axis=0) > 0, skeleton)
    if ratio > WRONG_UNIT:
        raise ObservationError(f"the targets are {_rounded(ratio)} times larger than the skeleton; both must be in metres")
    if 0 < ratio < 1 / WRONG_UNIT:
        raise ObservationError(f"the targets are {_rounded(1 / ratio)} times smaller than the skeleton; both must be in metres")


def _rounded(ratio: float) -> int:
    """To one digit, or to the power of ten nearby: nobody's unit is off by 97."""
    power = 10 ** round(float(np.log10(ratio)))
    return int(power) if 0.6 < ratio / power < 1.6 else round(ratio)
