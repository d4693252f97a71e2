# SPDX-License-Identifier: Apache-2.0
"""JSON of pose estimators: MediaPipe, OpenPose, MMPose, AlphaPose and their kin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from solver_core.problems.inverse_kinematics.files.points import Points, unnamed_points
from solver_core.reading import check_count, read_json

MAX_POINTS = 50_000_000
# Where frames, people and points lie in what these programs write; the first that is there counts.
FRAMES = ("frames", "instance_info", "results", "data", "annotations", "predictions", "poses")
PEOPLE = ("people", "instances", "persons", "annotations", "bodies")
POINTS = (
    *("pose_world_landmarks", "poseWorldLandmarks", "worldLandmarks", "world_landmarks", "pose_keypoints_3d", "keypoints_3d"),
    *("keypoints3d", "joints3d", "joints_3d", "keypoints3D", "pose_landmarks", "poseLandmarks", "landmarks", "keypoints"),
    *("landmark", "joints", "points", "pose_keypoints_2d"),
)
NAMES = ("name", "part", "bodyPart", "label", "id")
RATES = ("fps", "frame_rate", "frameRate")
IN_THE_IMAGE = "its points are in the image (x, y and a confidence); targets need three dimensions"


def read_json_points(path: Path) -> Points:
    """Points of a JSON file with all frames, or of a folder with one file a frame.  Raises ValueError."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    contents = [read_json(file, "targets") for file in files]
    frames = contents if path.is_dir() else _frames(contents[0])
    if not frames:
        raise ValueError("the motion is empty: it holds no frames")
    found = [_points(frame) for frame in frames]
    names = next((tuple(named) for named, _ in found if named), None)
    count = max(len(points) for _, points in found)
    check_count(len(found) * count, MAX_POINTS, "points")
    positions = np.full((len(found), count, 3), np.nan)
    for number, (_, points) in enumerate(found):
        if len(points) not in (0, count):
            raise ValueError(f"frame {number} has {len(points)} points and others have {count}")
        positions[number, : len(points)] = points
    if count == 0:
        raise ValueError("it holds no points")
    content = contents[0] if isinstance(contents[0], dict) else {}
    rate = next((content[key] for key in RATES if isinstance(content.get(key), (int, float)) and content[key] > 0), None)
    frame_time = None if rate is None else 1 / rate
    if names is not None and len(names) == count:
        return Points(names, positions, frame_time)
    return unnamed_points(positions, frame_time)


def _frames(content: Any) -> list[Any]:
    """The frames of a file; a file of one frame is one."""
    if isinstance(content, dict):
        for key in FRAMES:
            if isinstance(content.get(key), list):
                return content[key]
        return [content]
    if not isinstance(content, list):
        raise ValueError("it must be a list of frames or an object with one")
    is_one_frame = bool(content) and all(_is_point(one) for one in content)
    return [content] if is_one_frame else content


def _is_point(value: Any) -> bool:
    if isinstance(value, dict):
        return {"x", "y"} <= value.keys()
    return isinstance(value, list) and len(value) in (2, 3, 4) and all(_is_number(one) for one in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _points(frame: Any) -> tuple[list[str], np.ndarray]:
    """Names, if there are any, and (M, 3) of a frame's points; of several people the first."""
    for _ in range(6):  # levels that these files have
        if isinstance(frame, dict):
            people = next((frame[key] for key in PEOPLE if isinstance(frame.get(key), list)), None)
            points = next((frame[key] for key in POINTS if frame.get(key)), None)
            if points is not None:
                frame = points
            elif people is not None:
                frame = people[0] if people else []
            elif frame and all(_is_point(one) for one in frame.values()):
                return list(frame), np.array([_position(one) for one in frame.values()])
            else:
                break
        elif isinstance(frame, list) and len(frame) == 0:
            return [], np.zeros((0, 3))
        elif isinstance(frame, list) and all(_is_point(one) for one in frame):
            return _point_names(frame), np.array([_position(one) for one in frame])
        elif isinstance(frame, list) and all(_is_number(one) for one in frame):
            return [], _of_numbers(frame)
        elif isinstance(frame, list):
            frame = frame[0]
        else:
            break
    raise ValueError("no frame of it holds points that are known: objects with x, y and z, lists of three numbers, or people")


def _point_names(points: list[Any]) -> list[str]:
    for key in NAMES:
        if all(isinstance(point, dict) and isinstance(point.get(key), str) for point in points):
            return [point[key] for point in points]
    return []


def _position(point: Any) -> tuple[float, ...]:
    """(3,) of a point; nan where the confidence is 0."""
    if isinstance(point, dict):
        if "z" not in point:
            raise ValueError(IN_THE_IMAGE)
        values = [point[axis] for axis in "xyz"]
        confidence = next((point[key] for key in ("visibility", "score", "confidence", "presence") if key in point), 1)
    else:
        if len(point) == 2:
            raise ValueError(IN_THE_IMAGE)
        values, confidence = point[:3], point[3] if len(point) == 4 else 1
    if not all(_is_number(value) for value in values) or (_is_number(confidence) and confidence <= 0):
        return (np.nan,) * 3
    return tuple(float(value) for value in values)


def _of_numbers(values: list[float]) -> np.ndarray:
    """(M, 3) of a flat list: x, y, z and a confidence in turns, as OpenPose writes points in space, or x, y, z."""
    flat = np.array(values, dtype=np.float64)
    if len(flat) % 4 == 0:
        points = flat.reshape(-1, 4)
        if (points[:, 3] >= 0).all() and (points[:, 3] <= 1).all():
            return np.where(points[:, 3:] > 0, points[:, :3], np.nan)
    if len(flat) % 3 == 0:
        points = flat.reshape(-1, 3)
        if (points[:, 2] >= 0).all() and (points[:, 2] <= 2).all() and np.abs(points[:, :2]).max() > 10:
            raise ValueError(IN_THE_IMAGE)
        return points
    raise ValueError(f"{len(flat)} numbers a frame are no points")
