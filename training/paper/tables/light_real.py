# SPDX-License-Identifier: Apache-2.0
"""Suns of photographs that hold more than shading: soft shadows, a sky and light from other surfaces, by Cycles.  Needs bpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from solver_core import render
from solver_core.loop import solve
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.lighting.disc import SunSize
from solver_core.problems.lighting.features import GRID_SIZE
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.problem import MAP_SIZE, LightingProblem
from solver_core.problems.lighting.refine import shading_update
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import LightingOptions, LightingSession
from solver_core.solution import Solution, Verdict
from training.paper.baselines.lighting_adam import ADAM, adam_from_several
from training.paper.evaluation import Errors, Row, Run
from training.paper.tables.table4 import LEAST_SQUARES_LOOP

if TYPE_CHECKING:
    from training.cycles import outdoors

TITLE = "Light in photographs: sun, sky and other surfaces"
NUM_SAMPLES = 200  # scenes
QUICK_SAMPLES = 4
WRONG_DEG = 5.0  # farther off, a sun is wrong


class Answer(NamedTuple):
    """What a method finds: (3,) direction, strength and ambient light, at the exposure of the image.

    image_error: of the bright level.  uncertainty_deg: NaN of a method that says none.  size: of the sun, if it was looked for.
    """

    direction: np.ndarray
    strength: np.ndarray
    ambient: np.ndarray
    image_error: float
    seconds: float
    uncertainty_deg: float = np.nan
    is_good: bool = False
    size: SunSize | None = None


Method = Callable[[LightingSetup], Answer]


def rows(run: Run) -> list[Row]:
    """Errors of all methods on the same scenes; strength and sky are unknown, base colours known."""
    from training.cycles import outdoors  # needs bpy, which few installations have

    render.set_num_threads(1)
    meshes = MeshPool(load_library(run.data, "test")).measured

    def measure(part: np.ndarray) -> Errors:
        each = []
        for row in part:
            scene = outdoors.draw(np.random.default_rng([run.seed, 80, int(row)]), meshes)
            setup = outdoors.setup_of(scene)
            each.append([_measured(scene, method(setup)) for method in METHODS.values()])
        return dict(zip(METHODS, np.moveaxis(np.array(each), 1, 0), strict=True))  # (samples, quantities) for each

    errors = run.measure("scenes", run.num_samples, measure, LightingOptions(), 10)
    return [{"method": name, **summary(errors[name])} for name in METHODS]


def summary(found: np.ndarray) -> Row:
    """A row of the table from what methods give for each scene, (N, quantities) in the order of _measured."""
    angle, strength, sky, image, uncertainty, good, seconds = found.T
    row: Row = {
        "num_samples": len(angle),
        "angle_median_deg": float(np.median(angle)),
        "angle_p90_deg": float(np.percentile(angle, 90)),
        "angle_mean_deg": float(angle.mean()),
        "wrong_percent": float(100 * np.mean(angle > WRONG_DEG)),
        "strength_off_median_percent": float(100 * np.median(strength)),
        "sky_off_mean_percent_of_sun": float(100 * sky.mean()),
        "relit_error_mean_percent": float(100 * image.mean()),
        "median_ms": float(1000 * np.median(seconds)),
    }
    if np.isnan(uncertainty).any():
        return row
    is_good = good > 0
    return row | {
        "within_uncertainty_percent": float(100 * np.mean(angle <= uncertainty)),
        "uncertainty_median_deg": float(np.median(uncertainty)),
        "good_percent": float(100 * np.mean(is_good)),
        "wrong_of_good_percent": float(100 * np.sum(is_good & (angle > WRONG_DEG)) / max(1, is_good.sum())),
    }


def ours(**options: Any) -> Method:
    def method(setup: LightingSetup) -> Answer:
        result = LightingSession(setup, LightingOptions(**options)).run()
        return Answer(
            *(result.direction, result.strength, result.ambient, result.image_error, result.seconds),
            *(result.uncertainty_deg, result.verdict is Verdict.GOOD, result.size),
        )

    return method


def baseline(find: Callable[[Any], Solution]) -> Method:
    """A method that gives lights for the problem on the middle grid, the best of which is its answer."""

    def method(setup: LightingSetup) -> Answer:
        start = time.perf_counter()
        problem = setup.problem(GRID_SIZE, MAP_SIZE)
        solution = find(problem)
        best = solution.x[[int(np.argmin(solution.energy))]]
        return explained(setup, problem, best, time.perf_counter() - start)

    return method


def explained(setup: LightingSetup, problem: LightingProblem, light: np.ndarray, seconds: float) -> Answer:
    """A light (1, 3) as an answer, with the strength that explains the image best."""
    prediction = problem.forward(light, np.zeros(1, dtype=int))
    level, observation = problem.observation.level[0], problem.observation
    squared = np.mean((prediction.image - observation.image) ** 2, axis=2)
    image_error = float(np.sqrt(np.average(squared, weights=observation.weight)))
    strength = prediction.strength[0, 0] * level * setup.strength_unit(problem.scene)[0, 0]
    return Answer(light[0], strength, prediction.ambient[0] * level, image_error, seconds)


def _measured(scene: outdoors.Outdoors, answer: Answer) -> list[float]:
    """The quantities of summary; the sky is off by a part of what the sun makes of white that faces it."""
    return [
        float(angle_deg(answer.direction[None], scene.direction[None])[0]),
        float(np.abs(answer.strength / scene.strength - 1).mean()),
        float(np.abs(answer.ambient - scene.sky).mean() / (scene.strength.mean() / np.pi)),
        answer.image_error,
        answer.uncertainty_deg,
        float(answer.is_good),
        answer.seconds,
    ]


METHODS: dict[str, Method] = {
    "least squares on the shading equation": baseline(
        lambda problem: solve(problem, shading_update(problem), problem.observation, problem.kind.start, LEAST_SQUARES_LOOP)
    ),
    "Adam on Lambert shading, 6 starts": baseline(lambda problem: adam_from_several(problem, ADAM)),
    "ours, 7 steps": ours(refine=False),
    "ours, no indirect light": ours(indirect=False),
    "ours": ours(),
}
