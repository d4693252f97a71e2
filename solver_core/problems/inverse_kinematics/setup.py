# SPDX-License-Identifier: Apache-2.0
"""What a motion is solved from, checked: targets, skeleton, limits, networks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from solver_core import rotations
from solver_core.checks import checked_array, checked_kind
from solver_core.errors import ObservationError, SetupError
from solver_core.mesh import LARGEST
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets
from solver_core.problems.inverse_kinematics.names.mapping import Matching, body_map, match_by_map, match_targets
from solver_core.problems.inverse_kinematics.placing import WRONG_UNIT, fit_to_skeleton, size_ratio
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.limits import JointLimits
from solver_core.problems.inverse_kinematics.skeleton.rest_pose import UNIT_TOLERANCE, RestPose
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.evidence import Given
from solver_core.problems.inverse_kinematics.solver.guide import Guide, Trained, find_guide
from solver_core.problems.inverse_kinematics.solver.orientations import Orientations, carried_orientations

STANDING = ("abdomen", "chest", "neck", "lShin", "rShin", "lFoot", "rFoot")  # whose bones are upright where a body stands
FEET = ("lFoot", "rFoot")
NO_STANCE = (
    "the pose at rest is no standing figure, so positions do not tell how its joints are twisted: bones point "
    "where they should, but may be turned about themselves; give a pose in which it stands (rest=, --rest)"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class KinematicSetup:
    """A checked problem of inverse kinematics.  guide: None for what resembles no body that networks know.

    given: targets, world metres.  notices: sentences about what was found in them.
    matching: which named targets are those of which nodes, None where the targets had no names.
    start: (F, J, 4) given by the user, or None.  orientations: that targets bring, or None.
    frame_time: seconds, None where targets state none.  rest: the pose that counts as rest instead of the skeleton's own, or
    None; the problem is then that of the skeleton at rest in it.  Build it with `checked`, whose arguments are those of
    solve_inverse_kinematics; it raises ObservationError or SetupError with one sentence for what cannot be used.
    """

    problem: KinematicProblem
    given: Given
    notices: tuple[str, ...]
    guide: Guide | None
    matching: Matching | None
    start: np.ndarray | None
    rest: RestPose | None = None
    orientations: Orientations | None = None
    frame_time: float | None = None

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
        rest: np.ndarray | None = None,
        orientations: np.ndarray | Orientations | None = None,
    ) -> KinematicSetup:
        """A setup from what a user gives; the arguments are those of solve_inverse_kinematics.

        Raises:
            ObservationError: for the targets; SetupError: for the rest.
        """
        checked_kind(skeleton, Skeleton, "skeleton", "a solver_core.Skeleton")
        for value, name in ((mapping, "mapping"), (target_map, "target_map")):
            checked_kind({} if value is None else value, Mapping, name, "a dictionary of names")
        if trained is not None:
            checked_kind(trained, Trained, "trained", "networks with their body, as Trained.load gives them")
        standing = None if rest is None else RestPose.checked(skeleton, rest)
        if standing is not None:
            if limits is not None:
                raise SetupError("limits count from the skeleton's own rest pose; give either limits or another rest pose")
            skeleton = standing.skeleton
        matching, notices, of_file, carried, frame_time = None, (), (), None, None
        if isinstance(targets, NamedTargets):
            frame_time = targets.frame_time
            matching = _matched(targets, skeleton, target_map)
            placed = fit_to_skeleton(targets, matching, skeleton)
            carried = _carried(targets, matching, skeleton, placed.turn)
            targets, notices, of_file = placed.positions, (*placed.notices, *matching.notices), targets.notices
            if weights is None:  # a node without a target in any frame is no gap worth a notice
                weights = np.isfinite(targets).all(axis=2).any(axis=0).astype(float)
        elif target_map is not None:
            raise SetupError("target_map belongs to targets that have names, as sc.read_targets gives them")
        given, missing = checked_targets(targets, weights, skeleton)
        for notice in (*notices, *missing):  # what was said of the file was logged when it was read
            log.warning(notice)
        notices = (*of_file, *notices, *missing)
        limited = None if limits is None else JointLimits.from_ranges(skeleton, limits, limit_axes)
        offsets = np.broadcast_to(skeleton.offsets.astype(np.float32), given.positions.shape)
        problem = KinematicProblem(Body.at_rest(skeleton), offsets, limited)
        guide = find_guide(skeleton, mapping, trained)
        if guide is not None and trained is None and not guide.transfer.points_alike(STANDING):
            guide = None
            notices = (*notices, NO_STANCE)
            log.warning(NO_STANCE)
        x = None if start is None else _checked_start(start, problem, standing)
        if isinstance(orientations, Orientations):
            carried = orientations
        elif orientations is not None:
            carried = _checked_orientations(orientations, problem, standing)
        return cls(problem, given, notices, guide, matching, x, standing, carried, frame_time)

    @property
    def ankles(self) -> list[int]:
        """Nodes of the skeleton at which its feet begin; empty for other bodies than humans."""
        skeleton = self.problem.skeleton
        found = body_map(skeleton)
        node_of = {} if found is None else found.node_of
        return [skeleton.index(node_of[part]) for part in FEET if part in node_of]

    def to_own(self, x: np.ndarray) -> np.ndarray:
        """(F, J, 4) rotations as the user counts them, for poses of the problem."""
        return x if self.rest is None else self.rest.to_own(x)

    def from_own(self, x: np.ndarray) -> np.ndarray:
        """Inverse of to_own."""
        return x if self.rest is None else self.rest.from_own(x)


def _matched(targets: NamedTargets, skeleton: Skeleton, target_map: Mapping[str, str | Sequence[str]] | None) -> Matching:
    if target_map is None:
        return match_targets(targets.names, skeleton, targets.parents)
    return match_by_map(target_map, targets.names, skeleton)


def _carried(targets: NamedTargets, matching: Matching, skeleton: Skeleton, turn: np.ndarray) -> Orientations | None:
    """Orientations of the skeleton's joints that follow the joints of the targets, if these are turned."""
    source = targets.skeleton
    if source is None or targets.rotations is None:
        return None
    node_of = {names[0]: node for node, names in matching.targets.items() if len(names) == 1 and names[0] in source.names}
    offsets = np.broadcast_to(source.offsets, (len(targets.rotations), *source.offsets.shape))
    posture = forward_kinematics(source, offsets, targets.rotations[:, source.joints].astype(np.float64))
    return carried_orientations(skeleton, source, turn @ posture.orientations, node_of) if node_of else None


def checked_targets(targets: np.ndarray, weights: np.ndarray | None, skeleton: Skeleton) -> tuple[Given, tuple[str, ...]]:
    """What solve_inverse_kinematics was given, and sentences about what is missing in it.  Raises ObservationError."""
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
    if (largest := np.abs(positions[np.isfinite(positions)]).max(initial=0)) > LARGEST:
        raise ObservationError(f"targets must be metres up to {LARGEST:g}, the largest is {largest:g}")
    positions, weights, notices = _without_gaps(positions, _checked_weights(weights, positions), skeleton)
    _check_unit(positions, weights, skeleton)
    return Given(positions, weights), notices


def _checked_start(start: np.ndarray, problem: KinematicProblem, rest: RestPose | None) -> np.ndarray:
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
    x = x / lengths
    return problem.within_limits(x if rest is None else rest.from_own(x))


def _checked_orientations(orientations: np.ndarray, problem: KinematicProblem, rest: RestPose | None) -> Orientations:
    """From wxyz (F, N, 4) or (F, J, 4) in the world, nan where unknown.  Raises ObservationError."""
    skeleton, num_frames = problem.skeleton, len(problem.offsets)
    shapes = [(num_frames, count, 4) for count in (skeleton.num_nodes, skeleton.num_joints)]
    wxyz = checked_array(orientations, "orientations", str(shapes[0]), ObservationError).astype(np.float64)
    if wxyz.shape not in shapes:
        raise ObservationError(
            f"orientations must be wxyz of shape {shapes[0]}, one for every node, or {shapes[1]}, one for every joint, "
            f"nan where unknown, got {wxyz.shape}"
        )
    wxyz = wxyz[:, skeleton.joints] if wxyz.shape == shapes[0] else wxyz
    lengths = np.linalg.norm(wxyz, axis=-1, keepdims=True)
    if not (np.isnan(lengths) | (abs(lengths - 1) <= UNIT_TOLERANCE)).all():
        raise ObservationError("orientations must hold unit quaternions, wxyz, or nan where they are unknown")
    world_from_joint = rotations.matrix_from_wxyz(wxyz / lengths)
    if rest is not None:
        world_from_joint = world_from_joint @ rotations.matrix_from_wxyz(rest.root_from_joint).swapaxes(1, 2)
    return Orientations(world_from_joint)


def _checked_weights(weights: np.ndarray | None, positions: np.ndarray) -> np.ndarray:
    """(F, N)."""
    if weights is None:
        return np.ones(positions.shape[:2])
    weights = checked_array(weights, "target_weights", str(positions.shape[:2]), ObservationError).astype(np.float64)
    if weights.shape not in (positions.shape[1:2], positions.shape[:2]):
        raise ObservationError(
            f"target_weights must be {positions.shape[1:2]} or {positions.shape[:2]} numbers, one a target, got {weights.shape}"
        )
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ObservationError("target_weights must be finite numbers of at least 0")
    return np.broadcast_to(weights, positions.shape[:2])


def _without_gaps(
    positions: np.ndarray, weights: np.ndarray, skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Positions without nan, weights that are 0 there, and a notice of nodes that have no target in any frame."""
    is_missing = ~np.isfinite(positions.sum(axis=2))
    never = np.flatnonzero(is_missing.all(axis=0) & (weights > 0).any(axis=0))
    notices: tuple[str, ...] = ()
    if len(never):
        listed = ", ".join(skeleton.names[node] for node in never[:5]) + (", ..." if len(never) > 5 else "")
        subject = "1 target is missing" if len(never) == 1 else f"{len(never)} targets are missing"
        notices = (f"{subject} ({listed}) and left to the solver",)
    weights = np.where(is_missing, 0, weights)
    if not weights.any():
        raise ObservationError("no frame has a target at all; give at least one")
    return np.where(is_missing[..., None], 0, positions), weights, notices


def _check_unit(positions: np.ndarray, weights: np.ndarray, skeleton: Skeleton) -> None:
    ratio = size_ratio(np.where(weights[..., None] > 0, positions, np.nan), np.any(weights, axis=0), skeleton)
    if ratio > WRONG_UNIT:
        raise ObservationError(f"the targets are {_rounded(ratio)} times larger than the skeleton; both must be in metres")
    if 0 < ratio < 1 / WRONG_UNIT:
        raise ObservationError(f"the targets are {_rounded(1 / ratio)} times smaller than the skeleton; both must be in metres")


def _rounded(ratio: float) -> int:
    """To one digit, or to the power of ten nearby: no unit differs by a factor of 97."""
    power = 10 ** round(float(np.log10(ratio)))
    return int(power) if 0.6 < ratio / power < 1.6 else round(ratio)
