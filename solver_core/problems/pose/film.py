# SPDX-License-Identifier: Apache-2.0
"""The frames of a film in files, followed from one to the next as tasks of a folder.

What the next frame depends on is kept beside the records, so that a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.camera_files import read_camera
from solver_core.command.files import Surface, read_photo, read_pose
from solver_core.command.folder import Task, Words
from solver_core.errors import ObservationError
from solver_core.frames import Camera
from solver_core.problems.pose.confidence import PoseInterval
from solver_core.problems.pose.inputs import CONVENTIONS, mesh_of, read_inputs, read_start
from solver_core.problems.pose.setup import PoseSetup
from solver_core.problems.pose.shot_focal import ShotFocal, spread_frames
from solver_core.problems.pose.shots import MaskShot, shot_of
from solver_core.problems.pose.smooth import smooth_poses
from solver_core.problems.pose.solve import PoseOptions
from solver_core.problems.pose.track import UNKNOWN_INTERVAL, TrackedPose, Tracker, checked_setup, focal_of_masks
from solver_core.reading import read_json
from solver_core.solution import Verdict
from solver_core.writing import write_bytes, write_text

# Two files in turn, since a kill may come between a memory and the record that it belongs to.
MEMORY = ".tracking-{}.npz"
FAR = np.array([1.0, 0, 0, 0, 0, 0, -1.0])  # a pose (7,) for a frame that has none, until it is filled
CLOSE = 1e-9  # the pose of a record has gone through the axes of another convention


class Film:
    """Solves one frame after the other; after frames that an earlier run has solved it goes on from what that left."""

    def __init__(self, args: argparse.Namespace, options: PoseOptions, is_of_photos: bool, tasks: Sequence[Task]) -> None:
        self.args, self.options, self.is_of_photos, self.tasks = args, options, is_of_photos, tasks
        self.tracker: Tracker | None = None
        self.last: Path | None = None
        self.known: np.ndarray | None = None  # (4, 4) camera_from_object of the last frame that was not lost
        self.focal: ShotFocal | None = None  # that was found
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
        content = _content(result, self.args.convention)
        return content if self.focal is None else {**content, "fx": self.focal.fx, "fx_range": self.focal[1:]}

    def smooth(self, words: Words) -> None:
        """Writes the poses of all frames, from their records, smoothed.  Raises SolverError."""
        poses = [pose_of(task.record, self.args.convention) for task in self.tasks]
        cameras = (self._read(task)["camera"] for task, pose in zip(self.tasks, poses, strict=True) if pose is not None)
        camera, mesh = next(cameras, None), mesh_of(self.args.mesh)
        if camera is None:
            raise ObservationError("no frame of the film was solved, so there is nothing to smooth")
        setup = checked_setup(mesh.vertices, mesh.faces, camera, None, self.args.up, None)
        results = [
            _result_of(read_json(task.record, "record"), number, setup.user_matrix(FAR) if pose is None else pose, setup)
            for number, (task, pose) in enumerate(zip(self.tasks, poses, strict=True))
        ]
        frames = [
            {words.source: task.source.name, **_content(one, self.args.convention), "is_filled": one.is_filled}
            for task, one in zip(self.tasks, smooth_poses(results), strict=True)
        ]
        write_text(self.args.smooth, json.dumps({"frames": frames}, indent=2) + "\n", "file of --smooth")

    def _read(self, task: Task) -> dict[str, Any]:
        """Image and camera of a frame."""
        if self.is_of_photos:
            image = read_photo(task.source)
            return {"image": image, "camera": read_camera(self.args.camera, (image.shape[1], image.shape[0]))}
        inputs = read_inputs(argparse.Namespace(**{**vars(self.args), "mask": task.source}))
        return {"image": inputs["mask"], "camera": inputs["camera"]}

    def _begin(self, task: Task, image: np.ndarray, camera: Camera) -> None:
        """Begins with a frame, from the pose of the record before, or from the user's start."""
        mesh = mesh_of(self.args.mesh)
        if self.args.focal is not None:
            self.focal = self.focal or self._focal_before(task) or self._focal_of_film(mesh, camera)
            camera = camera.with_focal(self.focal.fx)
        before = None if task.follows is None else pose_before(task.follows, self.args.convention)
        self.known = self.known if before is None else before
        start = read_start(self.args) if self.known is None else self.known
        setup = checked_setup(mesh.vertices, mesh.faces, camera, start, self.args.up, None)
        self.tracker, self.number = Tracker(setup, shot_of(image, setup, camera, self.options)), 0
        memory = None if task.follows is None else self._kept(task.follows)
        if memory is not None:
            self.tracker.recall(memory)
            self.number, self.known = int(memory["number"]) + 1, memory.get("known")

    def _focal_before(self, task: Task) -> ShotFocal | None:
        """The focal length in the record of the frame before."""
        content = {} if task.follows is None else read_json(task.follows, "record")
        return ShotFocal(content["fx"], *content["fx_range"]) if {"fx", "fx_range"} <= set(content) else None

    def _focal_of_film(self, mesh: Surface, camera: Camera) -> ShotFocal:
        """The focal length that frames spread over the film agree on; those that cannot be read do not count."""
        start = read_start(self.args)
        setup = checked_setup(mesh.vertices, mesh.faces, camera, start, self.args.up, self.args.focal)
        shot = MaskShot(setup, camera, self.options)
        return focal_of_masks(
            shot, setup, spread_frames(len(self.tasks)), lambda number: self._read(self.tasks[number])["image"]
        )

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


def _result_of(content: Mapping[str, Any], number: int, pose: np.ndarray, setup: PoseSetup) -> TrackedPose:
    """The result that a record holds, with its pose (4, 4); what failed is lost."""
    interval = {name: math.inf if value is None else value for name, value in content.get("interval", {}).items()}
    covariance = content.get("covariance")
    verdict = Verdict(content.get("verdict", Verdict.BAD.value))
    return TrackedPose(
        frame=number,
        camera_from_object=pose,
        verdict=verdict,
        explanation=content.get("explanation", ""),
        confidence=content.get("confidence", 0.0),
        interval=PoseInterval(**interval) if interval else UNKNOWN_INTERVAL,
        covariance=np.diag(np.full(6, np.inf)) if covariance is None else np.array(covariance),
        iou=content.get("iou", 0.0),
        lost=verdict is not Verdict.GOOD,
        is_repaired=content.get("is_repaired", False),
        seconds=content.get("seconds", 0.0),
        setup=setup,
    )


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
