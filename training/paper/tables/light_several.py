# SPDX-License-Identifier: Apache-2.0
"""Photographs that hold more than a sun and an even sky: a second sun, a sky brighter to one side, by Cycles.  Needs bpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solver_core import render
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.lighting.features import GRID_SIZE
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.problem import MAP_SIZE
from solver_core.problems.lighting.search import BasisImages
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import SEARCH_GRID, SEARCH_MAP, LightingOptions, LightingSession
from training.paper.baselines.lighting_adam import ADAM, adam_from_several
from training.paper.evaluation import Errors, Row, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from training.cycles import outdoors

TITLE = "Light in photographs: a second sun, an uneven sky"
NUM_SAMPLES = 200  # scenes of each kind
QUICK_SAMPLES = 2
WRONG_DEG = 5.0  # farther off, a sun is wrong
NOTICED = "explain the image much better than one"


def rows(run: Run) -> list[Row]:
    """Errors of all methods on the same scenes; strengths and sky are unknown, base colours known."""
    from training.cycles import outdoors  # needs bpy, which few installations have

    render.set_num_threads(1)
    meshes = MeshPool(load_library(run.data, "test")).measured
    table: list[Row] = []
    for beside in outdoors.BESIDE:

        def measure(part: np.ndarray, beside: str = beside) -> Errors:
            each = []
            for row in part:
                scene = outdoors.draw(np.random.default_rng([run.seed, 90, int(row)]), meshes, beside)
                setup = outdoors.setup_of(scene)
                each.append([method(setup, scene) for method in METHODS.values()])
            return dict(zip(METHODS, np.moveaxis(np.array(each), 1, 0), strict=True))

        errors = run.measure(beside, run.num_samples, measure, LightingOptions(), 4)
        table += [{"beside the sun": beside, "method": name, **summary(errors[name])} for name in METHODS]
    return table


def summary(found: np.ndarray) -> Row:
    """A row from what a method gives for each scene, (N, quantities) in the order of _measured; NaN = there is none."""
    angle, second, within, second_within, lamps, noticed, image, seconds = found.T
    row: Row = {
        "num_samples": len(angle),
        "angle_median_deg": float(np.median(angle)),
        "angle_p90_deg": float(np.percentile(angle, 90)),
        "wrong_percent": float(100 * np.mean(angle > WRONG_DEG)),
        "relit_error_mean_percent": float(100 * image.mean()),
        "two_lamps_percent": float(100 * np.mean(lamps == 2)),
        "median_ms": float(1000 * np.median(seconds)),
    }
    if not np.isnan(second).all():
        row["second_median_deg"] = float(np.nanmedian(second))
        row["second_found_percent"] = float(100 * np.mean(second <= WRONG_DEG))
    if not np.isnan(within).all():
        both = np.concatenate([within, second_within])
        row["within_uncertainty_percent"] = float(100 * np.nanmean(both))
        row["noticed_percent"] = float(100 * np.mean(noticed))
    return row


def _measured(
    scene: outdoors.Outdoors, lights: np.ndarray, uncertainties: np.ndarray, noticed: bool, image_error: float, seconds: float
) -> list[float]:
    """lights: (K, 3) found suns.  A true sun counts against the nearest, the second against the nearest of the others."""
    first = angle_deg(lights, scene.direction[None])
    nearest = int(np.argmin(first)) if scene.second is not None else 0
    second, second_within = np.nan, np.nan
    others = np.delete(np.arange(len(lights)), nearest)
    if scene.second is not None and len(others):
        angles = angle_deg(lights[others], scene.second[None])
        second, second_within = float(angles.min()), float(angles.min() <= uncertainties[others[np.argmin(angles)]])
        second_within = np.nan if np.isnan(uncertainties).any() else second_within
    within = np.nan if np.isnan(uncertainties).any() else float(first[nearest] <= uncertainties[nearest])
    return [float(first[nearest]), second, within, second_within, len(lights), float(noticed), image_error, seconds]


def _ours(**options: Any) -> Callable[[LightingSetup, outdoors.Outdoors], list[float]]:
    def method(setup: LightingSetup, scene: outdoors.Outdoors) -> list[float]:
        result = LightingSession(setup, LightingOptions(**options)).run()
        return _measured(
            scene,
            np.array([lamp.direction for lamp in result.lamps]),
            np.array([lamp.uncertainty_deg for lamp in result.lamps]),
            any(NOTICED in note for note in result.report.notes),
            result.image_error,
            result.seconds,
        )

    return method


def _fit_alone(setup: LightingSetup, scene: outdoors.Outdoors) -> list[float]:
    """The two suns of the basis that with the sky explain the picture best, as they are."""
    images = BasisImages(setup.problem(SEARCH_GRID, SEARCH_MAP))
    lights = images.lights[images.sets((images.kind, images.kind), 1)[0]]
    return _measured(scene, lights, np.full(2, np.nan), False, np.nan, np.nan)


def _adam(setup: LightingSetup, scene: outdoors.Outdoors) -> list[float]:
    solution = adam_from_several(setup.problem(GRID_SIZE, MAP_SIZE), ADAM)
    light = solution.x[[int(np.argmin(solution.energy))]]
    return _measured(scene, light, np.full(1, np.nan), False, np.nan, np.nan)


METHODS = {
    "non-negative fit alone, two suns": _fit_alone,
    "Adam on Lambert shading, one sun": _adam,
    "ours": _ours(),
    "ours, up to two lamps": _ours(lamps=2),
    "ours, sky gradient": _ours(sky="gradient"),
}
