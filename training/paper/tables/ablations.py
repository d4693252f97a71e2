# SPDX-License-Identifier: Apache-2.0
"""Ablations of pose: what each part of the feedback loop is worth, by networks alone, without refinement."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.loop import LoopSettings
from solver_core.manifolds import AddedPose
from solver_core.network.weights import load_networks
from solver_core.problems.pose.features import INPUT_LAYOUT
from training.paper.evaluation import Row, Run, warn_missing
from training.paper.plots import Plot
from training.paper.tables.pose_cases import (
    PoseMethod,
    draw_cases,
    draw_from,
    load_test_meshes,
    measure,
    networks_alone,
    summary,
)
from training.paper.tables.table1 import VIEWS

TITLE = "Ablations: pose by networks alone"
NUM_SAMPLES = 1000
QUICK_SAMPLES = 50
STEPS, MAX_STEPS = 5, 8
DAMPED = LoopSettings(steps=STEPS)
UNDAMPED = LoopSettings(steps=STEPS, halvings=None, patience=STEPS)
# Trained for an eighth of the iterations that the shipped networks had, by training/configs/pose_<name>.toml: to be
# compared with each other, the first being like the shipped ones in all else.  They are measured, not shipped.
EIGHTH = "an eighth"
TRAINED = {
    "eighth": "as shipped",
    "masks": "mask channels only",
    "no_depth": "no depth channel",
    "additive": "additive instead of group update",
}


def rows(run: Run) -> list[Row]:
    """All rows of a view are measured on the same samples."""
    render.set_num_threads(1)
    meshes = load_test_meshes(run.data)
    table: list[Row] = []
    for number, (view, sampling) in enumerate(VIEWS.items()):
        rng = np.random.default_rng([run.seed, number])
        cases = draw_cases(meshes, draw_from(sampling), rng, run.num_samples)
        steps = []
        for (training, what), (method, settings) in (shipped_variants() | trained_variants()).items():
            errors = measure(run, f"{view} view, {training} training, {what}", cases, method, settings)
            table.append({"view": view, "training": training, "what": what, **summary(errors)})
            if what.startswith("T = "):
                steps.append((float(what.removeprefix("T = ")), float(np.median(errors["rotation_deg"]))))
        curve = ([x for x, _ in steps], [y for _, y in steps])
        run.plots.append(Plot(f"pose-steps-{view}", "steps", "median rotation error, degrees", {"ours": curve}, is_y_log=True))
    return table


def shipped_variants() -> dict[tuple[str, str], tuple[PoseMethod, object]]:
    """What needs no other training."""
    stages = load_networks(None, "pose", INPUT_LAYOUT)
    variants = {
        **{f"T = {steps}": (stages, LoopSettings(steps=steps)) for steps in range(1, MAX_STEPS + 1)},
        "no damping": (stages, UNDAMPED),
        "first network for every step": (stages[:1], DAMPED),
        "last network for every step": (stages[-1:], DAMPED),
    }
    return {("full", what): (networks_alone(*variant), variant[1]) for what, variant in variants.items()}


def trained_variants() -> dict[tuple[str, str], tuple[PoseMethod, object]]:
    variants = {}
    for name, what in TRAINED.items():
        path = Path(f"runs/pose_{name}/pose_{name}.safetensors")
        if path.exists():
            networks = load_networks(path, "pose", INPUT_LAYOUT)
            method = networks_alone(networks, DAMPED, AddedPose() if name == "additive" else None)
            variants[EIGHTH, what] = (method, (path.stat().st_mtime_ns, DAMPED))
        else:
            warn_missing(what, path)
    return variants
