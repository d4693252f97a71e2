# SPDX-License-Identifier: Apache-2.0
"""The poses of a finished shot smoothed both ways, as a Kalman filter and the smoother of Rauch, Tung and Striebel do.

An object goes on as it moved, but for small changes.  A pose that was found counts by its covariance; how noisy poses are and
how much the motion changes from frame to frame is what makes the poses of the shot likeliest.  An outlier does not count, nor
do poses of lost frames: they get what lies between the frames around them.  Only where a pose is doubtful and the object may
well have been there, by the frames around it, it counts after all, and stays doubtful.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from solver_core.errors import ObservationError
from solver_core.manifolds import SE3
from solver_core.problems.pose.confidence import HALF_TURN_DEG, NORMAL_90, PoseInterval
from solver_core.problems.pose.evidence import spreads
from solver_core.problems.pose.symmetry import Symmetries, find_symmetries
from solver_core.problems.pose.track import TrackedPose
from solver_core.problems.pose.verdict import Judgement, judge_apart, judge_filled, judge_moved, judge_outlier
from solver_core.solution import Verdict

SPACE = SE3()
ROUNDS = 2  # of smoothing, each about the poses of the one before
PARTS = (slice(0, 3), slice(3, 5), slice(5, 6))  # of a step, that have noise and changes of motion of their own
NOISE_FACTORS = np.geomspace(1e-3, 1.0, 13)  # on the standard deviations that poses come with, which are on the safe side
CHANGES = np.geomspace(1e-5, 0.3, 19)  # of the motion, radians and shares a frame
PROVEN = 4.0  # of minus twice the log likelihood: two standard deviations
UNKNOWN_VARIANCE = 1e3  # of where a shot begins, and how it moves there
LEAST_VARIANCE = 1e-14  # of a pose
JUMP, JUMPS_BY = 0.15, 8.0  # radians and shares, and times what is usual in the shot: an object that moves so is not followed
AWAY_BY = 4.0  # as JUMPS_BY, of outliers, which also come back
ROUGH_BY = 2.0  # times as far as the motions beside an outlier are off each other
STANDS_OUT_BY = 3.0  # times as far as the object moves in a frame: so far is an outlier off that nothing else shows
BESIDE = 3  # frames to each side that tell how an object moves
EVEN_ODDS = 0.5  # confidence in a pose at an end of the shot: it is wrong, or the object jumped
FEW = 4  # frames, after which the object goes on as before, are outliers; more of them are a motion
GONE = 0.5  # of the way between the frames around a gap: so far may the object be from where it is taken to be
TURNED_ROUND = 0.75 * np.pi  # radians; who turns so far in a gap, or nearly so, may have turned the other way
MOVED_BY = 2.0  # intervals: a pose that is moved by more does not go with those around it


class Path(NamedTuple):
    """Poses (F, 7) smoothed, and covariances (F, 6, 6) of steps from them."""

    poses: np.ndarray
    covariances: np.ndarray


def smooth_poses(results: Iterable[TrackedPose]) -> list[TrackedPose]:
    """The poses of a finished shot, smoothed over time; lost frames get what lies between the frames around them.

    A lost frame that is doubtful, not bad, and whose pose lies where the object may have gone meanwhile keeps it, smoothed.

    How much is smoothed follows from the shot: as much as its poses jitter, and no more than the object's motion changes.
    Where the object jumps, each side is smoothed alone; a few frames elsewhere, after which it goes on as before, are outliers.
    Of poses that look the same, by the symmetries of the mesh, each frame takes the one that goes on the motion.

    Args:
        results: of track_pose, one frame after the other, two at least.

    Returns:
        The same frames with other poses.  A filled one is lost, its is_filled is true and its confidence 0; interval and
        covariance tell how far the object may have gone meanwhile: half of the way between the frames around, or more, and up
        to 180 degrees if it turns fast.  Other frames keep theirs, and each its iou, which is of the pose that was found.  One
        that does not go with those around it is doubtful, and so are a few at an end of the shot that are far from the others;
        an outlier is filled as well.

    Raises:
        ObservationError: if they are not that, are of several objects or no finite numbers, or all frames are lost.

    Rauch, Tung and Striebel 1965.
    """
    found = _checked(results)
    is_lost = np.array([one.lost for one in found])
    setup = found[0].setup
    symmetries = find_symmetries(setup.mesh)
    poses = np.stack([setup.unit_pose(one.camera_from_object) for one in found])
    covariances = np.stack([one.covariance for one in found])
    are_outliers, are_doubtful = _are_outliers(poses, ~is_lost, symmetries)
    is_known = ~is_lost & ~are_outliers
    poses = _nearest_twins(poses, is_known, symmetries)
    path = smoothed(poses, covariances, is_known)
    known = np.flatnonzero(is_known)
    doubtful = np.array([one.verdict is Verdict.DOUBTFUL for one in found])
    poses, are_borne_out = _borne_out(poses, covariances, path, is_lost & doubtful, is_known, symmetries)
    if are_borne_out.any():
        is_known |= are_borne_out
        path = smoothed(poses, covariances, is_known)
    answers = []
    for number, (one, pose, covariance) in enumerate(zip(found, *path, strict=True)):
        moved = replace(one, camera_from_object=setup.user_matrix(pose))
        if is_known[number]:
            turn_deg = float(np.degrees(np.linalg.norm(SPACE.difference(poses[number][None], pose[None])[0, :3])))
            answers.append(_doubted(moved) if are_doubtful[number] else _judged(moved, turn_deg))
        else:
            beside = covariances[known[np.argmin(np.abs(known - number))]]
            judgement = judge_filled(bool(known[0] < number < known[-1])) if is_lost[number] else judge_outlier()
            answers.append(_filled(moved, pose, covariance + beside, judgement))
    return answers


def _checked(results: Iterable[TrackedPose]) -> list[TrackedPose]:
    """The frames of a shot of one object.  Raises ObservationError."""
    found = list(results) if isinstance(results, Iterable) else []
    if len(found) < 2 or not all(isinstance(one, TrackedPose) for one in found):
        raise ObservationError("smoothing takes what track_pose gives for the frames of a shot, two at least")
    if any(after.frame != before.frame + 1 for before, after in pairwise(found)):
        raise ObservationError("smoothing takes frames one after the other; give all of the shot, also those that are lost")
    if all(one.lost for one in found):
        raise ObservationError("the object is lost in every frame, so there is nothing to smooth")
    for one in found:
        if not found[0].setup.has_mesh_of(one.setup):
            raise ObservationError(
                f"frame {one.frame} is of another object than frame {found[0].frame}; smooth each shot alone"
            )
        if not (np.isfinite(one.camera_from_object).all() and (one.lost or np.isfinite(one.covariance).all())):
            raise ObservationError(f"pose and covariance of frame {one.frame} must be finite numbers, unless it is lost")
    return found


def _borne_out(
    poses: np.ndarray,
    covariances: np.ndarray,
    path: Path,
    is_doubtful: np.ndarray,
    is_known: np.ndarray,
    symmetries: Symmetries,
) -> tuple[np.ndarray, np.ndarray]:
    """Poses (F, 7) with the twins that go with a path, and which doubtful ones (F,) lie where the object may have gone."""
    poses, are_borne_out = poses.copy(), np.zeros(len(poses), bool)
    for number in np.flatnonzero(is_doubtful & np.isfinite(covariances).all(axis=(1, 2))):
        about = path.poses[number]
        poses[number] = symmetries.nearest(poses[number], about[:4])
        are_borne_out[number] = _is_within(_interval(path.covariances[number], about, symmetries), about, poses[number])
    are_outliers, _ = _are_outliers(poses, is_known | are_borne_out, symmetries)
    return poses, are_borne_out & ~are_outliers


def _judged(result: TrackedPose, turn_deg: float) -> TrackedPose:
    """A frame whose pose was turned by so much."""
    if turn_deg <= MOVED_BY * result.interval.rotation_deg:
        return result
    return replace(result, **judge_moved(turn_deg)._asdict(), lost=True)


def _doubted(result: TrackedPose) -> TrackedPose:
    """A frame whose pose may be an outlier."""
    return replace(result, **judge_apart()._asdict(), lost=True, confidence=min(result.confidence, EVEN_ODDS))


def _filled(result: TrackedPose, pose: np.ndarray, covariance: np.ndarray, judgement: Judgement) -> TrackedPose:
    """A frame whose pose was not found, with what is known of its pose (7,) of the unit mesh."""
    interval = _interval(covariance, pose, find_symmetries(result.setup.mesh))
    return replace(
        result,
        **judgement._asdict(),
        lost=True,
        confidence=0.0,
        interval=interval.in_unit(result.setup.diagonal),
        covariance=covariance,
        is_filled=True,
    )


def _interval(covariance: np.ndarray, pose: np.ndarray, symmetries: Symmetries) -> PoseInterval:
    """In diagonals, of a covariance (6, 6) of steps from a pose (7,) of the unit mesh."""
    rotation_deg, across, along = (NORMAL_90 * part for part in spreads(covariance, pose, symmetries))
    return PoseInterval(min(rotation_deg, HALF_TURN_DEG), across, along)


def _is_within(interval: PoseInterval, about: np.ndarray, pose: np.ndarray) -> bool:
    """Whether a pose (7,) lies in the interval around another."""
    step = SPACE.difference(about[None], pose[None])[0]
    turn, across, along = (float(np.linalg.norm(step[part])) for part in PARTS)
    return bool((np.array([np.degrees(turn), -about[6] * across, -about[6] * along]) <= interval).all())


def smoothed(poses: np.ndarray, covariances: np.ndarray, is_known: np.ndarray) -> Path:
    """Poses (F, 7) of frames one after the other, with covariances (F, 6, 6) of steps from them, where they are known (F,)."""
    poses = _between(poses, is_known)
    variances = np.where(is_known[:, None, None], covariances, 0.0) + LEAST_VARIANCE * np.eye(6)
    known = np.flatnonzero(is_known)
    begins = known[_after_jumps(poses[known], known)].tolist()
    begins[0] = 0
    noise, change = _fitted(poses, variances, is_known, begins)
    smooth, certain = poses.copy(), np.empty_like(variances)
    for first, end in zip(begins, [*begins[1:], len(poses)], strict=True):
        run = slice(first, end)
        for _ in range(ROUNDS):
            about = smooth[run]
            motion = SPACE.difference(about[:-1], about[1:])
            found = SPACE.difference(about, poses[run])
            steps, certain[run] = _both_ways(motion, found, noise * variances[run] * noise[:, None], change, is_known[run])
            smooth[run] = SPACE.retract(about, steps)
    return _across_gaps(Path(smooth, certain), is_known, begins)


def _across_gaps(path: Path, is_known: np.ndarray, begins: list[int]) -> Path:
    """A path whose covariances tell where the object may have gone in gaps; where it jumped in one, it moves on evenly."""
    speeds = np.linalg.norm(SPACE.difference(path.poses[:-1], path.poses[1:])[:, :3], axis=1)
    speeds[np.array(begins[1:], int) - 1] = 0.0
    speeds = np.r_[0.0, speeds, 0.0]  # of turning, before each frame and after the last
    poses, covariances = path.poses.copy(), path.covariances.copy()
    known = np.flatnonzero(is_known)
    for number in np.flatnonzero(~is_known):
        place = int(np.searchsorted(known, number))
        ends = known[max(place - 1, 0) : place + 1]
        reach = GONE
        if len(ends) == 1:  # it goes on from the only end
            before, after = (ends[0], number) if ends[0] < number else (number, ends[0])
        else:
            before, after = ends
            if after in begins:
                share = (number - before) / (after - before)
                poses[number] = SPACE.retract(poses[before], share * SPACE.difference(poses[before], poses[after]))
                covariances[number] = covariances[before] + covariances[after]
                reach = max(share, 1 - share)
        way = reach / NORMAL_90 * SPACE.difference(poses[before], poses[after])
        covariances[number] += np.outer(way, way)
        if max(speeds[before], speeds[after + 1]) * (after - before) > TURNED_ROUND:
            covariances[number, :3, :3] += (np.pi / NORMAL_90) ** 2 * np.eye(3)
    return Path(poses, covariances)


def _nearest_twins(poses: np.ndarray, is_known: np.ndarray, symmetries: Symmetries) -> np.ndarray:
    """Poses (F, 7) where a known one is, of those that look like it, the nearest to where the known ones before it lead."""
    if not symmetries.is_any:
        return poses
    poses = poses.copy()
    motions = [np.zeros(6)]  # a frame
    for before, number in pairwise(np.flatnonzero(is_known)):
        led = SPACE.retract(poses[before], (number - before) * np.median(motions[-2 * BESIDE :], axis=0))
        poses[number] = symmetries.nearest(poses[number], led[:4])
        motions.append(SPACE.difference(poses[before], poses[number]) / (number - before))
    return poses


def _are_outliers(poses: np.ndarray, is_known: np.ndarray, symmetries: Symmetries) -> tuple[np.ndarray, np.ndarray]:
    """(F,) whether a known pose is an outlier, and whether it may be one, at an end of the shot, where nothing proves it.

    Outliers are a few poses that none of the motions around them leads to: the one before gone on, the one after gone back, or
    an even one between.  So an object that turns back, stops or starts has none.
    """
    kept, length = np.flatnonzero(is_known), 1
    followed = _nearest_twins(poses, is_known, symmetries)
    are_outliers, are_doubtful = np.zeros((2, len(poses)), bool)
    while length <= FEW:  # those found are no longer measured against, lest right poses beside them seem wrong
        strays = _strays(followed[kept], kept, length)
        at_ends = np.flatnonzero(strays.stand_out[[0, -1]]) * (len(kept) - length)
        within = np.flatnonzero(strays.are_off[1:-1]) + 1
        firsts, marked = (at_ends, are_doubtful) if len(at_ends) else (within, are_outliers)
        found = np.unique(firsts[:, None] + np.arange(length))
        marked[kept[found]] = True
        kept = np.delete(kept, found)
        length = 1 if len(found) else length + 1
    return are_outliers, are_doubtful


class _Strays(NamedTuple):
    """(W,) whether none of the motions around leads to a run of poses, and whether those move far less than it is off, too."""

    are_off: np.ndarray
    stand_out: np.ndarray


def _strays(poses: np.ndarray, numbers: np.ndarray, length: int) -> _Strays:
    """Which runs of that length of poses (K, 7) of frames (K,), from the first, the second and so on, are strays."""
    last = len(poses) - 1
    firsts = np.arange(len(poses) - length + 1)
    if last < length + BESIDE:  # too few others tell how the object moves
        return _Strays(*np.zeros((2, max(len(firsts), 2)), bool))
    before, after = firsts - 1, firsts + length
    rates = SPACE.difference(poses[:-1], poses[1:]) / np.diff(numbers)[:, None]
    steps = np.arange(BESIDE)
    places = np.concatenate([before[:, None] - 1 - steps, after[:, None] + steps], axis=1)
    is_there = (places >= 0) & (places < last)
    beside = np.where(is_there[..., None], rates[places.clip(0, last - 1)], np.nan)
    course = np.nanmedian(beside, axis=1)
    rough = np.nanmedian(np.linalg.norm(beside - course[:, None], axis=2), axis=1)
    speed = np.nanmedian(np.linalg.norm(beside, axis=2), axis=1)
    farther = np.where(before < 1, after, before - 1).clip(max=last)
    beyond = np.where(after < last, after + 1, before).clip(min=0)
    before, after = np.where(before < 0, after, before), np.where(after > last, before, after)
    leaving = np.where(is_there[:, :1], beside[:, 0], course)
    coming = np.where(is_there[:, [BESIDE]], beside[:, BESIDE], course)
    spans = np.maximum(numbers[after] - numbers[before], 1)
    even = SPACE.difference(poses[before], poses[after]) / spans[:, None]
    led_by = [(before, leaving), (after, coming), (before, even)]
    led_by += [(base, course) for base in (before, farther, after, beyond)]
    off = np.full((len(firsts), length), np.inf)
    for base, rate in led_by:
        for place in range(length):
            frames = firsts + place
            led = SPACE.retract(poses[base], (numbers[frames] - numbers[base])[:, None] * rate)
            off[:, place] = np.minimum(off[:, place], np.linalg.norm(SPACE.difference(led, poses[frames]), axis=1))
    least = off.min(axis=1)
    limit = np.maximum(max(JUMP, AWAY_BY * float(np.median(least))), ROUGH_BY * rough)
    inner = [np.linalg.norm(rates[firsts + place], axis=1) for place in range(length - 1)]
    are_off = least > limit * np.sqrt(np.maximum(spans, length))
    return _Strays(are_off, are_off & (least > STANDS_OUT_BY * np.max([speed, *inner], axis=0)))


def _between(poses: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Poses (F, 7) where those not known are evenly between the ones around them, or as the first or last known one."""
    known = np.flatnonzero(is_known)
    numbers = np.arange(len(poses))
    after = known[np.searchsorted(known, numbers).clip(max=len(known) - 1)]
    before = known[(np.searchsorted(known, numbers, side="right") - 1).clip(min=0)]
    share = (numbers - before) / np.maximum(after - before, 1)
    steps = SPACE.difference(poses[before], poses[after])
    return SPACE.retract(poses[before], share.clip(0, 1)[:, None] * steps)


def _after_jumps(poses: np.ndarray, numbers: np.ndarray) -> list[int]:
    """Which of poses (K, 7) of frames (K,) a motion begins with: the first, and those after a jump of the object."""
    if len(poses) < 2:
        return [0]
    lengths = np.diff(numbers)
    off_course = _off_course(SPACE.difference(poses[:-1], poses[1:]) / lengths[:, None])
    limit = max(JUMP, JUMPS_BY * float(np.median(off_course)))
    return [0, *(np.flatnonzero(off_course * lengths > limit * np.sqrt(lengths)) + 1).tolist()]


def _off_course(rates: np.ndarray) -> np.ndarray:
    """(K,) how far each of motions (K, 6) is from those beside it."""
    courses = [_course(rates, number, number + 1) for number in range(len(rates))]
    return np.linalg.norm(rates - np.reshape(courses, rates.shape), axis=1)


def _course(rates: np.ndarray, first: int, end: int) -> np.ndarray:
    """(6,) what motions (K, 6) beside those from first to before end tell of them."""
    beside = np.concatenate([rates[max(first - BESIDE, 0) : first], rates[end : end + BESIDE]])
    return np.median(beside, axis=0) if len(beside) else np.zeros(6)


def _fitted(poses: np.ndarray, variances: np.ndarray, is_known: np.ndarray, begins: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """(6,) factors on the standard deviations of poses, and (6,) variances of how the motion changes from frame to frame.

    They make the poses likeliest, each coordinate of a step taken on its own; of noise there is no more than is proven.
    """
    single = 1 / np.diagonal(np.linalg.inv(variances), axis1=1, axis2=2)  # (F, 6) if the other coordinates were known
    motion = SPACE.difference(poses[:-1], poses[1:])
    factors, changes = (grid.ravel() for grid in np.meshgrid(NOISE_FACTORS, CHANGES))
    cost = np.zeros((len(factors), 6))
    for first, end in zip(begins, [*begins[1:], len(poses)], strict=True):
        run = slice(first, end)
        cost += _cost(motion[first : end - 1], single[run], is_known[run], factors[:, None] ** 2, changes[:, None] ** 2)
    noise, change = np.empty(6), np.empty(6)
    for part in PARTS:
        costs = cost[:, part].sum(axis=1)
        best = min(np.flatnonzero(costs <= costs.min() + PROVEN), key=lambda one: (factors[one], costs[one]))
        noise[part], change[part] = factors[best], changes[best] ** 2
    return noise, change


def _cost(motion: np.ndarray, variances: np.ndarray, is_known: np.ndarray, noise: np.ndarray, change: np.ndarray) -> np.ndarray:
    """(C, 6) minus twice the log likelihood of a motion (F - 1, 6), of candidates (C, 1) of two factors, by a Kalman filter."""
    shape = len(noise), variances.shape[1]
    place, speed = np.zeros(shape), np.zeros(shape)
    of_place, both, of_speed = np.full(shape, UNKNOWN_VARIANCE), np.zeros(shape), np.full(shape, UNKNOWN_VARIANCE)
    cost, seen = np.zeros(shape), 0
    for frame, variance in enumerate(variances):
        if frame > 0:
            place = place + speed - motion[frame - 1]
            of_place, both, of_speed = of_place + 2 * both + of_speed, both + of_speed, of_speed + change
        if not is_known[frame]:
            continue
        total = of_place + noise * variance
        if seen >= 2:  # place and speed follow from two
            cost += np.log(total) + place**2 / total
        seen += 1
        place, speed = place - of_place / total * place, speed - both / total * place
        of_speed, both, of_place = of_speed - both**2 / total, both - of_place * both / total, of_place - of_place**2 / total
    return cost


def _both_ways(
    motion: np.ndarray, found: np.ndarray, variances: np.ndarray, change: np.ndarray, is_known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(F, 6) steps from poses that move by (F - 1, 6) to smooth ones, and their covariances (F, 6, 6).

    found: (F, 6) steps to the poses that were found, of variances (F, 6, 6), where they are known (F,).  change: (6,) variances
    of how the motion changes.
    """
    move = np.eye(12)
    move[:6, 6:] = np.eye(6)
    grown = np.diag(np.r_[np.zeros(6), change])
    state, spread = np.zeros(12), np.eye(12) * UNKNOWN_VARIANCE
    ahead, filtered = [], []
    for frame in range(len(found)):
        if frame > 0:
            state, spread = move @ state, move @ spread @ move.T + grown
            state[:6] -= motion[frame - 1]
        ahead.append((state, spread))
        if is_known[frame]:
            gain = np.linalg.solve(spread[:6, :6] + variances[frame], spread[:6]).T  # (12, 6)
            kept = np.eye(12)
            kept[:, :6] -= gain
            state = state + gain @ (found[frame] - state[:6])
            spread = kept @ spread @ kept.T + gain @ variances[frame] @ gain.T  # Joseph's form, which stays positive
        filtered.append((state, spread))
    steps, certain = np.empty((len(found), 6)), np.empty((len(found), 6, 6))
    for frame in reversed(range(len(found))):
        if frame + 1 < len(found):
            (now, its), (next_, next_its) = filtered[frame], ahead[frame + 1]
            back = np.linalg.solve(next_its, move @ its).T
            state, spread = now + back @ (state - next_), its + back @ (spread - next_its) @ back.T
        steps[frame], certain[frame] = state[:6], spread[:6, :6]
    return steps, certain
