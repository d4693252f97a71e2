# SPDX-License-Identifier: Apache-2.0
"""Suns of photographs by kinds of scenes: patterns, gloss, a fill lamp, saved in several ways.  By Cycles; needs bpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from solver_core import render
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.lighting.features import GRID_SIZE
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.problem import MAP_SIZE
from solver_core.problems.lighting.search import BasisImages
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import SEARCH_GRID, SEARCH_MAP, LightingOptions
from training.paper.baselines.lighting_adam import ADAM, adam_from_several
from training.paper.evaluation import Errors, Row, Run
from training.paper.tables.light_real import WRONG_DEG, Answer, Method, baseline, explained, ours

if TYPE_CHECKING:
    from training.cycles import outdoors

TITLE = "Light in photographs, by kinds of scenes"
NUM_SAMPLES = 200  # scenes of each kind
QUICK_SAMPLES = 1
NEAR_SIZE = 1.3  # a size is found if it is off by no more than this factor
TOLD_SIZE_DEG = 1.0  # across the disc, from which on sizes are told from each other
OnShot = Callable[["outdoors.Outdoors"], Answer]


def rows(run: Run) -> list[Row]:
    """Errors of all methods on the same scenes; strength and sky are unknown, colours of the surfaces known."""
    from training.cycles import outdoors  # needs bpy, which few installations have

    render.set_num_threads(1)
    meshes = MeshPool(load_library(run.data, "test")).measured
    kinds = [
        (81, "patterns", {"materials": outdoors.MATERIALS[1]}, METHODS),
        (82, "patterns and gloss", {"materials": outdoors.MATERIALS[2]}, METHODS),
        (83, "a fill lamp", {"beside": outdoors.BESIDE[3]}, METHODS),
        (84, "matt, saved in several ways", {}, METHODS | VIEWS),
    ]

    def measure(part: np.ndarray) -> Errors:
        """Of all kinds by turns, so that a run that was stopped has as many scenes of each."""
        found: dict[str, list[list[float]]] = {}
        for row in part:
            for key, kind, what, methods in kinds:
                shot = outdoors.draw(np.random.default_rng([run.seed, key, int(row)]), meshes, **what)
                for name, method in methods.items():
                    found.setdefault(f"{kind}: {name}", []).append(_measured(shot, method(shot)))
        return {label: np.array(each) for label, each in found.items()}

    errors = run.measure("scenes", run.num_samples, measure, LightingOptions(), 2)
    return [
        {"scenes": kind, "method": name, **summary(errors[f"{kind}: {name}"])}
        for _, kind, _, methods in kinds
        for name in methods
    ]


def summary(found: np.ndarray) -> Row:
    """A row of the table from what a method gives for each scene, (N, quantities) in the order of _measured."""
    angle, strength, colour, image, uncertainty, good, true_size, size, low, high, seconds = found.T
    row: Row = {
        "num_samples": len(angle),
        "angle_median_deg": float(np.median(angle)),
        "angle_p90_deg": float(np.percentile(angle, 90)),
        "wrong_percent": float(100 * np.mean(angle > WRONG_DEG)),
        "strength_off_median_percent": float(100 * np.median(strength)),
        "color_off_median_percent": float(100 * np.median(colour)),
        "relit_error_mean_percent": float(100 * image.mean()),
        "median_ms": float(1000 * np.median(seconds)),
    }
    if np.isnan(uncertainty).any():
        return row
    is_good = good > 0
    row |= {
        "within_uncertainty_percent": float(100 * np.mean(angle <= uncertainty)),
        "uncertainty_median_deg": float(np.median(uncertainty)),
        "good_percent": float(100 * np.mean(is_good)),
        "wrong_of_good_percent": float(100 * np.sum(is_good & (angle > WRONG_DEG)) / max(1, is_good.sum())),
    }
    is_told = (true_size >= TOLD_SIZE_DEG) & ~np.isnan(size)
    if not is_told.any():
        return row
    true_size, size, low, high = (values[is_told] for values in (true_size, size, low, high))
    off = np.exp(np.abs(np.log(size / true_size)))
    return row | {
        "size_off_median_percent": float(100 * (np.median(off) - 1)),
        "size_found_percent": float(100 * np.mean(off <= NEAR_SIZE)),
        "size_within_interval_percent": float(100 * np.mean((true_size >= low) & (true_size <= high))),
    }


def _measured(shot: outdoors.Outdoors, answer: Answer) -> list[float]:
    """colour: off by this share of its mean, whatever the strength.  sizes: degrees, NaN where none was looked for."""
    strength, true = answer.strength, shot.strength
    return [
        float(angle_deg(answer.direction[None], shot.direction[None])[0]),
        float(np.abs(strength / true - 1).mean()),
        float(np.abs(strength / max(strength.mean(), 1e-9) - true / true.mean()).mean()),
        answer.image_error,
        answer.uncertainty_deg,
        float(answer.is_good),
        shot.angle_deg,
        *((np.nan,) * 3 if answer.size is None else answer.size),
        answer.seconds,
    ]


def _fit_alone(setup: LightingSetup) -> Answer:
    """The best mixture of a look at all lights, as it is."""
    start = time.perf_counter()
    images = BasisImages(setup.problem(SEARCH_GRID, SEARCH_MAP))
    mixtures = images.mixtures(images.problem.observation.image[0].mean(axis=1), None)
    light = mixtures.x[[int(np.argmin(mixtures.left))]]
    return explained(setup, setup.problem(GRID_SIZE, MAP_SIZE), light, time.perf_counter() - start)


def _on_photograph(method: Method) -> OnShot:
    def on(shot: outdoors.Outdoors) -> Answer:
        from training.cycles import outdoors

        return method(outdoors.setup_of(shot))

    return on


def _on_saved(view_transform: str, is_told: bool) -> OnShot:
    def on(shot: outdoors.Outdoors) -> Answer:
        from training.cycles import outdoors

        saved = outdoors.saved(shot, view_transform, is_told)
        answer = OURS(outdoors.setup_of(shot, saved.image))
        return answer._replace(strength=answer.strength / saved.exposure, ambient=answer.ambient / saved.exposure)

    return on


OURS = ours()
METHODS: dict[str, OnShot] = {
    "non-negative fit alone": _on_photograph(_fit_alone),
    "Adam on Lambert shading, 6 starts": _on_photograph(baseline(lambda problem: adam_from_several(problem, ADAM))),
    "ours": _on_photograph(ours(size=True)),
}
VIEWS: dict[str, OnShot] = {
    "ours, linear": _on_saved("linear", True),
    "ours, Standard": _on_saved("Standard", True),
    "ours, AgX": _on_saved("AgX", True),
    "ours, Filmic": _on_saved("Filmic", True),
    "ours, AgX read as sRGB": _on_saved("AgX", False),
    "ours, Filmic read as sRGB": _on_saved("Filmic", False),
}
