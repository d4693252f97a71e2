# SPDX-License-Identifier: Apache-2.0
"""The frames of a film in files, followed from one to the next as tasks of a folder.

What the next frame depends on is kept beside the records, so that a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import argparse
import io
import math
import zipfile
from contextlib import suppress
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
from solver_core.writing import write_bytes

# Two files in turn, since a kill may come between a memory and the record that it belongs to.
MEMORY = ".tracking-{}.npz"
CLOSE = 1e-9  # the pose of a record has gone through the axes of another convention


class Film:
    """Solves one frame after the other; after frames that an earlier run has solved it goes on from what that left."""

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
        self.known = self.known if result.lost else result.camera_from_object
        self._keep(task.record, result)
        self.number, self.last = self.number + 1, task.record
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
        memory = None if task.follows is None else self._kept(task.follows)
        if memory is not None:
            self.tracker.recall(memory)
            self.number, self.known = int(memory["number"]) + 1, memory.get("known")

    def _keep(self, record: Path, result: TrackedPose) -> None:
        """Writes what the frame after that of a record depends on."""
        assert self.tracker is not None
        memory = {"number": np.array(self.number), "record": np.array(record.name), "pose": result.camera_from_object}
        if self.known is not None:
            memory["known"] = self.known
        content = io.BytesIO()
        np.savez(content, **memory, **self.tracker.memory())
        write_bytes(record.with_name(MEMORY.format(self.number % 2)), content.getvalue(), "memory of the film")

    def _kept(self, record: Path) -> dict[str, np.ndarray] | None:
        """What was written with a record; None if there is none that belongs to its pose."""
        pose = pose_of(record, self.args.convention)
        for turn in range(2):
            with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                with np.load(record.with_name(MEMORY.format(turn)), allow_pickle=False) as file:
                    memory = dict(file)
                if memory["record"] == record.name and pose is not None and np.allclose(memory["pose"], pose, 0, CLOSE):
                    return memory
        return None


def pose_of(record: Path, convention: str) -> np.ndarray | None:
    """(4, 4) camera_from_object of a record, None if it holds none."""
    if read_json(record, "record").get("verdict") is None:
        return None
    return CONVENTIONS[convention] @ read_pose(record)


def pose_before(record: Path, convention: str) -> np.ndarray | None:
    """(4, 4) camera_from_object of a record, None where its frame could not be solved."""
    return None if read_json(record, "record").get("verdict") == Verdict.BAD.value else pose_of(record, convention)


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
