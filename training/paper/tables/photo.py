# SPDX-License-Identifier: Apache-2.0
"""No mask: poses and masks from photographs that Cycles rendered, before pictures, panoramas and in rooms.  Needs bpy."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from solver_core import render
from solver_core.caching import cached_arrays
from solver_core.errors import SolverError
from solver_core.frames import matrix_from_pose, pose_from_matrix
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.pose.photograph import solve_pose_from_image
from solver_core.problems.pose.solve import PoseOptions, solve_pose
from solver_core.problems.pose.symmetry import errors_modulo, find_symmetries
from solver_core.segmentation.mask import mask_from_image
from solver_core.solution import Verdict
from training.paper.evaluation import Errors, Row, Run
from training.paper.pyrender_depth import PyrenderDepth
from training.paper.tables.damaged import WRONG_DEG, WRONG_TRANSLATION

if TYPE_CHECKING:
    from training.cycles.photographs import Photograph

TITLE = "No mask: poses and masks from photographs"
NUM_SAMPLES = 200
QUICK_SAMPLES = 3
GOOD_IOU = 0.97
LOOSE_BOX = 0.05  # of the object's longer side, at most: how far each side of the user's box lies outside of it
GRABCUT_ROUNDS = 5  # as in OpenCV's own example
VERSION = 1  # of the photographs; raise when they change

Box = tuple[float, float, float, float]


def rows(run: Run) -> list[Row]:
    """Poses from both kinds of starts, then masks, by all methods on the same photographs."""
    from training.cycles import photographs  # needs bpy, which few installations have

    render.set_num_threads(1)
    meshes = MeshPool(load_library(run.data, "test")).measured
    table: list[Row] = []
    for degrees in (photographs.NEAR_DEG, photographs.FAR_DEG):
        for name, method in {"ours": _ours, "GrabCut from a box, then solve_pose": _grabcut_then_solve}.items():
            measure = _measuring(
                run, meshes, lambda case, truth, box, method=method, degrees=degrees: method(case, box, degrees)
            )
            errors = run.measure(f"{name}, {degrees} deg", run.num_samples, measure, PoseOptions(), 2)
            table.append({"what": "pose", "start": f"up to {degrees} deg", "method": name, **pose_summary(errors["found"])})
    for name, find in MASKS.items():
        measure = _measuring(run, meshes, lambda case, truth, box, find=find: _mask_error(find, case, truth, box))
        errors = run.measure(f"mask, {name}", run.num_samples, measure, None, 4)
        table.append({"what": "mask", "method": name, **mask_summary(errors["found"])})
    return table


def pose_summary(found: np.ndarray) -> Row:
    """A row, from degrees and diagonals off, modulo symmetry, whether it is called good, and seconds: (N, 4)."""
    degrees, translation, good, seconds = found.T
    wrong, is_good = (degrees > WRONG_DEG) | (translation > WRONG_TRANSLATION), good > 0
    return {
        "num_samples": len(found),
        "right_percent": float(100 * np.mean(~wrong)),
        "rotation_median_deg": float(np.median(degrees)),
        "translation_median": float(np.median(translation)),
        "good_percent": float(100 * np.mean(is_good)),
        "good_but_wrong_percent": float(100 * np.mean(is_good & wrong)),
        "median_s": float(np.median(seconds)),
    }


def mask_summary(found: np.ndarray) -> Row:
    """A row, from overlaps and seconds (N, 2)."""
    overlap, seconds = found.T
    return {
        "num_samples": len(found),
        "iou_97_percent": float(100 * np.mean(overlap >= GOOD_IOU)),
        "iou_mean": float(np.mean(overlap)),
        "iou_median": float(np.median(overlap)),
        "median_s": float(np.median(seconds)),
    }


def _measuring(
    run: Run, meshes: list[Mesh], measure: Callable[[Photograph, np.ndarray, Box], np.ndarray]
) -> Callable[[np.ndarray], Errors]:
    """What a method gives for samples, of which it sees photograph, true mask (H, W) and box."""

    def errors(part: np.ndarray) -> Errors:
        cases = [photograph(run.seed, int(row), meshes) for row in part]
        return {
            "found": np.stack(
                [measure(case, *true_mask_and_box(case, run.seed, int(row))) for case, row in zip(cases, part, strict=True)]
            )
        }

    return errors


def photograph(seed: int, row: int, meshes: list[Mesh]) -> Photograph:
    """A sample; its photograph takes Cycles half a minute, so it is kept."""
    from training.cycles import photographs

    def drawn() -> dict[str, np.ndarray]:
        case = photographs.draw(np.random.default_rng([seed, 90, row]), meshes)
        return {
            "image": case.image,
            "vertices": case.mesh.vertices,
            "faces": case.mesh.faces,
            "truth": case.truth,
            "angles": np.array(list(case.starts)),
            "starts": np.array(list(case.starts.values())),
            "background": np.array([case.background]),
            "is_similar": np.array([case.is_similar]),
        }

    kept = cached_arrays(f"photograph-{VERSION}-{seed}-{row}", drawn)
    starts = dict(zip(kept["angles"].tolist(), kept["starts"], strict=True))
    mesh = Mesh(kept["vertices"], kept["faces"])
    return photographs.Photograph(
        kept["image"], mesh, kept["truth"], starts, str(kept["background"][0]), bool(kept["is_similar"][0])
    )


def true_mask_and_box(case: Photograph, seed: int, row: int) -> tuple[np.ndarray, Box]:
    """(H, W) bool by pyrender, and a box that a user draws around it."""
    from training.cycles.photographs import CAMERA

    with PyrenderDepth(CAMERA) as pyrender:
        truth = pyrender.render_depth(case.mesh, matrix_from_pose(case.truth)) > 0
    rows_, columns = np.flatnonzero(truth.any(axis=1)), np.flatnonzero(truth.any(axis=0))
    loose = np.random.default_rng([seed, 91, row]).uniform(0, LOOSE_BOX, 4) * max(np.ptp(rows_), np.ptp(columns))
    low, high = np.array([columns[0], rows_[0]]) - loose[:2], np.array([columns[-1], rows_[-1]]) + 1 + loose[2:]
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, (CAMERA.width, CAMERA.height))
    return truth, (float(left), float(top), float(right), float(bottom))


def grabcut(case: Photograph, box: Box) -> np.ndarray:
    """(H, W) bool by OpenCV from a box (Rother, Kolmogorov and Blake 2004)."""
    cv2: Any = importlib.import_module("cv2")  # of the extra peers

    cv2.setRNGSeed(0)
    cv2.setNumThreads(1)
    labels = np.zeros(case.image.shape[:2], np.uint8)
    left, top, right, bottom = (round(side) for side in box)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    area = left, top, right - left, bottom - top
    cv2.grabCut(case.image[..., ::-1].copy(), labels, area, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_RECT)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def _ours(case: Photograph, box: Box, degrees: int) -> np.ndarray:
    return _pose_error(case, lambda: solve_pose_from_image(case.image, **_model(case, degrees)))


def _grabcut_then_solve(case: Photograph, box: Box, degrees: int) -> np.ndarray:
    return _pose_error(case, lambda: solve_pose(grabcut(case, box), **_model(case, degrees)))


def _model(case: Photograph, degrees: int) -> dict[str, Any]:
    from training.cycles.photographs import CAMERA

    start = matrix_from_pose(case.starts[degrees])
    return {"vertices": case.mesh.vertices, "faces": case.mesh.faces, "camera": CAMERA, "start": start}


def _pose_error(case: Photograph, solve: Callable[[], Any]) -> np.ndarray:
    """(4,) as pose_summary takes them; what ends in an error is wrong, and not called good."""
    began = time.process_time()
    try:
        result = solve()
    except SolverError:
        return np.array([180.0, 1.0, 0.0, time.process_time() - began])
    seconds = time.process_time() - began
    pose = pose_from_matrix(result.camera_from_object)
    degrees, translation, _ = errors_modulo(find_symmetries(case.mesh), pose, case.truth, case.mesh)
    return np.array([degrees, translation, float(result.verdict is Verdict.GOOD), seconds])


def _mask_error(find: Callable[[Photograph, Box], np.ndarray], case: Photograph, truth: np.ndarray, box: Box) -> np.ndarray:
    """(2,) overlap and seconds."""
    began = time.process_time()
    try:
        mask = find(case, box)
    except SolverError:
        mask = np.zeros_like(truth)
    seconds = time.process_time() - began
    return np.array([np.sum(mask & truth) / np.sum(mask | truth), seconds])


def _with_model(degrees: int) -> Callable[[Photograph, Box], np.ndarray]:
    return lambda case, box: mask_from_image(case.image, box, **_model(case, degrees)).coverage >= 0.5


MASKS: dict[str, Callable[[Photograph, Box], np.ndarray]] = {
    "GrabCut from a box": grabcut,
    "ours from a box": lambda case, box: mask_from_image(case.image, box).coverage >= 0.5,
    "ours from a box and the model, up to 10 deg off": _with_model(10),
    "ours from a box and the model, up to 40 deg off": _with_model(40),
}
