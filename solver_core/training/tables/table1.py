"""Table 1: pose from one silhouette, canonical view and any view, on meshes of sources never trained on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.mesh import Mesh
from solver_core.mesh_library import load_library
from solver_core.problems.pose.metrics import is_outlier, pose_errors
from solver_core.problems.pose.sampler import CATEGORIES, VERTICAL_FOV, PoseSampling, draw_poses
from solver_core.problems.pose.solve import GOOD_IOU, PoseSettings, PoseSolution, solve_pose
from solver_core.training.pyrender_depth import PyrenderDepth

logger = logging.getLogger(__name__)

TITLE = "Table 1: pose from one silhouette"
NUM_SAMPLES = 1000
IMAGE_SIZE = 128
METHODS = {
    "ours, 5 steps": PoseSettings(steps=5, refine=False, restarts=0),
    "ours + refine": PoseSettings(steps=5, refine=True, restarts=0),
    "ours + refine + restarts": PoseSettings(steps=5, refine=True, restarts=8),
    "alignment + refine, no network": PoseSettings(steps=0, refine=True, restarts=0),
    "alignment + refine + restarts, no network": PoseSettings(steps=0, refine=True, restarts=8),
}
VIEWS = {"canonical": PoseSampling(canonical=1.0), "any": PoseSampling(canonical=0.0)}


class PoseCase(NamedTuple):
    """One test sample: mask (H, W) bool by pyrender, and poses (7,) of the mesh before the camera."""

    mesh: Mesh
    mask: np.ndarray
    camera: Camera
    start: np.ndarray
    truth: np.ndarray


def rows(data: Path, num_samples: int, seed: int) -> list[dict[str, str | float | int]]:
    """Errors of every method on the same samples, for both views and for the categories beyond the nine."""
    render.set_num_threads(1)
    library = load_library(data, "test")
    measured = [entry.mesh for entry in library if entry.category in CATEGORIES]
    other = [entry.mesh for entry in library if entry.category not in CATEGORIES]
    table = []
    for view, sampling in VIEWS.items():
        for categories, meshes, count in (("nine", measured, num_samples), ("other", other, max(1, num_samples // 4))):
            cases = draw_cases(meshes, sampling, np.random.default_rng([seed, len(table)]), count)
            for method, settings in METHODS.items():
                logger.info("%s view, %s categories, %s: %d samples", view, categories, method, len(cases))
                table.append({"view": view, "categories": categories, "method": method, **measure(cases, settings)})
    return table


def draw_cases(meshes: list[Mesh], sampling: PoseSampling, rng: np.random.Generator, count: int) -> list[PoseCase]:
    """Random test samples as the protocol says; one whose object is out of view is drawn again."""
    camera = Camera.from_fov(IMAGE_SIZE, IMAGE_SIZE, VERTICAL_FOV)
    cases: list[PoseCase] = []
    with PyrenderDepth(camera) as pyrender:
        while len(cases) < count:
            mesh = meshes[rng.integers(len(meshes))]
            start, truth = draw_poses(sampling, rng, 1)
            mask = pyrender.render_depth(mesh, matrix_from_pose(truth[0])) > 0
            if mask.any():
                cases.append(PoseCase(mesh, mask, camera, start[0], truth[0]))
    return cases


def measure(cases: list[PoseCase], settings: PoseSettings) -> dict[str, float | int]:
    """Mean, median, 95th percentile and outliers of one method; milliseconds are per sample, one after the other."""
    solutions = [_solve(case, settings, index) for index, case in enumerate(cases)]
    poses = np.stack([pose_from_matrix(solution.camera_from_object) for solution in solutions])
    rotation_deg, translation = pose_errors(poses, np.stack([case.truth for case in cases]))
    outlier = is_outlier(rotation_deg, translation)
    is_good = np.array([solution.iou >= GOOD_IOU for solution in solutions])
    return {
        "num_samples": len(cases),
        "rotation_mean_deg": float(np.mean(rotation_deg)),
        "rotation_median_deg": float(np.median(rotation_deg)),
        "rotation_p95_deg": float(np.percentile(rotation_deg, 95)),
        "translation_mean": float(np.mean(translation)),
        "translation_median": float(np.median(translation)),
        "outliers_percent": float(100 * np.mean(outlier)),
        "good_iou_percent": float(100 * np.mean(is_good)),
        "outliers_of_good_iou_percent": float(100 * np.sum(outlier & is_good) / max(1, np.sum(is_good))),
        "steps_mean": float(np.mean([_num_steps(solution) for solution in solutions])),
        "median_ms": float(1000 * np.median([solution.seconds for solution in solutions])),
        "mean_ms": float(1000 * np.mean([solution.seconds for solution in solutions])),
    }


def _num_steps(solution: PoseSolution) -> int:
    return sum(step.phase not in ("start", "result") for step in solution.history)


def _solve(case: PoseCase, settings: PoseSettings, index: int) -> PoseSolution:
    return solve_pose(
        case.mask,
        case.mesh.vertices,
        case.mesh.faces,
        case.camera,
        matrix_from_pose(case.start),
        settings.refine,
        settings.restarts,
        rng=np.random.default_rng(index),
        steps=settings.steps,
    )
