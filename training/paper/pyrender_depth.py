# SPDX-License-Identifier: Apache-2.0
"""Depth and silhouettes by pyrender: observations that the solver's own rasteriser has no part in.  Needs the `dev` extra."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any
from unittest import mock

import numpy as np

from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.optional import needed_for

NEAR, FAR = 0.05, 100.0  # object diagonals


def open_pyrender(camera: Camera) -> tuple[Any, Any, Any]:
    """The module pyrender, its camera, and a renderer without a window for images of that camera's size.

    Raises MissingDependency.
    """
    os.environ.setdefault("PYOPENGL_PLATFORM", "egl")
    with needed_for("rendering observations", extra="dev"):
        import pyrender
    pyrender_camera = pyrender.IntrinsicsCamera(camera.fx, camera.fy, camera.cx, camera.cy, znear=NEAR, zfar=FAR)
    return pyrender, pyrender_camera, pyrender.OffscreenRenderer(camera.width, camera.height)


class PyrenderDepth:
    """A pyrender context for one image size; use it in a `with` block."""

    def __init__(self, camera: Camera) -> None:
        self._pyrender, self._camera, self._renderer = open_pyrender(camera)
        gl = self._pyrender.renderer
        multisample = gl.glRenderbufferStorageMultisample
        # With its four samples a pixel, pyrender's depth is that of one of them, up to 0.4 pixels off the centre.
        self._single_sample = mock.patch.object(
            gl, multisample.__name__, lambda target, samples, *size: multisample(target, 0, *size)
        )

    def __enter__(self) -> PyrenderDepth:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._renderer.delete()

    def render_depth(self, mesh: Mesh, camera_from_object: np.ndarray) -> np.ndarray:
        """(H, W) depth of a mesh at a rigid (4, 4), sampled at pixel centres; 0 where nothing is."""
        return self.loaded(mesh)(camera_from_object)

    def loaded(self, mesh: Mesh) -> Callable[[np.ndarray], np.ndarray]:
        """render_depth of one mesh, for many poses; it is handed to OpenGL only once."""
        pyrender = self._pyrender
        # In DEPTH_ONLY it leaves out back faces, whatever it was asked for.
        both_sides = np.concatenate([mesh.faces, mesh.faces[:, ::-1]])
        primitive = pyrender.Primitive(positions=mesh.vertices, indices=both_sides, mode=pyrender.GLTF.TRIANGLES)
        scene = pyrender.Scene()
        node = scene.add(pyrender.Mesh([primitive]))
        scene.add(self._camera, pose=np.eye(4))

        def render_depth(camera_from_object: np.ndarray) -> np.ndarray:
            scene.set_pose(node, camera_from_object)
            with self._single_sample:
                return self._renderer.render(scene, flags=pyrender.RenderFlags.DEPTH_ONLY)

        return render_depth
