# SPDX-License-Identifier: Apache-2.0
"""solve_robot: joint values from where links are to be, and how turned."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from solver_core import loop, rotations
from solver_core.checks import checked_array, checked_kind
from solver_core.errors import ObservationError, SetupError, shown
from solver_core.loop import LoopSettings
from solver_core.options import Options, keyword_options, option
from solver_core.problem import in_parts, take
from solver_core.problems.inverse_kinematics.robots.problem import AT_ONCE, LinkTargets, RobotProblem, damped_steps
from solver_core.problems.inverse_kinematics.robots.robot import FARTHEST, LinkPoses, Robot, offered
from solver_core.solution import Judgement, Verdict

REACHED, REACHED_ANGLE = 1e-3, np.radians(0.5)  # metres and radians: what robots repeat within, with some margin
SETTINGS = LoopSettings(steps=60, halvings=5, converged_energy=1e-7, min_decrease=1e-3)
SIMILAR = 0.15  # of the reach, and in radians three times as much: poses that follow each other in a motion
JUMP = 0.5  # radians, or parts of the reach, by which no joint has to move between such poses
MOST_WAYS = 4  # to reach a motion that are followed
NUM_RANDOM = 2000  # poses among which those near a target are starts
FEW = 0.05  # share of the poses
ABSURD = 10  # times the reach, by which targets are missed that are in another unit
FEW_NOTICES = 3  # that the verdict repeats
UNIT_TOLERANCE = 0.01


@dataclass(frozen=True)
class RobotOptions(Options):
    """What a user may choose about a solve."""

    restarts: int = option(
        16,
        "Restarts",
        "Number of other starts that are tried for poses that are not reached",
        minimum=0,
        maximum=1000,
    )
    seed: int = option(0, "Seed", "Random seed; the same seed gives the same result", minimum=0)


@dataclass(frozen=True, eq=False)
class RobotResult:
    """Joint values (F, D) that put links where they are to be.

    joint_names: (D,) of the values, radians and metres.  link_names: (T,) of the targets.  position_error: (F, T) metres and
    angle_error: (F, T) radians, nan where nothing was given.  is_reached: (F,) within a millimetre and half a degree.
    verdict and explanation: how far the values can be trusted, and why.  seconds: time of the solve.  notices: sentences.
    """

    joint_names: tuple[str, ...]
    joint_values: np.ndarray
    link_names: tuple[str, ...]
    position_error: np.ndarray
    angle_error: np.ndarray
    is_reached: np.ndarray
    verdict: Verdict
    explanation: str
    seconds: float
    notices: tuple[str, ...]


@keyword_options(RobotOptions)
def solve_robot(
    targets: Mapping[str, np.ndarray], robot: Robot, start: np.ndarray | None = None, *, options: RobotOptions
) -> RobotResult:
    """The joint values of a robot whose links are at their targets, within its limits.

    Poses that follow each other closely are a motion, in which joints do not jump; others are solved each for itself.

    Args:
        targets: for each link that has one (F, 3) positions, metres, or (F, 7) positions and wxyz, in the frame of the
            robot's base; nan where not given.
        robot: as read_robot gives it.
        start: (D,) or (F, D) values to start from; None = 0, or the nearest that the limits allow.
        options: the following all at once, instead of as keyword arguments.
        {options}

    Returns:
        RobotResult with the values.

    Raises:
        ObservationError: if the targets cannot be used.
        SetupError: if robot or start cannot be used.
        ConfigError: if an option is out of its range.
    """
    started = time.perf_counter()
    checked_kind(robot, Robot, "robot", "a robot, as read_robot gives it")
    names, observation = _checked_targets(targets, robot)
    problem = RobotProblem(robot, np.array([robot.link_names.index(name) for name in names]))
    x = _solved(problem, observation, _checked_start(start, robot, len(observation.positions)), options)
    x = _without_jumps(problem, observation, x)
    left = problem.residuals(problem.forward(x, np.arange(len(x))), observation)
    position_error = np.where(observation.has_position > 0, np.linalg.norm(left[..., :3], axis=-1), np.nan)
    turned = np.linalg.norm(left[..., 3:], axis=-1) / problem.turn_length
    angle_error = np.where(observation.has_orientation > 0, turned, np.nan)
    is_reached = ~((position_error > REACHED) | (angle_error > REACHED_ANGLE)).any(axis=1)
    judgement = _judge(position_error, angle_error, is_reached, robot)
    seconds = time.perf_counter() - started
    return RobotResult(robot.joint_names, x, names, position_error, angle_error, is_reached, *judgement, seconds, robot.notices)


def _solved(problem: RobotProblem, targets: LinkTargets, x: np.ndarray, options: RobotOptions) -> np.ndarray:
    """(F, D) from starts (F, D); poses that are not reached are tried again from random values whose links come near."""
    x, energy = _descended(problem, targets, x)
    if options.restarts == 0:
        return _wrapped(problem, x)
    bank = problem.manifold.random(np.random.default_rng(options.seed), NUM_RANDOM)
    of_bank = problem.forward(bank, np.arange(NUM_RANDOM))
    for number in range(options.restarts):
        rows = np.flatnonzero(energy > _bound(problem))
        if len(rows) == 0:
            break
        part = take(targets, rows)
        start = bank[_nearest(problem, of_bank, part, number)]
        tried, its_energy = _descended(problem, part, start)
        better = its_energy < energy[rows]
        x[rows[better]], energy[rows[better]] = tried[better], its_energy[better]
    return _wrapped(problem, x)


def _nearest(problem: RobotProblem, poses: LinkPoses, targets: LinkTargets, rank: int) -> np.ndarray:
    """(B,) numbers of those among poses whose links are nearest to the targets, `rank` of them nearer.

    Matrices of rotations differ by the square root of two times the angle, for small angles.
    """
    scale = problem.turn_length / np.sqrt(2)
    links, count = problem.links, len(targets.positions)
    own = np.concatenate([poses.positions[:, links], scale * poses.orientations[:, links].reshape(-1, len(links), 9)], axis=2)
    wanted = np.concatenate([targets.positions, scale * targets.orientations.reshape(count, -1, 9)], axis=2)
    weights = np.repeat(np.stack([targets.has_position, targets.has_orientation], axis=2), (3, 9), axis=2)
    own, wanted, weights = (array.reshape(len(array), -1) for array in (own, wanted, weights))
    found = np.empty(count, int)
    for first in range(0, count, AT_ONCE):
        part = slice(first, first + AT_ONCE)
        squared = weights[part] @ (own**2).T - 2 * (weights[part] * wanted[part]) @ own.T
        found[part] = np.argpartition(squared, rank, axis=1)[:, rank]
    return found


def _bound(problem: RobotProblem) -> float:
    """Energy up to which a pose is surely reached."""
    return 0.1 * min(REACHED, REACHED_ANGLE * problem.turn_length)


def _descended(problem: RobotProblem, targets: LinkTargets, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    solution = loop.solve(problem, in_parts(damped_steps(problem), AT_ONCE), targets, x, SETTINGS)
    return solution.x.copy(), solution.energy.copy()


def _wrapped(problem: RobotProblem, x: np.ndarray) -> np.ndarray:
    """Angles without limits within half a turn of 0."""
    is_free = problem.robot.is_turning & np.isinf(problem.robot.limits).all(axis=1)
    return np.where(is_free, np.arctan2(np.sin(x), np.cos(x)), x)


def _without_jumps(problem: RobotProblem, targets: LinkTargets, x: np.ndarray) -> np.ndarray:
    """(F, D) in which a pose near the one before goes on from its values, if it is reached so.

    The ways to reach poses that are followed are those of the longest stretches; the one with the fewest jumps stays.
    """
    is_near = _is_near(problem, targets)
    x = _unwound(problem, x, is_near)
    jumps = _jumps(problem, x, is_near)
    edges = np.concatenate([[0], jumps + 1, [len(x)]])
    longest = np.argsort(-np.diff(edges), kind="stable")[:MOST_WAYS]
    best = x
    for stretch in longest:
        if len(_jumps(problem, best, is_near)) == 0:
            break
        followed = x.copy()
        frames = [*range(edges[stretch + 1], len(x)), *range(edges[stretch] - 1, -1, -1)]
        for frame in frames:
            before = frame - 1 if frame >= edges[stretch + 1] else frame + 1
            if is_near[min(frame, before)]:
                tried, energy = _descended(problem, take(targets, np.array([frame])), followed[[before]])
                if energy[0] <= _bound(problem):
                    followed[frame] = tried[0]
        followed = _unwound(problem, followed, is_near)
        if len(_jumps(problem, followed, is_near)) < len(_jumps(problem, best, is_near)):
            best = followed
    return best


def _jumps(problem: RobotProblem, x: np.ndarray, is_near: np.ndarray) -> np.ndarray:
    """Frames after which a joint moves farther than poses that near ask for."""
    size = np.where(problem.robot.is_turning, 1.0, problem.robot.reach)
    return np.flatnonzero(is_near & (np.abs(np.diff(x, axis=0)) > JUMP * size).any(axis=1))


def _unwound(problem: RobotProblem, x: np.ndarray, is_near: np.ndarray) -> np.ndarray:
    """The same, angles without limits going on over half a turn."""
    is_free = problem.robot.is_turning & np.isinf(problem.robot.limits).all(axis=1)
    turns = np.where(is_near[:, None] & is_free, np.round(np.diff(x, axis=0) / (2 * np.pi)), 0)
    return x - 2 * np.pi * np.concatenate([np.zeros_like(x[:1]), np.cumsum(turns, axis=0)])


def _is_near(problem: RobotProblem, targets: LinkTargets) -> np.ndarray:
    """(F - 1,) whether all targets of two frames are near each other."""
    far = np.linalg.norm(np.diff(targets.positions, axis=0), axis=-1) > SIMILAR * problem.robot.reach
    turn = targets.orientations[1:] @ targets.orientations[:-1].swapaxes(2, 3)
    angle = np.arccos(np.clip((np.trace(turn, axis1=2, axis2=3) - 1) / 2, -1, 1))
    is_position = (targets.has_position[1:] > 0) & (targets.has_position[:-1] > 0)
    is_turn = (targets.has_orientation[1:] > 0) & (targets.has_orientation[:-1] > 0)
    return ~((far & is_position) | ((angle > 3 * SIMILAR) & is_turn)).any(axis=1)


def _judge(position_error: np.ndarray, angle_error: np.ndarray, is_reached: np.ndarray, robot: Robot) -> Judgement:
    count, num_reached = len(is_reached), int(is_reached.sum())
    worst = [1000 * np.nanmax(position_error, initial=0), np.degrees(np.nanmax(angle_error, initial=0))]
    off = f"at worst {worst[0]:.3g} mm and {worst[1]:.3g} degrees off."
    noted = f" Note: {'; '.join(robot.notices[:FEW_NOTICES])}." if robot.notices else ""
    if num_reached == count:
        return Judgement(Verdict.GOOD, f"The links are at their targets, {off}{noted}")
    verdict = Verdict.DOUBTFUL if num_reached >= (1 - FEW) * count else Verdict.BAD
    advice = "Check that they are within reach and limits, in metres, and in the frame of the base."
    if worst[0] > 1000 * ABSURD * robot.reach:
        advice = f"The robot reaches {robot.reach:.3g} m: are the targets in millimetres (--unit mm)?"
    missed = f"{count - num_reached} of {count} poses are not reached within 1 mm and 0.5 degrees, {off}"
    return Judgement(verdict, f"{missed} {advice}{noted}")


def _checked_start(start: np.ndarray | None, robot: Robot, count: int) -> np.ndarray:
    """(F, D)."""
    dim = len(robot.joint_names)
    values = np.zeros(dim) if start is None else checked_array(start, "start", f"({count}, {dim})").astype(np.float64)
    if values.shape not in ((dim,), (count, dim)) or not np.isfinite(values).all():
        raise SetupError(f"start must be finite values of shape ({dim},) or ({count}, {dim}), one a joint, got {values.shape}")
    return np.clip(np.broadcast_to(values, (count, dim)), *robot.limits.T)


def _checked_targets(targets: Mapping[str, np.ndarray], robot: Robot) -> tuple[tuple[str, ...], LinkTargets]:
    checked_kind(targets, Mapping, "targets", "a dictionary of links and their targets", ObservationError)
    if not targets:
        raise ObservationError(f"targets name no link; the robot has {', '.join(robot.link_names[-5:])}")
    arrays = []
    for name, given in targets.items():
        if not isinstance(name, str) or name not in robot.link_names:
            raise SetupError(
                f"targets name {shown(name)}, a link that the robot does not have{offered(str(name), robot.link_names)}"
            )
        array = checked_array(given, f"the targets of {name!r}", "(F, 3) or (F, 7)", ObservationError).astype(np.float64)
        array = array[None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] not in (3, 7):
            raise ObservationError(
                f"the targets of {shown(name)} must be (F, 3) positions or (F, 7) positions and wxyz, got {array.shape}"
            )
        arrays.append(np.pad(array, ((0, 0), (0, 7 - array.shape[1])), constant_values=np.nan))
    if len({len(array) for array in arrays}) > 1 or len(arrays[0]) == 0:
        raise ObservationError(f"all links need targets for the same frames, got {[len(array) for array in arrays]}")
    every = np.stack(arrays, axis=1)  # (F, T, 7)
    for what, parts in (("position", every[..., :3]), ("orientation", every[..., 3:])):
        is_missing = np.isnan(parts)
        wrong = {
            f"lacks some of its {parts.shape[-1]} numbers": is_missing.any(axis=-1) & ~is_missing.all(axis=-1),
            f"is infinite, or beyond {FARTHEST:g}": (np.abs(parts) > FARTHEST).any(axis=-1),
        }
        for reason, where in wrong.items():
            if where.any():
                frame, link = np.argwhere(where)[0]
                raise ObservationError(f"the {what} of {list(targets)[link]!r} in frame {frame} {reason}")
    has_position, has_orientation = np.isfinite(every[..., :3]).all(axis=-1), np.isfinite(every[..., 3:]).all(axis=-1)
    if not (has_position | has_orientation).any(axis=1).all():
        frame = int(np.argmin((has_position | has_orientation).any(axis=1)))
        raise ObservationError(f"frame {frame} has no target at all; give one or leave the frame out")
    wxyz = np.where(has_orientation[..., None], every[..., 3:], [1.0, 0, 0, 0])
    lengths = np.linalg.norm(wxyz, axis=-1, keepdims=True)
    if (abs(lengths - 1) > UNIT_TOLERANCE).any():
        raise ObservationError("targets must hold unit quaternions, wxyz, after the positions")
    return tuple(targets), LinkTargets(
        np.where(has_position[..., None], every[..., :3], 0),
        rotations.matrix_from_wxyz(wxyz / lengths),
        has_position.astype(float),
        has_orientation.astype(float),
    )
