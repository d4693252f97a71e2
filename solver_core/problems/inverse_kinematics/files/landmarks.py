# SPDX-License-Identifier: Apache-2.0
"""The points of pose estimators and body models, by their number and order: arrays and JSON files state no names."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.names.recognise import recognise


class Landmarks(NamedTuple):
    """A model's points in order.  centre: numbers of a point and of the two that it is the middle of, to tell models apart."""

    model: str
    names: tuple[str, ...]
    centre: tuple[int, int, int] | None = None


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _hands(side: str) -> str:
    return " ".join(f"{side}_{finger}{joint}" for finger in ("index", "middle", "pinky", "ring", "thumb") for joint in "123")


_SMPL = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot neck "
    "left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist"
)
_COCO = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist "
    "left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
_MEDIAPIPE = (
    "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear mouth_left "
    "mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky right_pinky left_index "
    "right_index left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle right_ankle left_heel right_heel "
    "left_foot_index right_foot_index"
)
_OPENPOSE_ARMS = "Nose Neck RShoulder RElbow RWrist LShoulder LElbow LWrist"

MODELS = (
    Landmarks("HumanML3D", _names(_SMPL), (0, 1, 2)),
    Landmarks("SMPL", _names(f"{_SMPL} left_hand right_hand")),
    Landmarks("SMPL-H", _names(f"{_SMPL} {_hands('left')} {_hands('right')}")),
    Landmarks("SMPL-X", _names(f"{_SMPL} jaw left_eye right_eye {_hands('left')} {_hands('right')}")),
    Landmarks(
        "Human3.6M",
        _names("Hip RHip RKnee RFoot LHip LKnee LFoot Spine Thorax Nose Head LShoulder LElbow LWrist RShoulder RElbow RWrist"),
        (0, 1, 4),
    ),
    Landmarks("COCO", _names(_COCO)),
    Landmarks("OpenPose COCO", _names(f"{_OPENPOSE_ARMS} RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar"), (1, 2, 5)),
    Landmarks(
        "OpenPose BODY_25",
        _names(
            f"{_OPENPOSE_ARMS} MidHip RHip RKnee RAnkle LHip LKnee LAnkle REye LEye REar LEar LBigToe LSmallToe LHeel RBigToe "
            "RSmallToe RHeel"
        ),
        (8, 9, 12),
    ),
    Landmarks(
        "Kinect 2",
        _names(
            "SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight ElbowRight WristRight "
            "HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight FootRight SpineShoulder HandTipLeft "
            "ThumbLeft HandTipRight ThumbRight"
        ),
        (0, 12, 16),
    ),
    Landmarks(
        "Halpe",
        _names(
            "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle Head "
            "Neck Hip LBigToe RBigToe LSmallToe RSmallToe LHeel RHeel"
        ),
        (19, 11, 12),
    ),
    Landmarks(
        "Panoptic",
        _names(
            "Neck Nose BodyCenter lShoulder lElbow lWrist lHip lKnee lAnkle rShoulder rElbow rWrist rHip rKnee rAnkle lEye "
            "lEar rEye rEar"
        ),
        (2, 6, 12),
    ),
    Landmarks("MediaPipe", _names(_MEDIAPIPE)),
)
LONGER = {"MediaPipe": (75, 543, 553), "SMPL-X": (127, 144), "COCO": (133,)}  # with hands or a face behind the body
CENTRED = 0.3  # of the distance of two points: how far the point in their middle may be from it
BONES = (("Shldr", "ForeArm"), ("ForeArm", "Hand"), ("Thigh", "Shin"), ("Shin", "Foot"))
UNEQUAL, UNSTEADY = 0.3, 0.25  # logarithm of left over right, and spread over time, of the bones of a body that is none


def landmarks_of(positions: np.ndarray) -> Landmarks | None:
    """The model that points (F, M, 3) are of, by their number and by where they are; None if no model is like that."""
    count = positions.shape[1]
    fitting = [model for model in MODELS if len(model.names) == count or count in LONGER.get(model.model, ())]
    fitting = [model for model in fitting if _is_body(positions, model)]
    return min(fitting, key=lambda model: _off_centre(positions, model), default=None)


def _is_body(positions: np.ndarray, model: Landmarks) -> bool:
    """Whether the bones between the points are alike on both sides and keep their length."""
    node_of = recognise(model.names).names_of
    lengths = []  # one array (F,) a bone, left and right in turns
    for above, below in BONES:
        for side in "lr":
            ends = [positions[:, model.names.index(node_of[side + part][0])] for part in (above, below)]
            lengths.append(np.linalg.norm(ends[1] - ends[0], axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bone that is never seen
        middle, spread = np.nanmedian(lengths, axis=1), np.nanstd(lengths, axis=1)
        unequal = np.nanmedian(np.abs(np.log(np.maximum(middle[::2], 1e-9) / np.maximum(middle[1::2], 1e-9))))
        unsteady = np.nanmedian(spread / np.maximum(middle, 1e-9))
    return bool(unequal < UNEQUAL and unsteady < UNSTEADY)


def _off_centre(positions: np.ndarray, model: Landmarks) -> float:
    """How far the point is from the middle of the two, in parts of their distance; CENTRED if the model has none such."""
    if model.centre is None:
        return CENTRED
    point, one, other = (positions[:, number] for number in model.centre)
    ratios = np.linalg.norm(point - (one + other) / 2, axis=1) / np.maximum(np.linalg.norm(one - other, axis=1), 1e-9)
    known = ratios[np.isfinite(ratios)]
    return float(np.median(known)) if len(known) else np.inf
