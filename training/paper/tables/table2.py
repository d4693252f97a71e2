# SPDX-License-Identifier: Apache-2.0
"""Table 2: what the forward process and the update of a pose step cost, by every method, on the same samples.

Times are processor times of one thread, which what else the machine does changes little.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.frames import matrix_from_pose
from solver_core.loop import solve
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks
from solver_core.problem import Arrays, Update
from solver_core.problems.pose.align import ALIGN_LOOP
from solver_core.problems.pose.crop import crop_poses, turn_pose
from solver_core.problems.pose.features import CROP_SIZE, INPUT_LAYOUT
from solver_core.problems.pose.problem import PoseProblem
from solver_core.problems.pose.refine import refine_levels
from solver_core.problems.pose.sampler import PoseSampling
from training.paper.baselines.neural_mesh_renderer import hard_overlap_slope, hard_silhouette
from training.paper.baselines.pose_descent import PoseDescent
from training.paper.baselines.soft_rasterizer import soft_overlap_slope, soft_silhouette
from training.paper.evaluation import Errors, Row, Run
from training.paper.pyrender_depth import PyrenderDepth
from training.paper.tables.pose_cases import IMAGE_SIZE, PoseCase, draw_cases, draw_from, load_test_meshes

logger = logging.getLogger(__name__)

TITLE = "Table 2: cost of a pose step"
NUM_SAMPLES = 100
QUICK_SAMPLES = 50
# The fastest of so many repeats counts, or of as many as take so long: the others found the caches cold or the machine busy.
REPEATS, REPEAT_SECONDS = 5, 0.05
DESCENT = PoseDescent()
PUBLISHED = PoseDescent(sigma=1e-4)  # softer than our tuning found best: faces reach farther
IMAGES = {
    "ours, network": f"{CROP_SIZE} x {CROP_SIZE}",
    "ours, refine": "window around the mask",
    "soft rasteriser": f"{IMAGE_SIZE} x {IMAGE_SIZE}",
    "soft rasteriser, published sigma": f"{IMAGE_SIZE} x {IMAGE_SIZE}",
    "neural mesh renderer": f"{DESCENT.finer * IMAGE_SIZE} x {DESCENT.finer * IMAGE_SIZE}",
    "our rasteriser as forward": f"{IMAGE_SIZE} x {IMAGE_SIZE}",
    "pyrender as forward": f"{IMAGE_SIZE} x {IMAGE_SIZE}",
}
ROW = np.array([0])


class Work(NamedTuple):
    """forward: the forward process.  step: that and the update, or None where there is only the forward process.

    update: the update alone, where it can be done apart from the forward process; else it is what a step takes beyond that.
    """

    forward: Callable[[], object]
    step: Callable[[], object] | None = None
    update: Callable[[], object] | None = None


def rows(run: Run) -> list[Row]:
    """Medians over samples, at their starts."""
    rng = np.random.default_rng(run.seed)
    prepare_one_thread()
    cases = draw_cases(load_test_meshes(run.data), draw_from(PoseSampling(canonical=1.0)), rng, run.num_samples)
    costs = run.measure("cost of a step", len(cases), lambda rows: measure_costs([cases[row] for row in rows]))
    faces = int(np.median([len(case.mesh.faces) for case in cases]))
    return [{"method": name, "image": IMAGES[name], "median_faces": faces, **row} for name, row in summary(costs).items()]


def prepare_one_thread() -> None:
    """The variable is for pyrender, whose OpenGL runs on the processor where there is no other."""
    render.set_num_threads(1)
    os.environ.setdefault("LP_NUM_THREADS", "1")
    if os.environ.get("OMP_NUM_THREADS") != "1":
        logger.warning("OMP_NUM_THREADS is not 1: the threads of NumPy count, too, and wait for each other")


def measure_costs(cases: list[PoseCase]) -> Errors:
    """forward_ms, update_ms, step_ms: (B, number of IMAGES)."""
    with PyrenderDepth(cases[0].camera) as pyrender:
        costs = np.array([[_costs_ms(work) for work in _works(case, pyrender)] for case in cases])
    return {"forward_ms": costs[..., 0], "update_ms": costs[..., 1], "step_ms": costs[..., 2]}


def summary(costs: Errors) -> dict[str, Row]:
    """Medians for each method, and as multiples of ours."""
    forward, update, step = (np.median(costs[name], axis=0) for name in ("forward_ms", "update_ms", "step_ms"))
    return {
        name: {
            "forward_ms": float(forward[k]),
            "update_ms": float(update[k]),
            "step_ms": float(step[k]),
            "forward_over_ours": float(forward[k] / forward[0]),
            "step_over_ours": float(step[k] / step[0]),
        }
        for k, name in enumerate(IMAGES)
    }


def _costs_ms(work: Work) -> tuple[float, float, float]:
    """Of the forward process, the update and a whole step."""
    forward_ms = _fastest_ms(work.forward)
    if work.step is None:
        return forward_ms, 0.0, forward_ms
    step_ms = _fastest_ms(work.step)
    update_ms = max(step_ms - forward_ms, 0.0) if work.update is None else _fastest_ms(work.update)
    return forward_ms, update_ms, step_ms


def _fastest_ms(function: Callable[[], object]) -> float:
    seconds: list[float] = []
    function()  # warms up
    while len(seconds) < REPEATS or sum(seconds) < REPEAT_SECONDS:
        began = time.process_time()
        function()
        seconds.append(time.process_time() - began)
    return 1000 * min(seconds)


def _works(case: PoseCase, pyrender: PyrenderDepth) -> list[Work]:
    """In the order of IMAGES."""
    observed, intrinsics = case.mask.astype(np.float32), case.camera.intrinsics
    pose, size = case.start.astype(np.float32), (case.camera.height, case.camera.width)
    draw, matrix = pyrender.loaded(case.mesh), matrix_from_pose(case.start)
    problem = PoseProblem([case.mesh], intrinsics[None], *size)
    return [
        _network_work(case, observed),
        _refine_work(case, observed),
        *(_soft_work(case, pose, observed, descent.sigma) for descent in (DESCENT, PUBLISHED)),
        Work(
            lambda: hard_silhouette(case.mesh, pose, intrinsics, *size, DESCENT.finer),
            lambda: hard_overlap_slope(case.mesh, pose, intrinsics, observed, DESCENT.finer),
        ),
        Work(lambda: problem.forward(case.start[None], ROW)),
        Work(lambda: draw(matrix)),
    ]


def _soft_work(case: PoseCase, pose: np.ndarray, observed: np.ndarray, sigma: float) -> Work:
    mesh, intrinsics, (height, width) = case.mesh, case.camera.intrinsics, observed.shape
    sigma_px = sigma * (height / 2) ** 2
    return Work(
        lambda: soft_silhouette(mesh, pose, intrinsics, height, width, sigma_px),
        lambda: soft_overlap_slope(mesh, pose, intrinsics, observed, sigma_px),
    )


def _network_work(case: PoseCase, observed: np.ndarray) -> Work:
    cropped = crop_poses([case.mesh], [observed], [case.camera])
    start = turn_pose(cropped.virtual_from_camera, case.start[None])
    x = solve(cropped.problem, cropped.align, cropped.observation, start, ALIGN_LOOP).x
    update = network_update(cropped.problem, load_networks(None, "pose", INPUT_LAYOUT))
    return _loop_work(cropped.problem, update, cropped.observation, x)


def _refine_work(case: PoseCase, observed: np.ndarray) -> Work:
    level = refine_levels(case.mesh, observed, case.camera)[0]
    return _loop_work(level.problem, level.update, level.observation, case.start[None])


def _loop_work(problem: PoseProblem, update: Update, observation: Arrays, x: np.ndarray) -> Work:
    """A step of the loop whose first try is accepted, as most are: one render, one energy."""
    at_x = problem.forward(x, ROW)

    def update_alone(prediction: np.ndarray = at_x) -> None:
        problem.energy(prediction, observation, ROW)
        problem.manifold.retract(x, update(0, x, prediction, observation, ROW))

    return Work(lambda: problem.forward(x, ROW), lambda: update_alone(problem.forward(x, ROW)), update_alone)
