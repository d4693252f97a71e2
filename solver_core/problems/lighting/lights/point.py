# SPDX-License-Identifier: Apache-2.0
"""A point light: light from one place, which falls off with the squared distance."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from solver_core.manifolds import Euclidean, Manifold
from solver_core.problems.lighting.lights.light import (
    START_DIRECTION,
    Basis,
    Doubt,
    ShadingEquation,
    across,
    half_sphere,
    triangles,
)
from solver_core.render.shading import point_light_shading

if TYPE_CHECKING:
    from solver_core.problems.lighting.surface import LitScene, Surface

START_DISTANCE = 1.5  # units of the scene
NUM_DIRECTIONS = 64  # of the basis: about 19 degrees apart, within the reach of the refinement
DISTANCES = (0.6, 1.2, 3.0)  # of the basis, units of the scene: inside it, near it, far from it
FARTHEST = 10.0  # units of the scene: beyond it a point light is a sun
NEAREST = 1e-3  # units of the scene, from a surface: keeps the weights of points finite
WATTS_FROM_INTENSITY = 4 * np.pi  # Blender's point light has W, of which a unit of solid angle gets this part
FARTHER = 2.0  # times the distance


class PointLight:
    """See light.Light.  x is its position; steps are added."""

    name: ClassVar[str] = "point"
    label: ClassVar[str] = "point light"
    description: ClassVar[str] = "Finds the position of a light that is near"
    meaning: ClassVar[str] = "position of the light"
    unit: ClassVar[str] = "W"
    has_position: ClassVar[bool] = True
    weights: ClassVar[str] = "lighting_point"
    manifold: ClassVar[Manifold] = Euclidean(3)

    @property
    def start(self) -> np.ndarray:
        return START_DIRECTION * START_DISTANCE

    @property
    def basis(self) -> Basis:
        return _basis()

    def shade(self, scene: LitScene, x: np.ndarray, map_size: int) -> np.ndarray:
        return point_light_shading(scene.casters, scene.surface.position, scene.surface.normal, x, map_size)

    def irradiance(self, surface: Surface, x: np.ndarray) -> np.ndarray:
        towards = x[:, None] - surface.position
        distance = np.maximum(np.linalg.norm(towards, axis=2), NEAREST)
        return np.maximum(np.einsum("bpk,bpk->bp", surface.normal, towards), 0) / distance**3

    def slopes(self, surface: Surface, x: np.ndarray) -> np.ndarray:
        towards = x[:, None] - surface.position  # (B, P, 3)
        distance = np.maximum(np.linalg.norm(towards, axis=2, keepdims=True), NEAREST)
        irradiance = self.irradiance(surface, x)[..., None]
        return np.where(irradiance > 0, surface.normal / distance**3 - 3 * irradiance * towards / distance**2, 0)

    def unit_moves(self, x: np.ndarray) -> np.ndarray:
        distance = np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        towards = (x / distance)[:, None]
        return np.concatenate([across(x), towards], axis=1) * distance[..., None]

    def shading_equation(self, surface: Surface, x: np.ndarray, irradiance: np.ndarray) -> ShadingEquation:
        distance = np.linalg.norm(x[:, None] - surface.position, axis=2)
        # irradiance = normal . (x - position) / distance^3, with the distance taken from the current estimate
        target = irradiance * distance**3 + np.sum(surface.normal * surface.position, axis=2)
        return ShadingEquation(target, np.maximum(distance, NEAREST) ** 6)

    def bounded(self, solved: np.ndarray) -> np.ndarray:
        length = np.maximum(np.linalg.norm(solved, axis=1, keepdims=True), np.finfo(np.float32).eps)
        return solved / np.maximum(length / FARTHEST, 1)

    def step_from_velocity(self, x: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return velocity

    def velocity_from_step(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        return step

    def doubts(self, x: np.ndarray) -> list[Doubt]:
        sentence = "The light's distance is not visible: one twice as far, with the strength to match, fits as well."
        return [Doubt(FARTHER * x, sentence)]

    def strength_unit(self, scale: np.ndarray) -> np.ndarray:
        return np.pi * WATTS_FROM_INTENSITY * scale.astype(np.float64) ** 2

    def to_camera(self, x: np.ndarray, scene: LitScene) -> np.ndarray:
        return scene.centre + scene.scale[:, None] * x

    def from_camera(self, light: np.ndarray, scene: LitScene) -> np.ndarray:
        return (light - scene.centre) / scene.scale[:, None]

    def at_offset(self, point: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return point + offset

    def offset_from(self, point: np.ndarray, light: np.ndarray) -> np.ndarray:
        return light - point


@functools.cache
def _basis() -> Basis:
    """Spheres around the scene; a group is one of three tetrahedra between triangles of two of them."""
    directions = half_sphere(NUM_DIRECTIONS)
    x = np.concatenate([directions * np.float32(distance) for distance in DISTANCES])
    near = triangles(directions)
    groups = []
    for sphere in range(len(DISTANCES) - 1):
        corners = np.concatenate([near, near + NUM_DIRECTIONS], axis=1) + sphere * NUM_DIRECTIONS  # (M, 6)
        groups += [corners[:, tetrahedron] for tetrahedron in ([0, 1, 2, 5], [0, 1, 4, 5], [0, 3, 4, 5])]
    return Basis(x, np.concatenate(groups), np.repeat(np.square(DISTANCES), NUM_DIRECTIONS))
