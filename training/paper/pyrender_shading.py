# SPDX-License-Identifier: Apache-2.0
"""Lambert images with shadows by pyrender: observations that the solver's own shading has no part in.

Needs the `dev` extra.  Two lines of its shader are replaced, see REPLACED.  It shades one side of a face only, so faces are
turned towards the camera first.  Its point light throws no shadows; a spot light whose cone holds the object stands in for it.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from solver_core.frames import Camera
from solver_core.mesh import Mesh
from training.paper.pyrender_depth import open_pyrender

# Lambert's law instead of a material with a highlight; and a bias that grows with the slope as a shadow map's error does,
# 2.5 texels of it: pyrender's own leaves stripes of shadow on surfaces that the light grazes.  Depth is linear for a sun,
# where w is 1; for a light at w object diagonals a step of it is 0.01 / w^2 of the map's depth, and a texel 0.0007 w for a cone
# of 20 degrees to the side; in the widest, of 60 degrees, texels are five times as large.
REPLACED = {
    "vec3 color = nl * radiance * (diffuse_contrib + spec_contrib);": (
        "vec3 color = max(dot(n, l), 0.0) * radiance * albedo / PI;"
    ),
    "float bias = max(0.001 * (1.0 - nl), 0.0001) / proj_coords.w;": (
        "float slope = sqrt(1.0 - nl * nl) / max(nl, 0.05);"
        "float bias = proj_coords.w == 1.0 ? 0.0001 + 0.00025 * slope : (0.00001 + 0.00006 * slope) / proj_coords.w;"
    ),
}
GAMMA = 2.2  # what pyrender encodes its 8 bits with
WHITE, BLACK = (1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 0.0)  # as floats: whole numbers count to 255


class PyrenderLambert:
    """A pyrender context for one image size; use it in a `with` block."""

    def __init__(self, camera: Camera) -> None:
        self._pyrender, self._camera, self._renderer = open_pyrender(camera)
        from pyrender.shader_program import ShaderProgramCache

        self._shaders = tempfile.TemporaryDirectory()
        shutil.copytree(Path(self._pyrender.__path__[0], "shaders"), self._shaders.name, dirs_exist_ok=True)
        fragment = Path(self._shaders.name, "mesh.frag")
        source = fragment.read_text(encoding="utf-8")
        for theirs, ours in REPLACED.items():
            assert theirs in source  # the version of pyrender is pinned
            source = source.replace(theirs, ours)
        fragment.write_text(source, encoding="utf-8")
        self._renderer._renderer._program_cache = ShaderProgramCache(shader_dir=self._shaders.name)

    def __enter__(self) -> PyrenderLambert:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._renderer.delete()
        self._shaders.cleanup()

    def render_sun(self, mesh: Mesh, direction: np.ndarray, strength: float) -> np.ndarray:
        """(H, W, 3) linear radiance of a white mesh in the camera's frame, from 8 bits, averaged over four samples a pixel.

        direction: (3,) unit, towards the sun.  strength: W/m2; above pi, white clips.
        """
        sun = self._pyrender.DirectionalLight(color=np.ones(3), intensity=strength)
        return self._render(mesh, sun, _facing(direction))

    def render_point_light(self, mesh: Mesh, position: np.ndarray, intensity: float) -> np.ndarray:
        """As render_sun, by a light at a position (3,) outside the mesh's bounding sphere, of this many W/sr."""
        low, high = mesh.bounds
        back = position - (low + high) / 2
        distance = np.linalg.norm(back)
        towards = mesh.vertices - position
        cosine = (towards @ -back) / (distance * np.linalg.norm(towards, axis=1))
        half_angle = np.arccos(np.clip(cosine.min(), -1, 1))
        light = self._pyrender.SpotLight(
            color=np.ones(3), intensity=intensity, innerConeAngle=half_angle + 0.02, outerConeAngle=half_angle + 0.04
        )
        pose = _facing(back / distance)
        pose[:3, 3] = position
        return self._render(mesh, light, pose)

    def _render(self, mesh: Mesh, light: Any, pose: np.ndarray) -> np.ndarray:
        pyrender = self._pyrender
        corners = mesh.vertices[mesh.faces]  # (F, 3, 3)
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        is_away = np.sum(normals * corners[:, 0], axis=1, keepdims=True) > 0
        primitive = pyrender.Primitive(
            positions=corners.reshape(-1, 3),
            normals=np.repeat(np.where(is_away, -normals, normals), 3, axis=0),
            mode=pyrender.GLTF.TRIANGLES,
            material=pyrender.MetallicRoughnessMaterial(baseColorFactor=WHITE, metallicFactor=0.0, doubleSided=True),
        )
        scene = pyrender.Scene(bg_color=(*BLACK, 0), ambient_light=BLACK)
        scene.add(pyrender.Mesh([primitive]))
        scene.add(self._camera)
        scene.add(light, pose=pose)
        flags = pyrender.RenderFlags.SHADOWS_DIRECTIONAL | pyrender.RenderFlags.SHADOWS_SPOT
        colour, _ = self._renderer.render(scene, flags=flags)
        return (colour.astype(np.float32) / 255) ** GAMMA


def _facing(direction: np.ndarray) -> np.ndarray:
    """(4, 4) pose whose z axis is the given unit vector."""
    helper = np.eye(3)[np.argmin(np.abs(direction))]
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(direction, right), direction], axis=1)
    return pose
