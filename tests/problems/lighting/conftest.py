# SPDX-License-Identifier: Apache-2.0
"""A box on a floor under a known light, drawn without the solver: points on planes and a shadow by ray and box."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.render.gbuffer import join_scene, render_gbuffer

SIZE = 96
CAMERA = Camera.from_fov(SIZE, SIZE, np.radians(40))
NOISE = 0.005
BOX_LOW, BOX_HIGH = np.array([-0.3, -0.2, 0.0]), np.array([0.2, 0.25, 0.5])
BOX_FACES = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
        *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ]
)
FLOOR = Mesh.checked(np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))
BOX = Mesh.checked(np.array([[x, y, z] for x in (-0.3, 0.2) for y in (-0.2, 0.25) for z in (0.0, 0.5)], dtype=float), BOX_FACES)


class LightingCase(NamedTuple):
    """image: (H, W, 3) linear.  light: (3,) in the camera's frame, the direction of a sun or the position of a point light."""

    image: np.ndarray
    light: np.ndarray
    kind: str

    def arguments(self, **changes: Any) -> dict[str, Any]:
        """What solve_lighting takes; the albedo is known, the strength not."""
        given = {
            "image": self.image,
            "vertices": [FLOOR.vertices, BOX.vertices],
            "faces": [FLOOR.faces, BOX.faces],
            "camera": CAMERA,
            "camera_from_object": [camera_from_world()] * 2,
            "kind": self.kind,
            "albedo": [np.ones(3), np.ones(3)],
        }
        return given | changes


def camera_from_world() -> np.ndarray:
    """A camera 3 m away that looks at the box from the front, 35 degrees above the floor."""
    elevation = np.radians(35)
    right, back = np.array([1.0, 0, 0]), np.array([0, -np.cos(elevation), np.sin(elevation)])
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(back, right), back])
    matrix[:3, 3] = [0, -0.1, -3]
    return matrix


def make_case(kind: str, light_world, strength: float, ambient: float, meshes=(FLOOR, BOX)) -> LightingCase:
    """Radiance of white surfaces; strength in Blender's units."""
    matrix = camera_from_world()
    scene = join_scene(meshes, [matrix] * len(meshes), [None] * len(meshes))
    buffer = render_gbuffer([scene], CAMERA.intrinsics, SIZE, SIZE)
    rotation, light_world = matrix[:3, :3], np.asarray(light_world, float)
    points = (buffer.position[0] - matrix[:3, 3]) @ rotation
    normals = buffer.normal[0] @ rotation
    towards = np.broadcast_to(light_world, points.shape) if kind == "sun" else light_world - points
    distance = np.linalg.norm(towards, axis=2)
    irradiance = strength if kind == "sun" else strength / (4 * np.pi * distance**2)
    cosine = np.maximum(np.sum(normals * towards, axis=2) / distance, 0)
    is_lit = ~_hits_box(points + 1e-4 * normals, towards) if BOX in meshes else 1
    radiance = irradiance / np.pi * cosine * is_lit + ambient
    image = np.repeat(np.where(buffer.mask[0], radiance, 0)[..., None], 3, axis=2)
    noise = np.random.default_rng(0).normal(scale=NOISE * image.max(), size=image.shape)
    light = rotation @ light_world + (0 if kind == "sun" else matrix[:3, 3])
    return LightingCase(np.maximum(image + noise, 0), light / (np.linalg.norm(light) if kind == "sun" else 1), kind)


def _hits_box(points: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """(...) bool: whether the ray from a point (..., 3) towards the light meets the box."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (BOX_LOW - points) / towards, (BOX_HIGH - points) / towards
    enter = np.fmin(first, second).max(axis=-1)
    leave = np.fmax(first, second).min(axis=-1)
    return (leave > enter) & (leave > 0) & (enter < 1e6)


@pytest.fixture(scope="session")
def sun_case() -> LightingCase:
    return make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0.05)


@pytest.fixture(scope="session")
def point_case() -> LightingCase:
    return make_case("point", [0.7, -0.6, 1.1], strength=60.0, ambient=0.05)
