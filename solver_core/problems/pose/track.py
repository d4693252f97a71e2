# SPDX-License-Identifier: Apache-2.0
"""The pose of an object in every frame of a shot.

A frame takes the pose of the one before, moved on as it moved last, to where the outline fits (follow.py).  Where the outline
tells that this went wrong, the full solver looks for the object anew.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from solver_core import render
from solver_core.checks import checked_camera
from solver_core.errors import ObservationError
from solver_core.frames import Camera, matrix_from_pose
from solver_core.manifolds import SE3
from solver_core.mesh import UnitMesh
from solver_core.options import keyword_options
from solver_core.problems.pose.confidence import HALF_TURN_DEG, PoseInterval, calibrated
from solver_core.problems.pose.follow import Follower
from solver_core.problems.pose.setup import UP_AXES, PoseSetup, checked_focal_range, checked_start, checked_up
from solver_core.problems.pose.shot_focal import ShotFocal, shot_focal, spread_frames
from solver_core.problems.pose.shots import Part, Shot, shot_of
from solver_core.problems.pose.solve import PoseOptions, PoseSolution
from solver_core.problems.pose.verdict import judge_after_loss, judge_leap, judge_out_of_view
from solver_core.solution import Verdict

USUAL_FRAMES = 25  # before this one, whose median says how well outlines are told in this shot
SURE_AGAIN = 0.98  # probability of being right that makes a followed pose good whose last one is not
UNPROVEN = 0.8  # the most that the others count for
LEAP = 0.1  # diagonals: an object that is so much nearer or farther than expected is most likely hidden in part
REACH_DEG = 60.0  # an object that may have turned by more while it was lost may be found in another pose that looks alike
WORSE = 3.0  # times as far off as outlines usually are in this shot: even a good pose is then looked for anew
CLEARLY = 0.8  # of the energy: a pose that was looked for anew must fit so much better
REPAIR_FRAMES = 5  # a pose that stays doubtful is looked for anew once in so many frames
UNKNOWN_INTERVAL = PoseInterval(HALF_TURN_DEG, np.inf, np.inf)
GOES_ON = 0.9  # share of the last motion that the next one is taken to have


@dataclass(frozen=True)
class TrackedPose:
    """The pose in one frame of a shot.

    frame: its number, from 0 on.  camera_from_object: (4, 4).  verdict, explanation, confidence, interval, covariance and
    iou: as of a PoseSolution.  lost: whether the object may be elsewhere; the pose is then the best guess.  is_repaired:
    whether the full solver found it anew.  seconds: that the frame took.  setup: mesh and camera,
    with the focal length that was found if none was known.  is_filled: whether the pose is not found but what lies between
    other frames, as smooth_poses gives it.  fx_range: that holds the focal length nine times in ten, where it was not known.
    """

    frame: int
    camera_from_object: np.ndarray
    verdict: Verdict
    explanation: str
    confidence: float
    interval: PoseInterval
    covariance: np.ndarray
    iou: float
    lost: bool
    is_repaired: bool
    seconds: float
    setup: PoseSetup = field(repr=False)
    is_filled: bool = False
    fx_range: tuple[float, float] | None = None

    @functools.cached_property
    def mask(self) -> np.ndarray:
        """(H, W) bool where the object is by its pose, also where something hides it."""
        camera, pose = self.setup.camera, matrix_from_pose(self.setup.unit_pose(self.camera_from_object))
        depth = render.render_depth([self.setup.mesh], pose[None], camera.intrinsics[None], camera.height, camera.width)
        return np.isfinite(depth[0])


class _Found(NamedTuple):
    """A pose (7,) of the unit mesh in one frame, and the rest as in TrackedPose.  energy: how badly it fits the frame.
    offset: as Evidence.offset, where it was followed.  seen: where it is, as Shot.learn takes it.
    """

    pose: np.ndarray
    verdict: Verdict
    explanation: str
    confidence: float
    interval: PoseInterval
    covariance: np.ndarray
    iou: float
    energy: float
    offset: float | None
    seen: tuple[Part, int, np.ndarray] | None


@keyword_options(PoseOptions)
def track_pose(
    frames: Iterable[np.ndarray],
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    start: np.ndarray | None = None,
    up: str = UP_AXES[0],
    focal_range: tuple[float, float] | None = None,
    *,
    options: PoseOptions,
) -> Iterator[TrackedPose]:
    """Poses of a known object in the frames of a shot, one after the other, each from the one before.

    Args:
        frames: masks (H, W), bool or float coverage in [0, 1], or photographs (H, W, 3) sRGB, uint8 or float in [0, 1], as a
            list, or as an iterator that reads one when it is asked; the first shows the object.  Colours of photographs are
            learned on the way.
        vertices: (V, 3) in any unit of length.
        faces: (F, 3) int, indices into vertices.
        camera: of the frames' size; the distortion of its lens is taken out of them.
        start: (4, 4) camera_from_object in the first frame, as solve_pose takes it; None tries views from around, in
            masks.
        up: which axis of the mesh points up, where there is no start, as solve_pose takes it.
        focal_range: lowest and highest focal length (fx) in pixels, where that of the camera is not known, of masks.  It is
            found before all else and kept: of a list, in six frames spread over it; of an iterator, whose later frames are not
            there yet, in the first frame alone, which tells much less.  Results say by how much it may be off.
        options: of the full solver, all at once, instead of as keyword arguments.
        {options}

    Returns:
        An iterator over a TrackedPose for each frame; it solves a frame when it is asked for it.

    Raises:
        SetupError: if mesh, camera or start cannot be used.
        ConfigError: if an option is out of its range.
        WeightsError: if the weights are no networks for this.
        ObservationError: from the iterator, if there are no frames, the first shows no object, or one is no mask or
            photograph, or has another size than the camera.
    """
    setup = checked_setup(vertices, faces, camera, start, up, focal_range)
    if not isinstance(frames, Iterable):
        raise ObservationError(f"frames must be masks or photographs one after the other, got {type(frames).__name__}")
    return _tracked(frames, camera, setup, options)


def checked_setup(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: Camera,
    start: np.ndarray | None,
    up: str,
    focal_range: tuple[float, float] | None,
) -> PoseSetup:
    """What frames are solved with, from a user's arrays; it has no mask.  Raises SetupError."""
    mesh, centre, diagonal = UnitMesh.checked(vertices, faces)
    start = None if start is None else checked_start(start, centre, diagonal)
    focal_range = None if focal_range is None else checked_focal_range(focal_range)
    nothing = np.zeros((checked_camera(camera).height, camera.width), np.float32)
    return PoseSetup(nothing, None, mesh, centre, diagonal, camera.pinhole, start, checked_up(up), focal_range)


def _tracked(frames: Iterable[np.ndarray], camera: Camera, setup: PoseSetup, options: PoseOptions) -> Iterator[TrackedPose]:
    tracker: Tracker | None = None
    focal: ShotFocal | None = None
    if setup.focal_range is not None and isinstance(frames, Sequence) and len(frames) > 0:
        shot = shot_of(frames[0], setup, camera, options)
        focal = focal_of_masks(shot, setup, spread_frames(len(frames)), frames.__getitem__)
        camera = camera.with_focal(focal.fx)
        setup = replace(setup, camera=camera.pinhole, focal_range=None)
    for number, frame in enumerate(frames):
        tracker = tracker or Tracker(setup, shot_of(frame, setup, camera, options), focal)
        yield tracker.track(number, tracker.shot.checked(frame, number))
    if tracker is None:
        raise ObservationError("there are no frames; give masks or photographs of the object, at least one")


def focal_of_masks(shot: Shot, setup: PoseSetup, numbers: list[int], frame_of: Callable[[int], Any]) -> ShotFocal:
    """The focal length that frames of a shot agree on, read by number; the first is solved from the setup's start."""

    def solve(number: int) -> PoseSolution:
        start = setup.start if number == 0 else None
        return shot.solve(shot.checked(frame_of(number), number), start)

    return shot_focal(numbers, solve)


class Tracker:
    """What is known between two frames of a shot: the last pose, how the object moved, and how well outlines are told."""

    def __init__(self, setup: PoseSetup, shot: Shot, focal: ShotFocal | None = None) -> None:
        self.setup, self.shot = setup, shot
        self.fx_range = None if focal is None else (focal.low, focal.high)
        self.follower = Follower(setup.mesh)
        self.last: np.ndarray | None = None if setup.start is None else setup.unit_pose(setup.start)
        self.motion = np.zeros((1, 6))
        self.offsets: deque[float] = deque(maxlen=USUAL_FRAMES)
        self.surest = 1.0  # probability that the last pose is right that was found by the full solver
        self.num_lost = 0  # frames in a row up to the last one that are not good
        self.pace_deg = 0.0  # by which the object turned a frame, when that was last known
        self.last_repair = -REPAIR_FRAMES
        self.does_solving_pay = True  # whether the last frame that was solved anew came out good

    def track(self, number: int, frame: np.ndarray) -> TrackedPose:
        """The pose in the next frame.  Raises ObservationError if it is the first and shows no object."""
        began = time.perf_counter()
        found = self._solved(frame) if number == 0 else self._followed(frame)
        is_repaired = False
        if number > 0 and self._is_due(found, number):
            repaired = self._repaired(number, frame)
            if repaired is not None and (found is None or self._is_better(repaired, found)):
                found, is_repaired = repaired, True
        if found is None:
            found = self._moved_on()
        elif found.verdict is Verdict.GOOD and self._is_unproven(found, is_repaired):
            found = found._replace(**judge_after_loss(found.iou)._asdict(), confidence=UNPROVEN)
        if is_repaired or number == 0:
            self.surest = found.confidence
        if number == self.last_repair:
            self.does_solving_pay = is_repaired and found.verdict is Verdict.GOOD
        self._remember(frame, found, is_repaired or number == 0)
        explanation, interval = found.explanation, found.interval
        if self.fx_range is not None:
            log_range = math.log(self.fx_range[1] / self.fx_range[0]) / 2
            explanation += f" The focal length may be off by {math.expm1(log_range):.1%}, and the distance with it."
            interval = interval.with_focal_unknown(self.setup.diagonal * found.pose, log_range)
        return TrackedPose(
            frame=number,
            camera_from_object=self.setup.user_matrix(found.pose),
            verdict=found.verdict,
            explanation=explanation,
            confidence=found.confidence,
            interval=interval,
            covariance=found.covariance,
            iou=found.iou,
            lost=found.verdict is not Verdict.GOOD,
            is_repaired=is_repaired,
            seconds=time.perf_counter() - began,
            setup=self.setup,
            fx_range=self.fx_range,
        )

    def memory(self) -> dict[str, np.ndarray]:
        """What the next frame depends on beside mesh, camera and options."""
        assert self.last is not None
        memory = {"last": self.last, "motion": self.motion, "offsets": np.array(self.offsets)}
        memory["solving"] = np.array([self.last_repair, self.does_solving_pay, self.surest, self.num_lost, self.pace_deg])
        return {**memory, **self.shot.memory()}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        """Goes on from the memory that another tracker had after a frame."""
        self.last, self.motion = memory["last"], memory["motion"]
        self.offsets.extend(memory["offsets"].tolist())
        last_repair, does_pay, self.surest, num_lost, self.pace_deg = memory["solving"].tolist()
        self.last_repair, self.does_solving_pay, self.num_lost = int(last_repair), bool(does_pay), int(num_lost)
        self.shot.recall(memory)

    def object_in(self, frame: np.ndarray) -> np.ndarray:
        """(H, W) bool: what of a frame counts as the object around its last pose, by its mask or its colours."""
        is_object = np.zeros((self.setup.camera.height, self.setup.camera.width), bool)
        window = None if self.last is None else self.follower.window(self.setup.camera, self.last)
        if window is not None:
            left, top, width, height = window
            part = slice(top, top + height), slice(left, left + width)
            is_object[part] = self.shot.view(frame, part, self.setup.camera.window(*window)).image >= 128
        return is_object

    def _is_due(self, found: _Found | None, number: int) -> bool:
        """Whether a frame is solved anew, as it is lost or its pose is doubtful or fits worse than is usual in this shot.

        Lines tell little of thin shapes, and of what is hidden in part; where solving anew did not help, it waits.
        """
        if found is None or found.verdict is Verdict.BAD:
            return True
        is_rested = number - self.last_repair >= REPAIR_FRAMES
        if found.verdict is Verdict.DOUBTFUL:
            return self.does_solving_pay or is_rested
        return is_rested and found.offset is not None and found.offset > WORSE * self._usual_offset(found.offset)

    def _is_unproven(self, found: _Found, is_repaired: bool) -> bool:
        """Whether a good pose does not count as one yet, as the object was lost before."""
        if is_repaired:
            return self.num_lost * self.pace_deg > REACH_DEG
        return self.num_lost > 0 and found.confidence < min(SURE_AGAIN, self.surest)

    def _is_better(self, repaired: _Found, found: _Found) -> bool:
        has_become_good = repaired.verdict is Verdict.GOOD and found.verdict is not Verdict.GOOD
        return has_become_good or repaired.energy < CLEARLY * found.energy

    def _usual_offset(self, offset: float) -> float:
        """Of outlines in this shot; one's own where there were none before."""
        return statistics.median(self.offsets) if self.offsets else offset

    def _followed(self, frame: np.ndarray) -> _Found | None:
        """What fits best of what is found from where the motion leads, and, if that is not good, from the last pose."""
        assert self.last is not None
        best: _Found | None = None
        guesses = [SE3().retract(self.last[None], GOES_ON * self.motion)[0]]
        if self.motion.any():
            guesses.append(self.last)
        for guess in guesses:
            found = self._found_from(frame, guess)
            if found is not None and (best is None or found.energy < best.energy):
                best = found
            if best is not None and best.verdict is Verdict.GOOD:
                break
        return best

    def _found_from(self, frame: np.ndarray, guess: np.ndarray) -> _Found | None:
        """What the outline leads to from a pose (7,); None if nothing is seen there."""
        window = self.follower.window(self.setup.camera, guess)
        if window is None:
            return None
        left, top, width, height = window
        part = slice(top, top + height), slice(left, left + width)
        followed = self.follower.follow(self.shot.view(frame, part, self.setup.camera.window(*window)), guess)
        if not (followed.is_object.any() and followed.is_seen.any()):
            return None
        evidence, covariance = followed.looked
        judgement, sure = self.shot.judged(followed, self._usual_offset(evidence.offset), self.surest)
        leap = abs(float(followed.pose[6] - guess[6]))
        if judgement.verdict is Verdict.GOOD and leap > LEAP:
            judgement, sure = judge_leap(evidence.iou, leap), sure._replace(probability=UNPROVEN)
        within, diagonal = sure.interval, self.setup.diagonal
        return _Found(
            self.follower.symmetries.nearest(followed.pose, guess[:4]),
            *judgement,
            sure.probability,
            within.in_unit(diagonal),
            calibrated(covariance, evidence, within),
            evidence.iou,
            evidence.energy,
            evidence.offset,
            (part, followed.reduction, followed.is_seen),
        )

    def _solved(self, frame: np.ndarray) -> _Found:
        """What the full solver finds.  Raises ObservationError if the mask shows no object."""
        start = None if self.last is None else self.setup.user_matrix(self.last)
        solution = self.shot.solve(frame, start)
        if self.setup.focal_range is not None:
            self.setup = self.shot.setup = replace(self.setup, camera=solution.camera, focal_range=None)
            self.fx_range = solution.focal_range
        pose = self.setup.unit_pose(solution.camera_from_object)
        self.last = pose if self.last is None else self.last
        as_followed = self._found_from(frame, pose)
        return _Found(
            pose,
            *(solution.verdict, solution.explanation, solution.confidence),
            *(solution.interval, solution.covariance, solution.iou),
            *((np.inf, None, None) if as_followed is None else as_followed[-3:]),
        )

    def _repaired(self, number: int, frame: np.ndarray) -> _Found | None:
        """The same in a later frame, where the object may be gone."""
        self.last_repair = number
        try:
            return self._solved(frame)
        except ObservationError:
            return None

    def _moved_on(self) -> _Found:
        """Where nothing is seen."""
        assert self.last is not None
        pose = SE3().retract(self.last[None], GOES_ON * self.motion)[0]
        return _Found(pose, *judge_out_of_view(), 0.0, UNKNOWN_INTERVAL, np.diag(np.full(6, np.inf)), 0.0, np.inf, None, None)

    def _remember(self, frame: np.ndarray, found: _Found, is_new: bool) -> None:
        """Goes on from a pose that may be right; how the object moves is known from two of them in a row."""
        self.num_lost = 0 if found.verdict is Verdict.GOOD else self.num_lost + 1
        if found.verdict is Verdict.BAD:
            self.motion = np.zeros((1, 6))
            return
        assert self.last is not None
        self.motion = np.zeros((1, 6)) if is_new else SE3().difference(self.last[None], found.pose[None])
        if found.verdict is Verdict.GOOD and not is_new:
            self.pace_deg = float(np.degrees(np.linalg.norm(self.motion[0, :3])))
        self.last = found.pose
        if found.offset is not None:
            self.offsets.append(found.offset)
        if found.seen is not None and found.verdict is Verdict.GOOD:
            self.shot.learn(frame, *found.seen)
