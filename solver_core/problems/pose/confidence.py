# SPDX-License-Identifier: Apache-2.0
"""How sure a pose is: the probability that it is right, and intervals that hold it nine times in ten.

Right is within 5 degrees and 0.05 diagonals of the truth, or of a pose that looks the same.  The probability is a logistic
function of the evidence, an interval a power of the spread that the outline allows, wider where the probability is low.  The
numbers were fitted on validation meshes with masks damaged in known ways (training/paper/calibrate_pose.py), those of
photographs, where the image has its say, on photographs of validation meshes (training/paper/calibrate_photo.py), and those of
poses that were followed from the one before, on shots of them (training/paper/calibrate_track.py).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from solver_core.errors import WeightsError
from solver_core.network.weights import SHIPPED
from solver_core.problems.pose.evidence import Evidence, ImageEvidence, ShotEvidence
from solver_core.reading import numbers, read_json, reading

FILE, PHOTO_FILE = "pose_confidence.json", "photo_confidence.json"
MASK_SHOT_FILE, PHOTO_SHOT_FILE = "mask_shot_confidence.json", "photo_shot_confidence.json"
FEATURES = ("outline", "unexplained", "hidden", "outliers", "edge", "gap", "rotation", "along", "size")
PHOTO_FEATURES = (*FEATURES, "contrast", "edges", "weak", "image gap", "start", "alike")
SHOT_FEATURES = ("worse", "unexplained", "outliers", "rotation", "along")
NORMAL_90 = 1.645  # standard deviations that hold nine of ten of what is normally distributed
RIGHT_PLACE = 0.05  # diagonals: a pose that is placed farther off is wrong
HALF_TURN_DEG = 180.0  # nothing is farther off
MAX_LOGIT = 7.0  # one in a thousand: nobody has seen enough cases to claim more


class PoseInterval(NamedTuple):
    """Half widths of intervals that hold the truth nine times in ten, each on its own.

    rotation_deg: of the rotation about the object's centre, in degrees.  across, along: of where its centre is, across the view
    and along it, in the unit of the mesh.
    """

    rotation_deg: float
    across: float
    along: float

    def with_focal_unknown(self, pose: np.ndarray, log_range: float) -> PoseInterval:
        """The same where place goes with the focal length, which is known to exp(+-log_range); pose (7,) in the same unit."""
        across, along = log_range * np.linalg.norm(pose[4:6]), log_range * abs(pose[6])
        return self._replace(across=float(np.hypot(self.across, across)), along=float(np.hypot(self.along, along)))

    def in_unit(self, diagonal: float) -> PoseInterval:
        """The same in the unit of a mesh, of an interval in its diagonals."""
        return self._replace(across=diagonal * self.across, along=diagonal * self.along)


class Confidence(NamedTuple):
    """probability: that the pose is right.  interval: in diagonals of the mesh."""

    probability: float
    interval: PoseInterval

    def with_focal_unknown(self, pose: np.ndarray, log_range: float) -> Confidence:
        """The same where place goes with the focal length, which is known to exp(+-log_range); pose (7,) of the unit mesh."""
        interval = self.interval.with_focal_unknown(pose, log_range)
        off = log_range * float(np.linalg.norm(pose[4:]))
        is_near_enough = math.erf(RIGHT_PLACE * NORMAL_90 / (math.sqrt(2) * max(off, 1e-12)))
        return Confidence(self.probability * is_near_enough, interval)


class Calibration(NamedTuple):
    """What was fitted.

    weights: (F + 1,) of the features and 1.  interval: (3, 3) for each part of a PoseInterval the factors of its log spread, of
    the probability's logit, and of 1.
    """

    weights: np.ndarray
    interval: np.ndarray


Seen = ImageEvidence | ShotEvidence | None  # beside the evidence: in a photograph, or a shot


def confidence(evidence: Evidence, seen: Seen = None) -> Confidence:
    """How sure a pose is, by the evidence; of a photograph also by what the image says, in a shot by the frames before."""
    if seen is None:
        calibration = shipped_calibration(FILE, FEATURES)
    elif isinstance(seen, ImageEvidence):
        calibration = shipped_calibration(PHOTO_FILE, PHOTO_FEATURES)
    else:
        calibration = shipped_calibration(PHOTO_SHOT_FILE if seen.of_photographs else MASK_SHOT_FILE, SHOT_FEATURES)
    chance = logit(evidence, calibration.weights, seen)
    widths = np.exp((interval_features(evidence, chance) * calibration.interval).sum(axis=1))
    rotation_deg, across, along = widths.tolist()
    return Confidence(float(1 / (1 + np.exp(-chance))), PoseInterval(min(rotation_deg, HALF_TURN_DEG), across, along))


def calibrated(covariance: np.ndarray, evidence: Evidence, interval: PoseInterval) -> np.ndarray:
    """(6, 6) the covariance that the outline allows, made as wide as an interval (in diagonals)."""
    allowed = PoseInterval(*(NORMAL_90 * max(getattr(evidence, name), 1e-12) for name in PoseInterval._fields))
    return widened(covariance, allowed, interval)


def widened(covariance: np.ndarray, before: PoseInterval, after: PoseInterval) -> np.ndarray:
    """(6, 6) a covariance that is as wide as an interval, made as wide as another one."""
    factors = np.repeat(np.divide(after, before), (3, 2, 1))
    return covariance * np.outer(factors, factors)


def features(evidence: Evidence, seen: Seen = None) -> np.ndarray:
    """(F + 1,) what the probability follows from, in the order of FEATURES, PHOTO_FEATURES or SHOT_FEATURES, and 1."""
    if isinstance(seen, ShotEvidence):
        return _shot_features(evidence, seen)
    of_image = [] if seen is None else _image_features(seen)
    return np.array(
        [
            np.log(0.003 + evidence.outline),
            np.log(0.003 + evidence.unexplained),
            np.log(0.003 + evidence.hidden),
            1 - evidence.inliers,
            min(abs(evidence.edge_px) / evidence.size_px, 0.1),
            np.log(0.003 + evidence.gap),
            np.log(np.clip(evidence.rotation_deg, 0.02, 90)),
            np.log(np.clip(evidence.along, 1e-4, 1)),
            np.log(np.clip(evidence.size_px, 8, 1000)),
            *of_image,
            1.0,
        ]
    )


def _image_features(seen: ImageEvidence) -> list[float]:
    return [
        np.log(0.03 + max(seen.contrast, 0)),
        seen.edges,
        seen.weak,
        np.log(3 + seen.gap),
        min(seen.start_deg / 45, 2),
        np.log(0.03 + seen.alike),
    ]


def _shot_features(evidence: Evidence, seen: ShotEvidence) -> np.ndarray:
    return np.array(
        [
            np.log((0.01 + evidence.offset) / (0.01 + seen.usual_offset)),
            np.log(0.003 + evidence.unexplained),
            1 - evidence.inliers,
            np.log(np.clip(evidence.rotation_deg, 0.02, 90)),
            np.log(np.clip(evidence.along, 1e-4, 1)),
            1.0,
        ]
    )


def logit(evidence: Evidence, weights: np.ndarray, seen: Seen = None) -> float:
    """Log odds that a pose is right."""
    return float(np.clip(features(evidence, seen) @ weights, -MAX_LOGIT, MAX_LOGIT))


def interval_features(evidence: Evidence, chance: float) -> np.ndarray:
    """(3, 3) what each part of a PoseInterval follows from: its log spread, the logit and 1."""
    spreads = np.clip([getattr(evidence, name) for name in PoseInterval._fields], 1e-5, 1e3)
    return np.column_stack([np.log(spreads), np.full(3, chance), np.ones(3)])


@functools.cache
def shipped_calibration(file: str, names: tuple[str, ...]) -> Calibration:
    """The numbers that ship, for features of these names.  Raises WeightsError if they are damaged or of another version."""
    path, what = SHIPPED / file, "calibration of poses"
    content = read_json(path, what, WeightsError)
    with reading(path, what, WeightsError):
        if content["features"] != list(names):
            raise ValueError("it is of another version; install it again")
        weights = numbers(content["weights"], (len(names) + 1,), "weights")
        return Calibration(weights, numbers(content["interval"], (len(PoseInterval._fields), 3), "interval"))
