# SPDX-License-Identifier: Apache-2.0
"""Time of a light from one image of 256 x 256 pixels on one core, beside its limits.

python -m training.benchmarks.lighting
"""

from __future__ import annotations

import os
import statistics
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is loaded

import numpy as np

from solver_core import render
from solver_core.command.files import read_mesh
from solver_core.frames import Camera
from solver_core.mesh import UnitMesh
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import LightingOptions, LightingSession
from solver_core.problems.lighting.surface import Pixels
from solver_core.views import VERTICAL_FOV, canonical_view

SIZE = 256
REPEATS = 7
MESH = "assets/demo/pose_model.ply"
LIGHT = np.array(
    [[0.48, 0.6, 0.64]], np.float32
)  # towards the sun; a point light there, in units of the scene about its centre
CASES = {
    "7 steps": (LightingOptions(refine=False), 400),
    "7 steps + refine": (LightingOptions(restarts=0), None),
    "7 steps + refine + restarts": (LightingOptions(), 1000),
}


def make_setup(kind: str) -> LightingSetup:
    """The toy biplane, lit by our own renderer with finer shadows than the solver's, with a little noise."""
    mesh = UnitMesh.checked(*read_mesh(MESH)).mesh
    camera = Camera.from_fov(SIZE, SIZE, VERTICAL_FOV)
    view = canonical_view()
    geometry = (mesh.vertices, mesh.faces, camera, view, kind, np.ones(3), np.pi)
    seen = LightingSetup.checked(np.full((SIZE, SIZE, 3), 0.5), *geometry)
    row, column = np.nonzero(seen.buffer.mask[0])
    scene = seen.problem_at(Pixels(np.arange(len(row)), row, column), 4 * SIZE).scene
    shading = LIGHTS[kind].shade(scene, LIGHT, 4 * SIZE)[0, :, None]
    image = np.zeros((SIZE, SIZE, 3))
    noise = np.random.default_rng(0).normal(scale=0.005, size=(len(row), 3))
    image[row, column] = np.maximum(shading + noise * shading.max(), 0)
    return LightingSetup.checked(image, *geometry)


def main() -> None:
    render.set_num_threads(1)
    for kind in LIGHTS:
        setup = make_setup(kind)
        for name, (options, limit) in CASES.items():
            times = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                LightingSession(setup, options).run()
                times.append(time.perf_counter() - started)
            print(f"{kind + ', ' + name:40s} {1e3 * statistics.median(times):8.2f} ms   limit {limit or '-'} ms")


if __name__ == "__main__":
    main()
