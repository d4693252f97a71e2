# SPDX-License-Identifier: Apache-2.0
"""Own mesh: what ten minutes of training on one object gain on masks of it that are hidden in part.

The object is of the test split, so the shipped networks have never seen it.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.errors import ConfigError
from solver_core.mesh_library import load_library
from solver_core.problems.pose.damage import BOX
from solver_core.problems.pose.solve import PoseOptions
from training.paper.evaluation import Row, Run
from training.paper.tables.damaged import Kind, another_mesh, draw_damaged, hidden_by, measure, summary
from training.paper.tables.pose_cases import load_test_meshes

logger = logging.getLogger(__name__)

TITLE = "Own mesh: ten minutes of training on one object"
NUM_SAMPLES = 40  # a row
QUICK_SAMPLES = 3
MESH = "osrf_gazebo_models/other/mars_rover.ply"
WEIGHTS = Path("runs/own_mesh/pose.safetensors")
SHOWN = (
    "num_samples", "rotation_mean_deg", "rotation_median_deg", "translation_median", "outliers_percent",
    "wrong_percent", "good_percent", "wrong_of_good_percent", "median_ms",
)  # fmt: skip


def rows(run: Run) -> list[Row]:
    """Errors of every method on the same masks."""
    render.set_num_threads(1)
    mesh = next((entry.mesh for entry in load_library(run.data, "test") if entry.name == MESH), None)
    if mesh is None:
        raise ConfigError(f"{run.data} lacks {MESH}, which this table is about")
    table: list[Row] = []
    for number, (name, kind) in enumerate(kinds(run.data).items()):
        cases = draw_damaged([mesh], kind, np.random.default_rng([run.seed, 41, number]), run.num_samples)
        for (networks, solve), options in methods().items():
            errors = run.measure(
                f"{name}, {networks}, {solve}",
                len(cases),
                lambda part, cases=cases, options=options: measure(cases, part, options),
                options,
                10,
            )
            found = summary(errors)
            table.append({"mask": name, "networks": networks, "solve": solve, **{key: found[key] for key in SHOWN}})
    return table


def methods() -> dict[tuple[str, str], PoseOptions]:
    """Options by whose networks take steps and what comes after them; without networks also with restarts for their time."""
    networks: dict[str, Path | None] = {"those that ship": None, "of the object": WEIGHTS}
    if not WEIGHTS.exists():
        networks.popitem()
        logger.warning("no rows of its own networks: %s is missing; train pose_object into that folder on %s", WEIGHTS, MESH)
    found = {
        ("none", "refined"): PoseOptions(steps=0, restarts=0),
        ("none", "whole solve"): PoseOptions(steps=0),
        ("none", "whole solve, 16 restarts"): PoseOptions(steps=0, restarts=16),
    }
    for name, weights in networks.items():
        found[name, "steps alone"] = PoseOptions(weights=weights, refine=False, restarts=0)
        found[name, "refined"] = PoseOptions(weights=weights, restarts=0)
        found[name, "whole solve"] = PoseOptions(weights=weights)
    return found


def kinds(data: Path) -> dict[str, Kind]:
    """Masks of the table; nothing was trained on objects hidden by another mesh."""
    return {
        "clean": Kind(),
        "hidden 25% by a box": Kind(hides=hidden_by(BOX, 0.25)),
        "hidden 40% by a box": Kind(hides=hidden_by(BOX, 0.4)),
        "hidden 40% by another mesh": Kind(hides=another_mesh(load_test_meshes(data), 0.4)),
    }
