# SPDX-License-Identifier: Apache-2.0
"""Milliseconds to render one mesh at 128 x 128 on one core: compiled kernel, NumPy, pyrender.

python -m training.benchmarks.render
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from unittest import mock

import numpy as np
import trimesh

from solver_core import render
from solver_core.frames import Camera
from solver_core.kernel import loader
from solver_core.mesh import Mesh

CAMERA = Camera.from_fov(128, 128, np.radians(30))
DISTANCE = 2.732  # with the mesh's diagonal of 1 and this camera: the view of Table 1
SECONDS_PER_NUMBER = 1.0
LIMITS_MS = {5_000: 0.5, 100_000: 5.0, 1_000_000: 50.0}  # for the kernel


def median_ms(function: Callable[[], object]) -> float:
    """Median time of a warm call, over about a second."""
    function()
    times: list[float] = []
    while sum(times) < SECONDS_PER_NUMBER and len(times) < 1000:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def wavy_sphere(num_faces: int) -> Mesh:
    """Closed mesh of about num_faces faces that hides parts of itself, bounding-box diagonal 1."""
    num_rings = round((num_faces / 8) ** 0.5)
    shape = trimesh.creation.uv_sphere(count=[num_rings, 2 * num_rings])
    vertices = shape.vertices * (1 + 0.2 * np.sin(7 * shape.vertices[:, [1, 2, 0]]))
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return Mesh.checked((vertices - (low + high) / 2) / np.linalg.norm(high - low), shape.faces)


def pose() -> np.ndarray:
    """(1, 4, 4) camera_from_object: turned by 30 and 30 degrees, in front of the camera."""
    turn = trimesh.transformations.euler_matrix(np.radians(30), np.radians(30), 0)
    turn[2, 3] = -DISTANCE
    return turn[None]


def numpy_ms(function: Callable[[], object]) -> float:
    """As median_ms, without the kernel."""
    with mock.patch.object(loader, "library", return_value=None):
        return median_ms(function)


def pyrender_ms(mesh: Mesh) -> float:
    """NaN where pyrender or EGL is missing."""
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    try:
        import pyrender

        renderer = pyrender.OffscreenRenderer(CAMERA.width, CAMERA.height)
    except Exception as error:  # PyOpenGL raises what its platform raises
        print(f"no pyrender: {error!r}")
        return float("nan")
    scene = pyrender.Scene()
    primitive = pyrender.Primitive(positions=mesh.vertices, indices=mesh.faces, mode=pyrender.GLTF.TRIANGLES)
    scene.add(pyrender.Mesh([primitive]), pose=pose()[0])
    scene.add(pyrender.IntrinsicsCamera(CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy))
    result = median_ms(lambda: renderer.render(scene, flags=pyrender.RenderFlags.DEPTH_ONLY))
    renderer.delete()
    return result


def main() -> None:
    render.set_num_threads(1)
    print(f"renderer, {CAMERA.height} x {CAMERA.width}, one thread, ms; kernel: {render.kernel_name()}")
    print(f"{'faces':>10} {'depth':>8} {'+ faces':>8} {'limit':>8} {'NumPy':>8} {'pyrender':>8}")
    view = pose(), CAMERA.intrinsics, CAMERA.height, CAMERA.width
    for num_faces, limit in LIMITS_MS.items():
        mesh = wavy_sphere(num_faces)
        draw_depth, draw_both = partial(render.render_depth, [mesh], *view), partial(render.rasterize, [mesh], *view)
        kernel = f"{median_ms(draw_depth):8.3f} {median_ms(draw_both):8.3f}"
        print(f"{len(mesh.faces):10d} {kernel} {limit:8.1f} {numpy_ms(draw_depth):8.2f} {pyrender_ms(mesh):8.2f}")

    measure = partial(render.signed_distance, np.isfinite(render.render_depth([wavy_sphere(5_000)], *view)))
    print(f"signed distance: {median_ms(measure):.3f}, NumPy {numpy_ms(measure):.2f}")


if __name__ == "__main__":
    main()
