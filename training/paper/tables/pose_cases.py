# SPDX-License-Identifier: Apache-2.0
"""Test samples of pose, the methods that are measured on them, and what is said of their errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.loop import LoopSettings, solve
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshPool, load_library
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.update import network_update
from solver_core.problems.pose.align import ALIGN_LOOP
from solver_core.problems.pose.crop import crop_poses, turn_pose
from solver_core.problems.pose.metrics import is_outlier, pose_errors
from solver_core.problems.pose.problem import PoseProblem
from solver_core.problems.pose.sampler import PoseSampling, draw_poses
from solver_core.problems.pose.solve import PoseOptions, solve_pose
from solver_core.problems.pose.verdict import GOOD_IOU
from solver_core.solution import Solution
from solver_core.views import VERTICAL_FOV
from training.paper.baselines.pose_descent import PoseDescent, descend_neural_mesh_renderer, descend_soft_rasterizer
from training.paper.evaluation import Errors, Row, Run
from training.paper.histories import at_times
from training.paper.pyrender_depth import PyrenderDepth

IMAGE_SIZE = 128

DrawPoses = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]  # start and truth (1, 7)


class PoseCase(NamedTuple):
    """One test sample: mask (H, W) bool by pyrender, and poses (7,) of the mesh before the camera."""

    mesh: Mesh
    mask: np.ndarray
    camera: Camera
    start: np.ndarray
    truth: np.ndarray


class PoseTrace(NamedTuple):
    """What a method did: poses (T, 7), the start first and the result last, and the seconds (T,) after which it had them."""

    poses: np.ndarray
    seconds: np.ndarray
    steps: int


PoseMethod = Callable[[PoseCase, int], PoseTrace]  # random numbers come from the number of the sample


def load_test_meshes(data: Path, is_measured: bool = True) -> list[Mesh]:
    """Of the nine categories, or of all others."""
    meshes = MeshPool(load_library(data, "test"))
    return meshes.measured if is_measured else meshes.other


def draw_from(sampling: PoseSampling) -> DrawPoses:
    return lambda rng: draw_poses(sampling, rng, 1)


def draw_cases(meshes: list[Mesh], draw: DrawPoses, rng: np.random.Generator, count: int) -> list[PoseCase]:
    """Random test samples as the protocol says; one whose object is out of view is drawn again."""
    camera = Camera.from_fov(IMAGE_SIZE, IMAGE_SIZE, VERTICAL_FOV)
    cases: list[PoseCase] = []
    with PyrenderDepth(camera) as pyrender:
        while len(cases) < count:
            mesh = meshes[rng.integers(len(meshes))]
            start, truth = draw(rng)
            mask = pyrender.render_depth(mesh, matrix_from_pose(truth[0])) > 0
            if mask.any():
                cases.append(PoseCase(mesh, mask, camera, start[0], truth[0]))
    return cases


def ours(options: PoseOptions) -> PoseMethod:
    """The public solve."""

    def method(case: PoseCase, index: int) -> PoseTrace:
        solution = solve_pose(
            case.mask,
            case.mesh.vertices,
            case.mesh.faces,
            case.camera,
            matrix_from_pose(case.start),
            options=options,
            rng=np.random.default_rng(index),
        )
        matrices = np.stack([step.camera_from_object for step in solution.history])
        steps = sum(step.phase not in ("start", "result") for step in solution.history)
        return PoseTrace(pose_from_matrix(matrices), np.array([step.seconds for step in solution.history]), steps)

    return method


def soft_rasterizer(settings: PoseDescent) -> PoseMethod:
    return lambda case, index: _trace(descend_soft_rasterizer(*_given(case), settings))


def neural_mesh_renderer(settings: PoseDescent) -> PoseMethod:
    return lambda case, index: _trace(descend_neural_mesh_renderer(*_given(case), settings))


def networks_alone(networks: Sequence[NumpyNetwork], loop: LoopSettings, manifold: SE3 | None = None) -> PoseMethod:
    """Alignment and the given networks, as in solve_pose, with a loop and, if wanted, a manifold of their own."""

    def method(case: PoseCase, index: int) -> PoseTrace:
        began = time.perf_counter()
        cropped = crop_poses([case.mesh], [case.mask.astype(np.float32)], [case.camera])
        view = cropped.virtual_from_camera
        aligned = solve(cropped.problem, cropped.align, cropped.observation, turn_pose(view, case.start[None]), ALIGN_LOOP)
        to_loop = time.perf_counter() - began
        problem = replace(cropped.problem, manifold=manifold or cropped.problem.manifold)
        solution = solve(problem, network_update(problem, networks), cropped.observation, aligned.x, loop)
        poses = np.concatenate([turn_pose(view.transpose(0, 2, 1), step.x) for step in solution.history])
        seconds = np.array([step.seconds for step in solution.history]) + to_loop
        return PoseTrace(np.concatenate([case.start[None], poses]), np.append(0, seconds), len(poses))

    return method


def chained(first: PoseMethod, second: PoseMethod) -> PoseMethod:
    """The second method started where the first ends."""

    def method(case: PoseCase, index: int) -> PoseTrace:
        before = first(case, index)
        after = second(case._replace(start=before.poses[-1]), index)
        poses = np.concatenate([before.poses, after.poses])
        seconds = np.concatenate([before.seconds, before.seconds[-1] + after.seconds])
        return PoseTrace(poses, seconds, before.steps + after.steps)

    return method


def _given(case: PoseCase) -> tuple[PoseProblem, np.ndarray, np.ndarray]:
    problem = PoseProblem([case.mesh], case.camera.intrinsics[None], case.camera.height, case.camera.width)
    return problem, case.mask[None].astype(np.float32), case.start[None]


def _trace(solution: Solution) -> PoseTrace:
    poses = np.concatenate([step.x for step in solution.history])
    return PoseTrace(poses, np.array([step.seconds for step in solution.history]), len(poses) - 1)


def measure(run: Run, label: str, cases: list[PoseCase], method: PoseMethod, settings: object, count: int = 0) -> Errors:
    """Errors of a method on the first count cases (0 = all), one after the other; see _errors for what of."""
    count = min(count or len(cases), len(cases))
    chunk_size = 25 if count > 25 else 5

    def errors(rows: np.ndarray) -> Errors:
        each = [_errors(cases[row], method(cases[row], int(row))) for row in rows]
        return {name: np.stack([one[name] for one in each]) for name in each[0]}

    return run.measure(label, count, errors, settings, chunk_size)


def _errors(case: PoseCase, trace: PoseTrace) -> Errors:
    """Of the result, and of the rotation on the way; steps and seconds are those of the whole solve."""
    rotation_deg, translation = pose_errors(trace.poses, np.broadcast_to(case.truth, trace.poses.shape))
    return {
        "rotation_deg": rotation_deg[-1],
        "translation": translation[-1],
        "iou": np.array(_iou(case, trace.poses[-1])),
        "steps": np.array(trace.steps),
        "seconds": trace.seconds[-1],
        "start_deg": rotation_deg[0],
        "by_time": at_times(trace.seconds, rotation_deg[:, None])[0],  # degrees
        "pose": trace.poses[-1],
    }


def _iou(case: PoseCase, pose: np.ndarray) -> float:
    """Overlap of the mask at a pose (7,) with the observed one."""
    problem, observed, _ = _given(case)
    mask = np.isfinite(problem.forward(pose[None], np.array([0])))
    return float((mask & (observed > 0)).sum() / max(1, (mask | (observed > 0)).sum()))


def summary(errors: Errors) -> Row:
    """A row of a table."""
    rotation_deg, translation, iou = errors["rotation_deg"], errors["translation"], errors["iou"]
    outlier, is_good = is_outlier(rotation_deg, translation), iou >= GOOD_IOU
    return {
        "num_samples": len(rotation_deg),
        "rotation_mean_deg": float(np.mean(rotation_deg)),
        "rotation_median_deg": float(np.median(rotation_deg)),
        "rotation_p95_deg": float(np.percentile(rotation_deg, 95)),
        "translation_mean": float(np.mean(translation)),
        "translation_median": float(np.median(translation)),
        "outliers_percent": float(100 * np.mean(outlier)),
        "good_iou_percent": float(100 * np.mean(is_good)),
        "outliers_of_good_iou_percent": float(100 * np.sum(outlier & is_good) / max(1, np.sum(is_good))),
        "steps_mean": float(np.mean(errors["steps"])),
        "median_ms": float(1000 * np.median(errors["seconds"])),
        "mean_ms": float(1000 * np.mean(errors["seconds"])),
    }
