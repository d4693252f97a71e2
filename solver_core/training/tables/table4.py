"""Table 4: a sun or a point lamp from one image of known geometry, on meshes of sources never trained on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.frames import Camera
from solver_core.loop import LoopSettings, solve
from solver_core.mesh import Mesh
from solver_core.mesh_library import load_library
from solver_core.problems.lighting.features import GRID_SIZE
from solver_core.problems.lighting.least_squares import shading_update
from solver_core.problems.lighting.metrics import angle_deg, is_outlier, squared_error
from solver_core.problems.lighting.problem import KINDS, start_light
from solver_core.problems.lighting.sampler import (
    CANONICAL_DEG,
    CATEGORIES,
    OBJECT_CENTRE,
    VERTICAL_FOV,
    draw_lights,
    view_matrices,
)
from solver_core.problems.lighting.solve import LAMP_WATTS, LightingSettings, LightingSetup, solve_setup
from solver_core.render.gbuffer import join_scene
from solver_core.training.pyrender_shading import PyrenderLambert

logger = logging.getLogger(__name__)

TITLE = "Table 4: lighting from one image"
NUM_SAMPLES = 1000
IMAGE_SIZE = 256
BRIGHTNESS = {"sun": 0.99, "point": 0.15}  # of a white surface that faces the lamp from 1 away; nearer ones may clip
LEAST_SQUARES_LOOP = LoopSettings(steps=20, halvings=3)
KNOWN, UNKNOWN = "known", "unknown, with ambient"


class LightingCase(NamedTuple):
    """One test sample.  image: (H, W, 3) by pyrender.  light: (3,) direction, or position about the object's centre."""

    kind: str
    mesh: Mesh
    image: np.ndarray
    camera: Camera
    camera_from_object: np.ndarray
    light: np.ndarray


Method = Callable[[LightingSetup], np.ndarray]  # gives the light (3,) in the camera's frame


def rows(data: Path, num_samples: int, seed: int) -> list[dict[str, str | float | int]]:
    """Errors of every method on the same samples, for both lamps, and with the strength known and unknown."""
    render.set_num_threads(1)
    meshes = [entry.mesh for entry in load_library(data, "test") if entry.category in CATEGORIES]
    table = []
    for index, kind in enumerate(KINDS):
        cases = draw_cases(kind, meshes, np.random.default_rng([seed, index]), num_samples)
        for strength in (KNOWN, UNKNOWN):
            for name, method in METHODS.items():
                logger.info("%s, strength %s, %s: %d samples", kind, strength, name, len(cases))
                measured = measure(cases, method, is_strength_known=strength == KNOWN)
                table.append({"lamp": kind, "strength": strength, "method": name, **measured})
    return table


def draw_cases(kind: str, meshes: list[Mesh], rng: np.random.Generator, count: int) -> list[LightingCase]:
    """Random test samples as the protocol says; one of which the lamp lights nothing in view is drawn again."""
    camera = Camera.from_fov(IMAGE_SIZE, IMAGE_SIZE, VERTICAL_FOV)
    view = view_matrices(np.radians([CANONICAL_DEG]), np.radians([CANONICAL_DEG]))[0]
    cases: list[LightingCase] = []
    with PyrenderLambert(camera) as pyrender:
        while len(cases) < count:
            mesh = meshes[rng.integers(len(meshes))]
            seen = join_scene([mesh], [view], [None]).mesh
            light = draw_lights(rng, 1)[0]
            if kind == "sun":
                image = pyrender.render_sun(seen, light, np.pi * BRIGHTNESS[kind])
            else:
                image = pyrender.render_lamp(seen, OBJECT_CENTRE + light, np.pi * BRIGHTNESS[kind])
            if image.any():
                cases.append(LightingCase(kind, mesh, image, camera, view, light))
    return cases


def measure(cases: list[LightingCase], method: Method, is_strength_known: bool) -> dict[str, float | int]:
    """Mean, median and outliers of one method; milliseconds are per sample, one after the other, all included."""
    lights, seconds = [], []
    for case in cases:
        started = time.perf_counter()
        light = method(_setup(case, is_strength_known))
        seconds.append(time.perf_counter() - started)
        lights.append(light if case.kind == "sun" else light - OBJECT_CENTRE)
    truth = np.stack([case.light for case in cases])
    squared, degrees = squared_error(np.stack(lights), truth), angle_deg(np.stack(lights), truth)
    return {
        "num_samples": len(cases),
        "squared_mean": float(np.mean(squared)),
        "squared_median": float(np.median(squared)),
        "outliers_percent": float(100 * np.mean(is_outlier(squared))),
        "angle_mean_deg": float(np.mean(degrees)),
        "angle_median_deg": float(np.median(degrees)),
        "angle_p90_deg": float(np.percentile(degrees, 90)),
        "median_ms": float(1000 * np.median(seconds)),
    }


def _setup(case: LightingCase, is_strength_known: bool) -> LightingSetup:
    strength = None
    if is_strength_known:
        strength = np.pi * BRIGHTNESS[case.kind] * (1 if case.kind == "sun" else LAMP_WATTS)
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


def _ours(settings: LightingSettings) -> Method:
    return lambda setup: solve_setup(setup, settings).light


def _least_squares(setup: LightingSetup) -> np.ndarray:
    """Robust least squares on the shading equation, repeated with the shadows of its own answer, damped as ours is."""
    problem = setup.problem(GRID_SIZE, GRID_SIZE)
    x = solve(problem, shading_update(problem), problem.observation, start_light(setup.kind), LEAST_SQUARES_LOOP).x[0]
    return x if setup.kind == "sun" else problem.scene.centre[0] + problem.scene.scale[0] * x


METHODS: dict[str, Method] = {
    "least squares on the shading equation": _least_squares,
    "refine, no first steps": _ours(LightingSettings(0, True, 0)),
    "ours + refine": _ours(LightingSettings(7, True, 0)),
    "ours + refine + restarts": _ours(LightingSettings(7, True, 4)),
}
