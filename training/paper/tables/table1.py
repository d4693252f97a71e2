# SPDX-License-Identifier: Apache-2.0
"""Table 1: pose from one silhouette, canonical view and any view, on meshes of sources never trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.command.files import Surface
from solver_core.frames import matrix_from_pose
from solver_core.loop import LoopSettings
from solver_core.network.weights import load_networks
from solver_core.problems.pose.drawing import PANEL_PX, PoseCanvas, draw_before_and_after
from solver_core.problems.pose.features import INPUT_LAYOUT
from solver_core.problems.pose.sampler import PoseSampling
from solver_core.problems.pose.solve import PoseOptions
from training.paper.baselines.pose_descent import PoseDescent
from training.paper.evaluation import Errors, Row, Run, warn_missing
from training.paper.histories import best_median_worst, times_sooner, where_it_changes
from training.paper.plots import Plot
from training.paper.tables.pose_cases import (
    PoseCase,
    PoseMethod,
    chained,
    draw_cases,
    draw_from,
    load_test_meshes,
    measure,
    networks_alone,
    neural_mesh_renderer,
    ours,
    soft_rasterizer,
    summary,
)

TITLE = "Table 1: pose from one silhouette"
NUM_SAMPLES = 1000
QUICK_SAMPLES = 50
SLOW_SHARE = 10  # methods that take seconds are measured on the first tenth of the samples, and all others beside them
VIEWS = {"canonical": PoseSampling(canonical=1.0), "any": PoseSampling(canonical=0.0)}
SEEDS = {("canonical", "nine"): 0, ("canonical", "other"): 5, ("any", "nine"): 10, ("any", "other"): 15}
OURS = {
    "ours, 5 steps": PoseOptions(steps=5, refine=False, restarts=0),
    "ours + refine": PoseOptions(steps=5, refine=True, restarts=0),
    "ours + refine + restarts": PoseOptions(steps=5, refine=True, restarts=8),
    "alignment + refine, no network": PoseOptions(steps=0, refine=True, restarts=0),
    "alignment + refine + restarts, no network": PoseOptions(steps=0, refine=True, restarts=8),
}
STARTS = {"alignment": PoseOptions(steps=0, refine=False, restarts=0), "ours, 5 steps": OURS["ours, 5 steps"]}
BEST = "ours + refine + restarts"
# Trained on the canonical view by training/configs/pose_regression.toml; measured, not shipped.
REGRESSION_WEIGHTS = Path("runs/pose_regression/pose_regression.safetensors")
TOLERANCE = 1.05  # a method has its final accuracy as soon as its median error is within 5 % of the last one


class Measured(NamedTuple):
    """A method and the settings it is measured with; is_slow: on fewer samples."""

    method: PoseMethod
    settings: object
    is_slow: bool = False


def rows(run: Run) -> list[Row]:
    """Errors of every method on the same samples, for both views and for the categories beyond the nine."""
    render.set_num_threads(1)
    table: list[Row] = []
    for view, sampling in VIEWS.items():
        for categories, count in (("nine", run.num_samples), ("other", max(1, run.num_samples // 4))):
            meshes = load_test_meshes(run.data, is_measured=categories == "nine")
            rng = np.random.default_rng([run.seed, SEEDS[view, categories]])
            cases = draw_cases(meshes, draw_from(sampling), rng, count)
            methods = our_methods() | (other_methods(view) if categories == "nine" else {})
            measured = {}
            for name, (method, settings, is_slow) in methods.items():
                label = f"{view} view, {categories} categories, {name}"
                num_samples = max(2, count // SLOW_SHARE) if is_slow else count
                measured[name] = measure(run, label, cases, method, settings, num_samples)
            quick = {name: errors for name, errors in measured.items() if not methods[name].is_slow}
            table += [{"view": view, "categories": categories, "method": name, **summary(e)} for name, e in quick.items()]
            if categories == "nine":
                table += _rows_beside(view, measured)
                run.plots.append(_plot_against_time(view, measured))
                run.pictures[f"gallery-pose-{view}"] = _gallery(cases, measured[BEST])
    return table


def our_methods() -> dict[str, Measured]:
    return {name: Measured(ours(settings), settings) for name, settings in OURS.items()}


def other_methods(view: str) -> dict[str, Measured]:
    """The baselines, and ours as their start.  Regression only knows the view that it was trained on."""
    settings = PoseDescent()
    descents = {"soft rasteriser": soft_rasterizer(settings), "neural mesh renderer": neural_mesh_renderer(settings)}
    methods = {name: Measured(descent, settings, True) for name, descent in descents.items()}
    for start, of_ours in STARTS.items():
        for name, descent in descents.items():
            methods[f"{start}, then {name}"] = Measured(chained(ours(of_ours), descent), settings, True)
    if view == "canonical":
        methods |= regression()
    return methods


def regression() -> dict[str, Measured]:
    """The pose in one step from what is observed alone, by a network that never sees a render."""
    if not REGRESSION_WEIGHTS.exists():
        warn_missing("direct regression", REGRESSION_WEIGHTS)
        return {}
    networks = load_networks(REGRESSION_WEIGHTS, "pose", INPUT_LAYOUT)
    weights = REGRESSION_WEIGHTS.stat().st_mtime_ns
    alone = networks_alone(networks, LoopSettings(steps=1, halvings=None))
    refined = chained(alone, ours(OURS["alignment + refine, no network"]))
    return {"regression, no feedback": Measured(alone, weights), "regression + refine": Measured(refined, weights)}


def _rows_beside(view: str, measured: dict[str, Errors]) -> list[Row]:
    """Every method on the samples of the slow ones, and how much earlier ours has the accuracy that each ends with."""
    count = min(len(errors["rotation_deg"]) for errors in measured.values())
    same = {name: {key: values[:count] for key, values in errors.items()} for name, errors in measured.items()}
    by_time = {name: np.median(errors["by_time"], axis=0) for name, errors in same.items()}
    table: list[Row] = []
    for name, errors in same.items():
        faster = times_sooner(by_time["ours + refine"], by_time[name], TOLERANCE)
        categories = f"nine, first {count}"
        table.append(
            {"view": view, "categories": categories, "method": name, **summary(errors), "speed_up_at_equal_accuracy": faster}
        )
    return table


def _plot_against_time(view: str, measured: dict[str, Errors]) -> Plot:
    """On the samples that all methods were measured on."""
    count = min(len(errors["rotation_deg"]) for errors in measured.values())
    curves = {name: where_it_changes(np.median(e["by_time"][:count], axis=0)) for name, e in measured.items()}
    return Plot(f"pose-time-{view}", "ms, one thread", f"median rotation error, degrees (N = {count})", curves, True, True)


def _gallery(cases: list[PoseCase], errors: Errors) -> Callable[[], np.ndarray]:
    """Start and result of the best, the median and the worst sample by rotation, one below the other."""

    def picture() -> np.ndarray:
        strips = []
        for name, row in best_median_worst(errors["rotation_deg"]).items():
            case = cases[row]
            canvas = PoseCanvas.of_size(
                Surface(case.mesh.vertices, case.mesh.faces), case.mask.astype(np.float32), case.camera, None, PANEL_PX // 2
            )
            before, after = (matrix_from_pose(pose) for pose in (case.start, errors["pose"][row]))
            captions = [f"{name}: start, {errors['start_deg'][row]:.1f} deg", f"result, {errors['rotation_deg'][row]:.2f} deg"]
            strips.append(draw_before_and_after(canvas, before, after, captions))
        return np.concatenate(strips)

    return picture
