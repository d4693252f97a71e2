# SPDX-License-Identifier: Apache-2.0
"""Arrays of points: npy and npz files of motion generators, pose estimators and of AMASS."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE
from solver_core.problems.inverse_kinematics.files.landmarks import MODELS
from solver_core.problems.inverse_kinematics.files.points import Points, unnamed_points
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.reading import read_array, read_arrays

HUMANML3D_FEATURES, HUMANML3D_RATE = 263, 20.0  # numbers of a frame; frames a second
# A body of mean proportions in the joints of SMPL: centimetres from the parent, arms to the sides, y up, facing z.  SMPL's own
# mean body cannot be shipped; it differs by a centimetre or two, which changes no rotation.
MEAN_BODY = {
    "pelvis": ("", (0, 0, 0)),
    "left_hip": ("pelvis", (7, -8, 0)),
    "right_hip": ("pelvis", (-7, -8, 0)),
    "spine1": ("pelvis", (0, 12, -2)),
    "left_knee": ("left_hip", (3, -38, 0)),
    "right_knee": ("right_hip", (-3, -38, 0)),
    "spine2": ("spine1", (0, 13, 1)),
    "left_ankle": ("left_knee", (-1, -41, -4)),
    "right_ankle": ("right_knee", (1, -41, -4)),
    "spine3": ("spine2", (0, 6, 1)),
    "left_foot": ("left_ankle", (4, -6, 13)),
    "right_foot": ("right_ankle", (-4, -6, 13)),
    "neck": ("spine3", (0, 21, -4)),
    "left_collar": ("spine3", (8, 12, -2)),
    "right_collar": ("spine3", (-8, 12, -2)),
    "head": ("neck", (0, 8, 5)),
    "left_shoulder": ("left_collar", (12, 4, -2)),
    "right_shoulder": ("right_collar", (-12, 4, -2)),
    "left_elbow": ("left_shoulder", (26, -1, -2)),
    "right_elbow": ("right_shoulder", (-26, -1, -2)),
    "left_wrist": ("left_elbow", (26, 1, 0)),
    "right_wrist": ("right_elbow", (-26, 1, 0)),
}
LEAVES = ("head", "left_wrist", "right_wrist", "left_foot", "right_foot")  # joints that turn what is no joint of SMPL
RATES = ("mocap_frame_rate", "mocap_framerate", "frame_rate", "framerate", "fps")
JOINTS = ("positions", "joints", "joints3d", "joints_3d", "keypoints3d", "keypoints_3d", "keypoints", "poses_3d", "motion")


def read_npy(path: Path) -> Points:
    """Points of a npy file: frames x points x 3, the features of HumanML3D, or what MDM writes.  Raises ValueError."""
    content = read_array(path)
    if isinstance(content, dict):
        return _of_arrays(content)
    return _of_array(content)


def read_npz(path: Path) -> Points:
    """Points of a npz file: positions with names, an array of points, or AMASS.  Raises ValueError."""
    return _of_arrays(read_arrays(path))


def _of_arrays(content: dict[str, np.ndarray]) -> Points:
    rate = next((_scalar(content[key], key) for key in RATES if key in content), None)
    frame_time = None if rate is None else 1 / rate
    if "frame_time" in content:
        frame_time = _scalar(content["frame_time"], "its frame time")
    if "trans" in content and ({"poses"} <= set(content) or {"root_orient", "pose_body"} <= set(content)):
        return _of_amass(content, frame_time)
    key = next((key for key in JOINTS if key in content), None)
    if key is None:
        raise ValueError(
            "it needs the arrays positions and names, or poses and trans as AMASS has them; "
            f"it holds {', '.join(content) or 'nothing'}"
        )
    if "names" not in content or content["names"].dtype.kind != "U":
        return _of_array(content[key])._replace(frame_time=frame_time)
    positions, names = content[key], content["names"]
    if positions.dtype.kind not in "fiu" or names.ndim != 1:
        raise ValueError("positions must be numbers and names a list of texts")
    positions = positions[None] if positions.ndim == 2 else positions
    if positions.ndim != 3 or positions.shape[1:] != (len(names), 3) or len(positions) == 0:
        raise ValueError(f"it has {len(names)} names and positions of shape {positions.shape}")
    return Points(tuple(names.tolist()), positions.astype(np.float64), frame_time, 1.0)


def _of_array(array: np.ndarray) -> Points:
    """Points of an array of whatever order of its axes."""
    if array.dtype.kind not in "fiu" or array.size == 0:
        raise ValueError(f"it holds {array.dtype} values, no numbers" if array.size else "it is empty")
    counts = {len(model.names) for model in MODELS}
    shape, notices = array.shape, []
    if array.ndim == 4 and shape[2] == 3 and shape[1] in counts:  # samples x joints x 3 x frames, as MDM has them
        notices = ["the first of several motions is read"] if len(array) > 1 else []
        array, shape = array[0], shape[1:]
    if array.ndim == 3 and shape[1] == 3 and shape[0] in counts and shape[2] != 3:
        array = array.transpose(2, 0, 1)
    if array.ndim == 2 and shape[1] == HUMANML3D_FEATURES:
        return _of_humanml3d(array)
    if array.ndim == 2 and shape[1] % 3 == 0:
        array = array.reshape(len(array), -1, 3)
    if array.ndim == 4:  # frames x people x points x 3
        array, notices = array[:, 0], ["the first of several people is read"] if shape[1] > 1 else []
    if array.ndim != 3 or array.shape[2] not in (3, 4):
        flat = array.ndim == 3 and array.shape[2] == 2
        raise ValueError(
            "its points are in the image; targets need three dimensions"
            if flat
            else f"it must hold frames x points x 3 numbers, or HumanML3D's {HUMANML3D_FEATURES} a frame, and is {shape}"
        )
    points = unnamed_points(array[..., :3].astype(np.float64))
    return points._replace(notices=(*points.notices, *notices))


def _of_humanml3d(features: np.ndarray) -> Points:
    """Joints from the features of HumanML3D: the turn and shift of the root a frame, its height, joints seen from there."""
    features = features.astype(np.float64)
    angle = np.cumsum(np.concatenate([[0.0], features[:-1, 0]]))
    root_from_world = rotations.wxyz_from_rotvec(np.stack([0 * angle, 2 * angle, 0 * angle], axis=1))  # they store half of it
    shift = np.stack([features[:, 1], 0 * angle, features[:, 2]], axis=1)
    shift = np.concatenate([np.zeros((1, 3)), shift[:-1]])
    world_from_root = rotations.inverse(root_from_world)
    root = np.cumsum(rotations.rotate(world_from_root, shift), axis=0)
    root[:, 1] = features[:, 3]
    joints = features[:, 4 : 4 + 3 * 21].reshape(len(features), 21, 3)
    positions = rotations.rotate(world_from_root[:, None], joints)
    positions[..., [0, 2]] += root[:, None, [0, 2]]
    points = unnamed_points(np.concatenate([root[:, None], positions], axis=1), 1 / HUMANML3D_RATE)
    return points._replace(metres_per_unit=1.0, up="y")


def _of_amass(content: dict[str, np.ndarray], frame_time: float | None) -> Points:
    """The joints of a body of mean proportions in the poses of SMPL, SMPL-H or SMPL-X."""
    parts = ("poses",) if "poses" in content else ("root_orient", "pose_body")
    poses = np.concatenate([content[part] for part in parts], axis=-1)
    trans, count = content["trans"], len(MEAN_BODY)
    if poses.ndim != 2 or poses.shape[1] < 3 * count or trans.shape != (len(poses), 3) or len(poses) == 0:
        raise ValueError(
            f"its poses have shape {poses.shape} and its trans {trans.shape}; AMASS has frames x 156 and frames x 3"
        )
    names = list(MEAN_BODY)
    parents = [names.index(parent) if parent else -1 for parent, _ in MEAN_BODY.values()]
    offsets = [offset for _, offset in MEAN_BODY.values()]
    ends = [names.index(leaf) for leaf in LEAVES]
    along = [offsets[end] for end in ends]
    skeleton = Skeleton([*names, *(leaf + END_SITE for leaf in LEAVES)], [*parents, *ends], np.array([*offsets, *along]) / 100)
    turns = rotations.wxyz_from_rotvec(poses[:, : 3 * count].astype(np.float64).reshape(len(poses), count, 3))
    turns = np.concatenate([turns, np.tile([1.0, 0, 0, 0], (len(poses), len(ends), 1))], axis=1)
    motion = Motion(skeleton, turns, trans.astype(np.float64), frame_time or 1.0, ("XYZ",) * skeleton.num_nodes, 1.0)
    notice = "the body of the poses is not in the file; its joints are those of a body of mean proportions"
    return Points(
        tuple(names),
        motion.positions()[:, :count],
        frame_time,
        1.0,
        parents=tuple(parents),
        notices=(notice,),
        skeleton=skeleton,
        rotations=turns,
    )


def _scalar(value: np.ndarray, what: str) -> float:
    if value.size != 1 or value.dtype.kind not in "fiu" or not 0 < value.ravel()[0] < np.inf:
        raise ValueError(f"{what} is {value}; it must be a positive number")
    return float(value.ravel()[0])
