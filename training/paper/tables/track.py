# SPDX-License-Identifier: Apache-2.0
"""Tracking: shots of 300 frames, masks and photographs, of objects that turn, are hidden by a bar that passes, or jump."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from solver_core import render, rotations
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.pose.smooth import smooth_poses
from solver_core.problems.pose.solve import PoseOptions, solve_pose
from solver_core.problems.pose.symmetry import errors_modulo, find_symmetries
from solver_core.problems.pose.track import track_pose
from solver_core.solution import Verdict
from solver_core.views import CAMERA_DISTANCE, VERTICAL_FOV
from training.paper.evaluation import Errors, Row, Run
from training.paper.pyrender_depth import PyrenderDepth
from training.paper.tables.damaged import WRONG_DEG, WRONG_TRANSLATION

TITLE = "Tracking: poses in shots of 300 frames"
NUM_SAMPLES = 20  # shots a row
QUICK_SAMPLES = 1
NUM_FRAMES = 300
FRAMES_IN_FULL = 40  # that solve_pose solves one by one, for comparison
FOCAL_RANGE = (0.7, 1.4)  # of the true focal length, where it is not known
CAMERA = Camera.from_fov(640, 640, VERTICAL_FOV)
START_STEP = 0.05  # radians and shares: how far the given start is off
JUMP, JUMP_FRAMES = np.radians(30.0), 50  # an object jumps once in so many frames
BAR_PX, BAR_FRAMES, BAR_EVERY = 90, 40, 100  # width of the bar, and frames that it takes to pass, once in so many frames
BACK_FRAMES = 5
NUM_WAVES = 12  # that a pattern is made of
NOISE = 4.0  # of 255, standard deviation of a photograph's pixels
# Kind of frames, degrees that the object turns a frame at most, and what happens.
SHOTS = [
    *itertools.product(["masks", "photographs"], [3, 10], [""]),
    *itertools.product(["masks", "photographs"], [3, 10], ["bar"]),
    *itertools.product(["masks"], [3, 10], ["jumps"]),
]


class Shot(NamedTuple):
    """truth: (F, 7).  events: frames in which the object jumps or is free of the bar again."""

    mesh: Mesh
    truth: np.ndarray
    start: np.ndarray
    events: list[int]


def rows(run: Run) -> list[Row]:
    """A row for each kind of shot, one of the full solver in each frame, and one of focal lengths that are not known."""
    render.set_num_threads(1)
    meshes = MeshPool(load_library(run.data, "test")).measured
    table: list[Row] = []
    for kind, degrees, what in SHOTS:

        def measure(part: np.ndarray, kind: str = kind, degrees: int = degrees, what: str = what) -> Errors:
            return {"found": np.stack([_tracked(run.seed, int(row), meshes, kind, degrees, what) for row in part])}

        found = run.measure(f"{kind}, {degrees} deg, {what}", run.num_samples, measure, PoseOptions(), 1)["found"]
        events = draw(run.seed, 0, meshes, degrees, what).events
        about = {"frames": kind, "degrees_a_frame": degrees, "with": what or "nothing", "method": "track_pose"}
        table.append({**about, **summary(found, events)})
    about = {"frames": "masks", "degrees_a_frame": 3, "with": "nothing"}
    each_row = {"solve_pose": _solved, "focal length of a shot": _focal}
    found = {
        name: run.measure(
            name,
            run.num_samples,
            lambda part, of=of: {"found": np.stack([of(run.seed, int(row), meshes) for row in part])},
            PoseOptions(),
            1,
        )["found"]
        for name, of in each_row.items()
    }
    table.append({**about, "method": "solve_pose", **summary(found["solve_pose"], [])})
    table.append({**about, "method": "focal length of a shot", **focal_summary(found["focal length of a shot"])})
    return table


def summary(found: np.ndarray, events: list[int]) -> Row:
    """A row, from degrees and diagonals off, whether it is lost, and milliseconds: (N, F, 4), and degrees and diagonals off
    after smoothing, where that was done: (N, F, 6).  events: as of a Shot.
    """
    degrees, translation, lost, milliseconds, *smooth = np.moveaxis(found, -1, 0)
    wrong, is_lost = (degrees > WRONG_DEG) | (translation > WRONG_TRANSLATION), lost > 0
    row: Row = {
        "num_shots": len(found),
        "median_ms": float(np.median(milliseconds)),
        "mean_ms": float(np.mean(milliseconds)),
        "rotation_median_deg": float(np.median(degrees)),
        "rotation_p95_deg": float(np.percentile(degrees, 95)),
        "wrong_percent": float(100 * np.mean(wrong)),
        "right_but_lost_percent": float(100 * np.mean(is_lost[~wrong])) if (~wrong).any() else 0.0,
    }
    if smooth:
        row["smooth_median_deg"] = float(np.median(smooth[0]))
        row["smooth_p95_deg"] = float(np.percentile(smooth[0], 95))
        row["smooth_wrong_percent"] = float(100 * np.mean((smooth[0] > WRONG_DEG) | (smooth[1] > WRONG_TRANSLATION)))
    if wrong.any():
        row["wrong_and_lost_percent"] = float(100 * np.mean(is_lost[wrong]))
    if events:
        back = [(~wrong & ~is_lost)[:, frame : frame + BACK_FRAMES].any(axis=1) for frame in events]
        row["back_in_5_percent"] = float(100 * np.mean(back))
    return row


def focal_summary(found: np.ndarray) -> Row:
    """A row, from the focal length that was found and the ends of its interval, in units of the true one: (N, 3)."""
    focal, low, high = found.T
    return {
        "num_shots": len(found),
        "focal_off_median_percent": float(100 * np.median(np.abs(focal - 1))),
        "focal_off_worst_percent": float(100 * np.max(np.abs(focal - 1))),
        "interval_holds_percent": float(100 * np.mean((low <= 1) & (high >= 1))),
    }


def draw(seed: int, row: int, meshes: list[Mesh], degrees: int, what: str) -> Shot:
    """A shot: the object turns ever another way, up to so many degrees a frame, and drifts."""
    rng = np.random.default_rng([seed, 95, row, degrees])
    mesh = meshes[int(rng.integers(len(meshes)))]
    fastest = np.radians(degrees)
    turn, place, pose = 0.6 * fastest * _direction(rng), np.zeros(3), np.array([0.0, 0, 0, 0, 0, 0, -CAMERA_DISTANCE])
    pose[:4] = rotations.random_wxyz(rng)
    truth, jumps = [], range(JUMP_FRAMES, NUM_FRAMES, JUMP_FRAMES) if what == "jumps" else range(0)
    for frame in range(NUM_FRAMES):
        truth.append(pose)
        turn = turn + 0.15 * fastest * rng.normal(size=3)
        turn *= min(1.0, fastest / np.linalg.norm(turn))
        step = turn if frame + 1 not in jumps else JUMP * _direction(rng)
        pose = SE3().retract(pose[None], np.concatenate([step, np.zeros(3)])[None])[0]
        place = 0.95 * place + 0.008 * rng.normal(size=3)
        pose[4:] = place - [0, 0, CAMERA_DISTANCE]
    start = SE3().retract(truth[0][None], START_STEP * rng.normal(size=(1, 6)) * [1, 1, 1, 0.2, 0.2, 0.5])[0]
    events = list(jumps) if what == "jumps" else list(range(BAR_FRAMES, NUM_FRAMES, BAR_EVERY)) if what == "bar" else []
    return Shot(mesh, np.stack(truth), start, events)


def frames_of(shot: Shot, kind: str, what: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Masks (H, W) bool, or photographs (H, W, 3) uint8 of a patterned object before a pattern."""
    columns, rows_ = np.meshgrid(np.arange(CAMERA.width) + 0.5, np.arange(CAMERA.height) + 0.5)
    colours, waves = rng.uniform(60, 200, (2, 3)), rng.normal(size=(2, NUM_WAVES, 3)) * np.array([0.02, 12.0])[:, None, None]
    phases, sizes = rng.uniform(0, 2 * np.pi, (2, NUM_WAVES)), rng.normal(scale=12, size=(2, NUM_WAVES, 3))

    def pattern(index: int, points: np.ndarray) -> np.ndarray:
        return colours[index] + np.sin(points @ waves[index].T + phases[index]) @ sizes[index]

    background = pattern(0, np.stack([columns, rows_, 0 * rows_], axis=-1)) if kind == "photographs" else None
    with PyrenderDepth(CAMERA) as pyrender:
        depth_of = pyrender.loaded(shot.mesh)
        for frame, pose in enumerate(shot.truth):
            matrix = matrix_from_pose(pose)
            depth = depth_of(matrix)
            mask = depth > 0
            hidden = np.zeros(CAMERA.width, bool)
            if what == "bar" and frame % BAR_EVERY < BAR_FRAMES:
                left = int((CAMERA.width + BAR_PX) * (frame % BAR_EVERY) / BAR_FRAMES)
                hidden[max(0, left - BAR_PX) : left] = True
            if background is None:
                yield mask & ~hidden
                continue
            image, far = background.copy(), depth[mask]
            x, y = (columns[mask] - CAMERA.cx) / CAMERA.fx * far, (CAMERA.cy - rows_[mask]) / CAMERA.fy * far
            image[mask] = pattern(1, (np.stack([x, y, -far], axis=1) - matrix[:3, 3]) @ matrix[:3, :3])
            image[:, hidden] = 230.0
            yield np.clip(image + rng.normal(scale=NOISE, size=image.shape), 0, 255).astype(np.uint8)


def _tracked(seed: int, row: int, meshes: list[Mesh], kind: str, degrees: int, what: str) -> np.ndarray:
    """(F, 6) as summary takes them, of a shot that track_pose follows."""
    shot = draw(seed, row, meshes, degrees, what)
    frames = frames_of(shot, kind, what, np.random.default_rng([seed, 96, row]))
    spent = 0.0

    def timed() -> Iterator[np.ndarray]:
        nonlocal spent
        for frame in frames:
            spent = time.process_time()  # from here on, the tracker is at work
            yield frame

    results, milliseconds = [], []
    for result in track_pose(timed(), shot.mesh.vertices, shot.mesh.faces, CAMERA, matrix_from_pose(shot.start)):
        milliseconds.append(1000 * (time.process_time() - spent))
        results.append(result)
    found, smooth = (
        [_errors(shot.mesh, one.camera_from_object, truth) for one, truth in zip(poses, shot.truth, strict=True)]
        for poses in (results, smooth_poses(results))
    )
    return np.column_stack([found, [one.lost for one in results], milliseconds, smooth])


def _solved(seed: int, row: int, meshes: list[Mesh]) -> np.ndarray:
    """The same of the first frames of a shot, each solved in full from the pose before."""
    shot = draw(seed, row, meshes, 3, "")
    frames = frames_of(shot, "masks", "", np.random.default_rng([seed, 96, row]))
    found, start = [], matrix_from_pose(shot.start)
    for frame, truth in zip(itertools.islice(frames, FRAMES_IN_FULL), shot.truth, strict=False):
        began = time.process_time()
        result = solve_pose(frame, shot.mesh.vertices, shot.mesh.faces, CAMERA, start)
        milliseconds, start = 1000 * (time.process_time() - began), result.camera_from_object
        found.append([*_errors(shot.mesh, start, truth), float(result.verdict is not Verdict.GOOD), milliseconds])
    return np.array(found)


def _focal(seed: int, row: int, meshes: list[Mesh]) -> np.ndarray:
    """(3,) as focal_summary takes them, of a shot whose camera is known but for its focal length."""
    shot = draw(seed, row, meshes, 3, "")
    frames = list(frames_of(shot, "masks", "", np.random.default_rng([seed, 96, row])))
    model = shot.mesh.vertices, shot.mesh.faces, CAMERA, matrix_from_pose(shot.start)
    first = next(track_pose(frames, *model, focal_range=(FOCAL_RANGE[0] * CAMERA.fx, FOCAL_RANGE[1] * CAMERA.fx)))
    assert first.fx_range is not None
    return np.array([first.setup.camera.fx, *first.fx_range]) / CAMERA.fx


def _errors(mesh: Mesh, camera_from_object: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Degrees and diagonals off, modulo symmetry."""
    return errors_modulo(find_symmetries(mesh), pose_from_matrix(camera_from_object), truth, mesh)[:2]


def _direction(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(size=3)
    return vector / np.linalg.norm(vector)
