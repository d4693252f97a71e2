# SPDX-License-Identifier: Apache-2.0
"""The frames of a film in files, followed from one to the next as tasks of a folder."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.camera_files import read_camera
from solver_core.command.files import read_photo, read_pose
from solver_core.command.folder import Task
from solver_core.problems.pose.inputs import CONVENTIONS, mesh_of, read_inputs, read_start
from solver_core.problems.pose.shots import shot_of
from solver_core.problems.pose.solve import PoseOptions
from solver_core.problems.pose.track import TrackedPose, Tracker, checked_setup
from solver_core.reading import read_json
from solver_core.solution import Verdict


class Film:
    """Solves one frame after the other; after frames that an earlier run has solved it goes on from their last record."""

    def __init__(self, args: argparse.Namespace, options: PoseOptions, is_of_photos: bool) -> None:
        self.args, self.options, self.is_of_photos = args, options, is_of_photos
        self.tracker: Tracker | None = None
        self.last: Path | None = None
        self.known: np.ndarray | None = None  # (4, 4) camera_from_object of the last frame that was not lost
        self.fx: float | None = None  # that was found
        self.number = 0

    def __call__(self, task: Task) -> dict[str, Any]:
        """The result of a frame.  Raises SolverError."""
        frame = self._read(task)
        if self.tracker is None or task.follows != self.last:
            self._begin(task, **frame)
        assert self.tracker is not None
        image = self.tracker.shot.checked(frame["image"], self.number)
        try:
            result = self.tracker.track(self.number, image)
        except BaseException:
            self.tracker = None
            raise
        self.number, self.last = self.number + 1, task.record
        self.known = self.known if result.lost else result.camera_from_object
        if self.args.focal is None:
            return _content(result, self.args.convention)
        self.fx = result.setup.camera.fx
        return {**_content(result, self.args.convention), "fx": self.fx}

    def _read(self, task: Task) -> dict[str, Any]:
        """Image and camera of a frame."""
        if self.is_of_photos:
            image = read_photo(task.source)
            return {"image": image, "camera": read_camera(self.args.camera, (image.shape[1], image.shape[0]))}
        inputs = read_inputs(argparse.Namespace(**{**vars(self.args), "mask": task.source}))
        return {"image": inputs["mask"], "camera": inputs["camera"]}

    def _begin(self, task: Task, image: np.ndarray, camera: Any) -> None:
        """Begins with a frame, from the pose of the record before, or from the user's start."""
        mesh, focal_range = mesh_of(self.args.mesh), self.args.focal
        if self.fx is None and focal_range is not None and task.follows is not None:
            self.fx = read_json(task.follows, "record").get("fx")
        if self.fx is not None:
            camera, focal_range = camera.with_focal(self.fx), None
        before = None if task.follows is None else pose_before(task.follows, self.args.convention)
        self.known = self.known if before is None else before
        start = read_start(self.args) if self.known is None else self.known
        setup = checked_setup(mesh.vertices, mesh.faces, camera, start, self.args.up, focal_range)
        self.tracker, self.number = Tracker(setup, shot_of(image, setup, camera, self.options)), 0


def pose_before(record: Path, convention: str) -> np.ndarray | None:
    """(4, 4) camera_from_object of a record, None where its frame could not be solved."""
    if read_json(record, "record").get("verdict") in (None, Verdict.BAD.value):
        return None
    return CONVENTIONS[convention] @ read_pose(record)


def _content(result: TrackedPose, convention: str) -> dict[str, Any]:
    """The result as it is written; what is not known at all is null."""
    return {
        "convention": convention,
        "camera_from_object": (np.linalg.inv(CONVENTIONS[convention]) @ result.camera_from_object).tolist(),
        "iou": round(result.iou, 4),
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "confidence": round(result.confidence, 4),
        "interval": {name: value if math.isfinite(value) else None for name, value in result.interval._asdict().items()},
        "covariance": result.covariance.tolist() if np.isfinite(result.covariance).all() else None,
        "lost": result.lost,
        "is_repaired": result.is_repaired,
        "seconds": round(result.seconds, 4),
    }
