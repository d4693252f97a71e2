# SPDX-License-Identifier: Apache-2.0
"""Table 4: a sun or a point light from one image of known geometry, on meshes of sources never trained on. [torch]"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.frames import Camera
from solver_core.loop import LoopSettings, solve
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshPool, load_library
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks
from solver_core.problems.lighting.drawing import LightingCanvas, draw_result
from solver_core.problems.lighting.features import GRID_SIZE, INPUT_LAYOUT
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.metrics import angle_deg, is_outlier, squared_error
from solver_core.problems.lighting.problem import MAP_SIZE, LightingProblem
from solver_core.problems.lighting.refine import shading_update
from solver_core.problems.lighting.sampler import (
    draw_lights,
)
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import LightingOptions, LightingSession
from solver_core.render.gbuffer import join_scene
from solver_core.solution import Solution
from solver_core.views import OBJECT_CENTRE, VERTICAL_FOV, canonical_view
from training.paper.baselines.lighting_adam import ADAM as ADAM_LOOP
from training.paper.baselines.lighting_adam import adam_from_several
from training.paper.evaluation import Errors, Row, Run, warn_missing
from training.paper.histories import (
    at_steps,
    at_times,
    best_median_worst,
    success_by_start,
    times_sooner,
    where_it_changes,
)
from training.paper.plots import Plot
from training.paper.pyrender_shading import PyrenderLambert

TITLE = "Table 4: lighting from one image"
NUM_SAMPLES = 1000
QUICK_SAMPLES = 50
IMAGE_SIZE = 256
BRIGHTNESS = {"sun": 0.99, "point": 0.15}  # of a white surface that faces the light from 1 away; nearer ones may clip
LEAST_SQUARES_LOOP = LoopSettings(steps=20, halvings=3)
KNOWN, UNKNOWN = "known", "unknown"
ADAM = "Adam on Lambert shading, 6 starts"
UNKNOWN_STEP = 2  # with unknown strength every 2nd sample is measured
COMPARED_STEP = 5  # Adam takes seconds a sample: it gets every 5th, and the others are shown on the same beside it
NUM_STEPS = 40  # shown of the errors against the step
OWN_FINAL = 1.01  # a method is taken to be done when its mean error is within 1 % of its last
REGRESSION_WEIGHTS = "runs/lighting_{kind}_regression/lighting_{kind}_regression.safetensors"  # measured, not shipped


class LightingCase(NamedTuple):
    """One test sample.  image: (H, W, 3) by pyrender.  light: (3,) direction, or position about the object's centre."""

    kind: str
    mesh: Mesh
    image: np.ndarray
    camera: Camera
    camera_from_object: np.ndarray
    light: np.ndarray


class Answer(NamedTuple):
    """light: (3,) in the camera's frame.  path: seconds since the start and the light (3,) after each step."""

    light: np.ndarray
    path: list[tuple[float, np.ndarray]]


Method = Callable[[LightingSetup], Answer]


class Measured(NamedTuple):
    """A method and the settings it is measured with."""

    method: Method
    settings: object


def rows(run: Run) -> list[Row]:
    """Errors of every method on the same samples, for both kinds of light, and with the strength known and unknown."""
    render.set_num_threads(1)
    meshes = MeshPool(load_library(run.data, "test")).measured
    table = []
    for index, kind in enumerate(LIGHTS):
        cases = draw_cases(kind, meshes, np.random.default_rng([run.seed, index]), run.num_samples)
        for strength in (KNOWN, UNKNOWN):
            condition = f"{kind}, strength {strength}"
            is_known = strength == KNOWN
            chosen = cases if is_known else cases[::UNKNOWN_STEP]
            errors = {name: _measure(run, f"{condition}, {name}", chosen, one, is_known) for name, one in methods(kind).items()}
            table += [{"light": kind, "strength": strength, "method": name, **_summary(e)} for name, e in errors.items()]
            if is_known:
                slow = _measure(run, f"{condition}, {ADAM}", cases[::COMPARED_STEP], Measured(_adam, ADAM_LOOP), is_known)
                table.append({"light": kind, "strength": strength, "method": ADAM, **_summary(slow)})
                compared = {name: {key: e[key][::COMPARED_STEP] for key in e} for name, e in errors.items()} | {ADAM: slow}
                table += _rows_beside(kind, compared)
                run.plots += _plots(kind, compared)
                best = errors["ours + refine + restarts"]
                run.pictures[f"gallery-lighting-{kind}"] = partial(_draw_ranked, cases, best["squared"], best["light"])
    return table


def methods(kind: str) -> dict[str, Measured]:
    """What is measured on every sample."""
    return regression(kind) | {
        "least squares on the shading equation": Measured(_least_squares, LEAST_SQUARES_LOOP),
        "refine, no first steps": _ours(LightingOptions(steps=0, restarts=0)),
        "refine + restarts, no first steps": _ours(LightingOptions(steps=0)),
        "ours, 1 step": _ours(LightingOptions(steps=1, refine=False)),
        "ours, 7 steps": _ours(LightingOptions(refine=False)),
        "ours + refine": _ours(LightingOptions(restarts=0)),
        "ours + refine + restarts": _ours(LightingOptions()),
    }


def regression(kind: str) -> dict[str, Measured]:
    """The light in one step from what is observed alone, by a network that never sees the estimate relit."""
    weights = Path(REGRESSION_WEIGHTS.format(kind=kind))
    if not weights.exists():
        warn_missing("direct regression", weights)
        return {}
    networks = load_networks(weights, LIGHTS[kind].weights, INPUT_LAYOUT)
    return {"regression, no feedback": Measured(partial(_regression, networks), weights.stat().st_mtime_ns)}


def draw_cases(kind: str, meshes: list[Mesh], rng: np.random.Generator, count: int) -> list[LightingCase]:
    """Random test samples as the protocol says; one of which the light reaches nothing in view is drawn again."""
    camera = Camera.from_fov(IMAGE_SIZE, IMAGE_SIZE, VERTICAL_FOV)
    view = canonical_view()
    cases: list[LightingCase] = []
    with PyrenderLambert(camera) as pyrender:
        while len(cases) < count:
            mesh = meshes[rng.integers(len(meshes))]
            seen = join_scene([mesh], [view], [None]).mesh
            light = draw_lights(rng, 1)[0]
            if kind == "sun":
                image = pyrender.render_sun(seen, light, np.pi * BRIGHTNESS[kind])
            else:
                image = pyrender.render_point_light(seen, OBJECT_CENTRE + light, np.pi * BRIGHTNESS[kind])
            if image.any():
                cases.append(LightingCase(kind, mesh, image, camera, view, light))
    return cases


def _measure(run: Run, label: str, cases: list[LightingCase], measured: Measured, is_strength_known: bool) -> Errors:
    """Errors of one method; seconds are per sample, one after the other, all included."""

    def of_rows(chosen: np.ndarray) -> Errors:
        each = [_errors(cases[row], measured.method, is_strength_known) for row in chosen]
        return {key: np.stack([one[key] for one in each]) for key in each[0]}

    return run.measure(label, len(cases), of_rows, measured.settings)


def _errors(case: LightingCase, method: Method, is_strength_known: bool) -> Errors:
    started = time.perf_counter()
    setup = setup_of(case, is_strength_known)
    ready = time.perf_counter() - started
    answer = method(setup)
    seconds = time.perf_counter() - started
    kind = LIGHTS[case.kind]
    path = [(ready + at, light) for at, light in answer.path]
    times, lights = zip(*path, (seconds, answer.light), strict=True)
    squared = squared_error(kind.offset_from(OBJECT_CENTRE, np.stack(lights)), case.light)  # (T,)
    return {
        "squared": squared[-1],
        "angle_deg": angle_deg(kind.offset_from(OBJECT_CENTRE, answer.light[None]), case.light[None])[0],
        "seconds": np.array(seconds),
        "light": answer.light,
        "by_time": at_times(np.array(times), squared[:, None])[0],
        "by_step": at_steps(squared[:, None], NUM_STEPS)[0],
    }


def _summary(errors: Errors) -> Row:
    """Mean, median and outliers."""
    squared, degrees = errors["squared"], errors["angle_deg"]
    return {
        "num_samples": len(squared),
        "squared_mean": float(np.mean(squared)),
        "squared_median": float(np.median(squared)),
        "outliers_percent": float(100 * np.mean(is_outlier(squared))),
        "angle_mean_deg": float(np.mean(degrees)),
        "angle_median_deg": float(np.median(degrees)),
        "angle_p90_deg": float(np.percentile(degrees, 90)),
        "median_ms": float(1000 * np.median(errors["seconds"])),
    }


def setup_of(case: LightingCase, is_strength_known: bool) -> LightingSetup:
    """What a solve gets of a case."""
    strength = None
    if is_strength_known:
        strength = BRIGHTNESS[case.kind] * LIGHTS[case.kind].strength_unit(np.ones(1))[0]
    return LightingSetup.checked(
        case.image,
        case.mesh.vertices,
        case.mesh.faces,
        case.camera,
        case.camera_from_object,
        case.kind,
        np.ones(3),
        strength,
    )


def _ours(options: LightingOptions) -> Measured:
    def method(setup: LightingSetup) -> Answer:
        solution = LightingSession(setup, options).run()
        return Answer(solution.light, [(step.seconds, step.light) for step in solution.history])

    return Measured(method, options)


def _least_squares(setup: LightingSetup) -> Answer:
    """Robust least squares on the shading equation, repeated with the shadows of its own answer, damped as ours is."""
    problem = setup.problem(GRID_SIZE, MAP_SIZE)
    update = shading_update(problem)
    return _answer(problem, solve(problem, update, problem.observation, setup.kind.start, LEAST_SQUARES_LOOP))


def _adam(setup: LightingSetup) -> Answer:
    """Adam on the Lambert shading, from several starts at once."""
    problem = setup.problem(GRID_SIZE, MAP_SIZE)
    return _answer(problem, adam_from_several(problem))


def _regression(networks: Sequence[NumpyNetwork], setup: LightingSetup) -> Answer:
    """One look at the observation, one whole step."""
    problem = setup.problem(GRID_SIZE, MAP_SIZE)
    update, loop = network_update(problem, networks), LoopSettings(steps=1, halvings=None)
    return _answer(problem, solve(problem, update, problem.observation, setup.kind.start, loop))


def _answer(problem: LightingProblem, solution: Solution) -> Answer:
    """Answer of the instance with the least energy, and of that which was best on the way."""

    def to_camera(x: np.ndarray) -> np.ndarray:
        return problem.kind.to_camera(x[None], problem.scene)[0]

    path = [(step.seconds, to_camera(step.x[np.argmin(step.energy)])) for step in solution.history]
    return Answer(to_camera(solution.x[np.argmin(solution.energy)]), path)


def _rows_beside(kind: str, compared: dict[str, Errors]) -> list[Row]:
    """How much earlier ours is as good on average as each method ends up, on the samples of the slowest."""
    ours = compared["ours + refine + restarts"]["by_time"].mean(axis=0)
    table: list[Row] = []
    for name, errors in compared.items():
        faster = times_sooner(ours, errors["by_time"].mean(axis=0), OWN_FINAL)
        condition = f"{KNOWN}, every {COMPARED_STEP}th sample"
        table.append(
            {"light": kind, "strength": condition, "method": name, **_summary(errors), "speed_up_at_equal_accuracy": faster}
        )
    return table


def _plots(kind: str, compared: dict[str, Errors]) -> list[Plot]:
    """Errors against time and against the step, and success against how far off the start is, of each method."""
    against_time, against_step, success = {}, {}, {}
    for name, errors in compared.items():
        against_time[name] = where_it_changes(errors["by_time"].mean(axis=0))
        against_step[name] = (list(range(NUM_STEPS)), np.median(errors["by_step"], axis=0).tolist())
        success[name] = success_by_start(errors["by_step"][:, 0], ~is_outlier(errors["squared"]), num_bins=5)
    return [
        Plot(f"lighting-{kind}-error-against-time", "ms, one thread", "mean squared error", against_time, True, True),
        Plot(f"lighting-{kind}-error-against-step", "step", "median squared error", against_step, is_y_log=True),
        Plot(f"lighting-{kind}-success", "squared error at the start", "not an outlier, percent of samples", success),
    ]


def _draw_ranked(cases: list[LightingCase], squared: np.ndarray, lights: np.ndarray) -> np.ndarray:
    """Picture of the best, median and worst sample, one below the other."""
    pictures = []
    for rank, row in best_median_worst(squared).items():
        canvas = LightingCanvas.of(setup_of(cases[row], is_strength_known=True))
        captions = [f"{rank}: squared error {squared[row]:.2g}", "estimate", "difference"]
        pictures.append(draw_result(canvas, lights[[row]], captions))
    return np.concatenate(pictures)
