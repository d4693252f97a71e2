# SPDX-License-Identifier: Apache-2.0
"""Table 3: starts turned farther than any that the networks were trained on, and the basin of every method."""

from __future__ import annotations

import numpy as np

from solver_core import render, rotations
from solver_core.problems.pose.metrics import is_outlier
from solver_core.problems.pose.sampler import PoseSampling, draw_poses
from training.paper.baselines.pose_descent import PoseDescent
from training.paper.evaluation import Row, Run
from training.paper.plots import Plot
from training.paper.tables.pose_cases import (
    DrawPoses,
    draw_cases,
    load_test_meshes,
    measure,
    neural_mesh_renderer,
    ours,
    soft_rasterizer,
    summary,
)
from training.paper.tables.table1 import OURS, Measured

TITLE = "Table 3: rotations never trained on"
NUM_SAMPLES = 500  # in each band
QUICK_SAMPLES = 20
SLOW_SHARE = 20
BANDS_DEG = ((0, 20), (20, 40), (40, 45), (45, 50), (50, 55), (55, 60), (60, 75), (75, 90))
PAPER_BANDS = BANDS_DEG[2:6]  # the others only show where a method's basin ends
BASIN_SHARE = 5  # and have fewer samples
CANONICAL = PoseSampling(canonical=1.0, max_angle_deg=0.0)


def rows(run: Run) -> list[Row]:
    """Errors by how far the truth is turned from the start; everything else is as in table 1, canonical view."""
    render.set_num_threads(1)
    meshes = load_test_meshes(run.data)
    table: list[Row] = []
    success: dict[str, list[float]] = {name: [] for name in methods()}
    for number, band in enumerate(BANDS_DEG):
        count = run.num_samples if band in PAPER_BANDS else max(2, run.num_samples // BASIN_SHARE)
        cases = draw_cases(meshes, draw_in_band(*band), np.random.default_rng([run.seed, number]), count)
        for name, (method, settings, is_slow) in methods().items():
            num_samples = max(2, run.num_samples // SLOW_SHARE) if is_slow else count
            errors = measure(run, f"{band[0]}-{band[1]} deg, {name}", cases, method, settings, num_samples)
            table.append({"turned_deg": f"{band[0]}-{band[1]}", "method": name, **summary(errors)})
            success[name].append(100 - 100 * float(np.mean(is_outlier(errors["rotation_deg"], errors["translation"]))))
    middle = [(low + high) / 2 for low, high in BANDS_DEG]
    curves = {name: (middle, percent) for name, percent in success.items()}
    run.plots.append(Plot("pose-basin", "initial rotation error, degrees", "not an outlier, percent of samples", curves))
    return table


def methods() -> dict[str, Measured]:
    settings = PoseDescent()
    return {name: Measured(ours(OURS[name]), OURS[name]) for name in OURS} | {
        "soft rasteriser": Measured(soft_rasterizer(settings), settings, True),
        "neural mesh renderer": Measured(neural_mesh_renderer(settings), settings, True),
    }


def draw_in_band(low_deg: float, high_deg: float) -> DrawPoses:
    """Poses as in table 1, but for the angle."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        start, truth = draw_poses(CANONICAL, rng, 1)
        axis = rng.normal(size=(1, 3))
        rotvec = axis / np.linalg.norm(axis) * np.radians(rng.uniform(low_deg, high_deg))
        turned = rotations.multiply(rotations.wxyz_from_rotvec(rotvec), truth[:, :4])
        return start, np.concatenate([turned, truth[:, 4:]], axis=1)

    return draw
