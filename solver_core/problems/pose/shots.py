# SPDX-License-Identifier: Apache-2.0
"""What the frames of a shot show: masks say which pixels are the object, photographs by colours that are learned on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from solver_core.checks import checked_array, checked_coverage
from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera
from solver_core.kernel.lines import NUM_COLOURS, colour_index, look_up_colours
from solver_core.problems.pose.confidence import Confidence, confidence
from solver_core.problems.pose.evidence import ShotEvidence
from solver_core.problems.pose.follow import MARGIN, Followed, View
from solver_core.problems.pose.photograph import PhotoSession
from solver_core.problems.pose.setup import PoseSetup
from solver_core.problems.pose.solve import PoseOptions, PoseSession, PoseSolution
from solver_core.problems.pose.verdict import judge, judge_photo
from solver_core.segmentation.hints import checked_image, window_around
from solver_core.solution import Judgement

SURE = 0.99  # that a pixel of a mask shows the object or does not: masks are wrong here and there
LEVELS = np.arange(256) / 255
LOG_ODDS_OF_MASK = np.log(np.clip(LEVELS, 1 - SURE, SURE) / np.clip(1 - LEVELS, 1 - SURE, SURE))
SURE_BY_COLOUR = 0.95  # neighbouring pixels have the same colours, so each says less than it seems
LOG_ODDS_OF_COLOUR = 0.5 * np.log(
    np.clip(LEVELS, 1 - SURE_BY_COLOUR, SURE_BY_COLOUR) / np.clip(1 - LEVELS, 1 - SURE_BY_COLOUR, SURE_BY_COLOUR)
)
NUM_BINS = 32  # of a channel
NEW_SHARE = 0.1  # of a frame in the colours of object and surroundings
EARLY_FRAMES = 12  # colours are learned from each of the first frames
LEARN_FRAMES = 3  # and from one of so many later ones, for those between as well
UNSEEN = 0.2  # of the mean count of a bin: colours that were not seen yet may be either
Part = tuple[slice, slice]


class Shot(Protocol):
    """How frames of one kind are read, with a mesh and a camera."""

    setup: PoseSetup

    def checked(self, frame: Any, number: int) -> np.ndarray:
        """A frame, without distortion.  Raises ObservationError."""
        ...

    def view(self, frame: np.ndarray, part: Part, camera: Camera) -> View:
        """A part of a frame, which a camera sees."""
        ...

    def solve(self, frame: np.ndarray, start: np.ndarray | None) -> PoseSolution:
        """The full solver's answer, with a start (4, 4).  Raises ObservationError if it finds nothing to solve."""
        ...

    def judged(self, followed: Followed, usual_offset: float, surest: float) -> tuple[Judgement, Confidence]:
        """Verdict on a pose that was followed, and how sure it is.

        usual_offset: as Evidence.offset, of poses in this shot.  surest: probability that the pose is right from which it was
            followed.
        """
        ...

    def learn(self, frame: np.ndarray, part: Part, reduction: int, is_seen: np.ndarray) -> None:
        """Takes notice of where the object was found: (h, w) bool, a pixel of it is one in so many of the part."""
        ...

    def memory(self) -> dict[str, np.ndarray]:
        """What was learned, as recall takes it."""
        ...

    def recall(self, memory: Mapping[str, np.ndarray]) -> None: ...


def shot_of(first: Any, setup: PoseSetup, camera: Camera, options: PoseOptions) -> Shot:
    """Of a shot that begins with this frame: of masks if it has no colours.  Raises SetupError."""
    if getattr(first, "ndim", 2) != 3:
        return MaskShot(setup, camera, options)
    if setup.focal_range is not None:
        raise SetupError("the focal length is found from masks only; give that of the camera of the photographs")
    if setup.start is None:
        raise SetupError("the first photograph of a shot needs a start, about where the object is and how it is turned")
    return PhotoShot(setup, camera, options)


class MaskShot:
    """Masks, bool or coverage."""

    def __init__(self, setup: PoseSetup, camera: Camera, options: PoseOptions) -> None:
        self.setup, self.camera, self.options = setup, camera, options

    def checked(self, frame: Any, number: int) -> np.ndarray:
        mask = checked_array(frame, f"frame {number}", "(H, W)", ObservationError)
        if mask.ndim != 2 or mask.dtype.kind not in "fb":
            raise ObservationError(
                f"frame {number} must be a mask (H, W), bool or float in [0, 1], got shape {mask.shape} of {mask.dtype}; "
                "compare 8-bit masks with 128, or divide them by 255"
            )
        if mask.dtype.kind == "f" and not np.isfinite(mask).all():
            raise ObservationError(f"frame {number} holds numbers that are not finite; a mask is bool or float in [0, 1]")
        _check_size(mask, self.camera, number)
        return self.camera.undistorted(mask.astype(np.float32)) if self.camera.distortion else mask

    def view(self, frame: np.ndarray, part: Part, camera: Camera) -> View:
        mask = np.ascontiguousarray(frame[part])
        image = mask.view(np.uint8) * np.uint8(255) if mask.dtype == bool else np.rint(255 * mask.clip(0, 1)).astype(np.uint8)
        return View(image, LOG_ODDS_OF_MASK, camera)

    def solve(self, frame: np.ndarray, start: np.ndarray | None) -> PoseSolution:
        coverage = checked_coverage(frame, self.setup.camera)
        return PoseSession(replace(self.setup, coverage=coverage, start=start), self.options).run()

    def judged(self, followed: Followed, usual_offset: float, surest: float) -> tuple[Judgement, Confidence]:
        evidence = followed.looked.evidence
        sure = confidence(evidence, ShotEvidence(usual_offset, False))
        return judge(followed.is_seen, evidence, sure.probability, 0), sure

    def learn(self, frame: np.ndarray, part: Part, reduction: int, is_seen: np.ndarray) -> None:
        pass

    def memory(self) -> dict[str, np.ndarray]:
        return {}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        pass


class PhotoShot:
    """Photographs: two histograms of colours, of the object and of what is around it, that follow the shot."""

    def __init__(self, setup: PoseSetup, camera: Camera, options: PoseOptions) -> None:
        self.setup, self.camera, self.options = setup, camera, options
        self.counts: np.ndarray | None = None  # (2, NUM_COLOURS) of surroundings and object, each with a sum of 1
        self.table = np.full(NUM_COLOURS, 128, np.uint8)
        self.num_frames = 0  # that showed where the object is

    def checked(self, frame: Any, number: int) -> np.ndarray:
        if getattr(frame, "ndim", 3) != 3:
            raise ObservationError(f"frame {number} is a mask, but the first was a photograph; give frames of one kind")
        image = checked_image(frame)
        _check_size(image, self.camera, number)
        if self.camera.distortion:
            image = self.camera.undistorted(image.astype(np.float32) / np.float32(255 if image.dtype == np.uint8 else 1))
        return image if image.dtype == np.uint8 else np.rint(255 * image.clip(0, 1)).astype(np.uint8)

    def view(self, frame: np.ndarray, part: Part, camera: Camera) -> View:
        return View(look_up_colours(frame[part], self.table), LOG_ODDS_OF_COLOUR, camera)

    def solve(self, frame: np.ndarray, start: np.ndarray | None) -> PoseSolution:
        assert start is not None
        vertices = self.setup.centre + self.setup.diagonal * self.setup.mesh.vertices.astype(np.float64)
        model = vertices, self.setup.mesh.faces, self.setup.camera, start
        solution = PhotoSession.checked(frame, *model, (None, None, None, None), self.options).run()
        if self.counts is None:
            self.begin(frame, solution.mask >= 0.5)
        return solution

    def begin(self, frame: np.ndarray, is_object: np.ndarray) -> None:
        """Learns the first colours, from a mask (H, W) bool of all of the frame."""
        if is_object.any():
            left, top, right, bottom = window_around(is_object, MARGIN)
            part = slice(top, bottom), slice(left, right)
            self.learn(frame, part, 1, is_object[part])

    def judged(self, followed: Followed, usual_offset: float, surest: float) -> tuple[Judgement, Confidence]:
        evidence = followed.looked.evidence
        sure = confidence(evidence, ShotEvidence(usual_offset, True))
        sure = sure._replace(probability=min(sure.probability, surest))
        return judge_photo(evidence, 0.0, sure.probability), sure

    def learn(self, frame: np.ndarray, part: Part, reduction: int, is_seen: np.ndarray) -> None:
        self.num_frames += 1
        is_early = self.num_frames <= EARLY_FRAMES
        if not is_early and self.num_frames % LEARN_FRAMES:
            return
        sampled = frame[part][reduction // 2 :: reduction, reduction // 2 :: reduction][: is_seen.shape[0], : is_seen.shape[1]]
        index = colour_index(sampled)
        new = np.stack([np.bincount(index[is_in], minlength=NUM_COLOURS) for is_in in (~is_seen, is_seen)]).astype(np.float32)
        if not new.any(axis=1).all():
            return
        new /= new.sum(axis=1, keepdims=True)
        kept = (1 - NEW_SHARE) ** (1 if is_early else LEARN_FRAMES)
        self._take(new if self.counts is None else np.float32(kept) * self.counts + np.float32(1 - kept) * new)

    def memory(self) -> dict[str, np.ndarray]:
        learned = {} if self.counts is None else {"counts": self.counts}
        return {**learned, "num_frames": np.array(self.num_frames)}

    def recall(self, memory: Mapping[str, np.ndarray]) -> None:
        self.num_frames = int(memory["num_frames"])
        if "counts" in memory:
            self._take(memory["counts"])

    def _take(self, counts: np.ndarray) -> None:
        self.counts = counts
        around, inside = _smoothed(counts) + np.float32(UNSEEN / NUM_COLOURS)
        self.table = np.rint(255 * inside / (inside + around)).astype(np.uint8)


def _smoothed(counts: np.ndarray) -> np.ndarray:
    """Counts (2, NUM_COLOURS) spread over neighbouring bins, so that a little more light is no other colour."""
    cube = counts.reshape(2, NUM_BINS, NUM_BINS, NUM_BINS)
    for axis in (1, 2, 3):
        spread = 0.5 * cube
        low, high = (tuple(part if a == axis else slice(None) for a in range(4)) for part in (slice(None, -1), slice(1, None)))
        spread[low] += 0.25 * cube[high]
        spread[high] += 0.25 * cube[low]
        cube = spread
    return cube.reshape(2, NUM_COLOURS)


def _check_size(frame: np.ndarray, camera: Camera, number: int) -> None:
    if frame.shape[:2] != (camera.height, camera.width):
        raise ObservationError(
            f"all frames must have the size of the camera, {camera.width} x {camera.height} pixels; frame {number} has "
            f"{frame.shape[1]} x {frame.shape[0]}"
        )
