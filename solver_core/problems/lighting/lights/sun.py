# SPDX-License-Identifier: Apache-2.0
"""A sun: light from one direction."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from solver_core.kernel.tree import cross
from solver_core.manifolds import Manifold, UnitSphere
from solver_core.problems.lighting.lights.light import (
    START_DIRECTION,
    Basis,
    Doubt,
    ShadingEquation,
    across,
    half_sphere,
    triangles,
)
from solver_core.render.shading import sun_shading

if TYPE_CHECKING:
    from solver_core.problems.lighting.surface import LitScene, Surface

NUM_DIRECTIONS = 96  # of the basis: about 15 degrees apart; between them, shading without shadows mixes without error


class Sun:
    """See light.Light.  x is the unit direction towards it; steps are rotation vectors."""

    name: ClassVar[str] = "sun"
    label: ClassVar[str] = "sun"
    description: ClassVar[str] = "Finds the direction of light from far away"
    meaning: ClassVar[str] = "direction towards the sun"
    unit: ClassVar[str] = "W/m2"
    has_position: ClassVar[bool] = False
    weights: ClassVar[str] = "lighting_sun"
    manifold: ClassVar[Manifold] = UnitSphere()

    @property
    def start(self) -> np.ndarray:
        return START_DIRECTION

    @property
    def basis(self) -> Basis:
        return _basis()

    def shade(self, scene: LitScene, x: np.ndarray, map_size: int) -> np.ndarray:
        return sun_shading(scene.casters, scene.surface.position, scene.surface.normal, x, map_size)

    def irradiance(self, surface: Surface, x: np.ndarray) -> np.ndarray:
        return np.maximum(np.einsum("bpk,bk->bp", surface.normal, x), 0)

    def slopes(self, surface: Surface, x: np.ndarray) -> np.ndarray:
        is_lit = self.irradiance(surface, x) > 0
        return np.where(is_lit[..., None], cross(x[:, None], surface.normal), 0)

    def unit_moves(self, x: np.ndarray) -> np.ndarray:
        return across(x)

    def shading_equation(self, surface: Surface, x: np.ndarray, irradiance: np.ndarray) -> ShadingEquation:
        return ShadingEquation(irradiance, np.ones_like(irradiance))

    def bounded(self, solved: np.ndarray) -> np.ndarray:
        return solved / np.maximum(np.linalg.norm(solved, axis=1, keepdims=True), np.finfo(np.float32).eps)

    def step_from_velocity(self, x: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return cross(x, velocity)

    def velocity_from_step(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        return cross(step, x)

    def doubts(self, x: np.ndarray) -> list[Doubt]:
        return []

    def strength_unit(self, scale: np.ndarray) -> np.ndarray:
        return np.full(scale.shape, np.pi)

    def to_camera(self, x: np.ndarray, scene: LitScene) -> np.ndarray:
        return x

    def from_camera(self, light: np.ndarray, scene: LitScene) -> np.ndarray:
        return np.atleast_2d(light)

    def at_offset(self, point: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return offset / np.linalg.norm(offset, axis=-1, keepdims=True)

    def offset_from(self, point: np.ndarray, light: np.ndarray) -> np.ndarray:
        return light


def disc(direction: np.ndarray, angle_deg: float, count: int) -> np.ndarray:
    """(N, 3) unit directions spread evenly over a sun's disc around one (3,); angle_deg: across it."""
    index = np.arange(count) + 0.5
    radius = np.tan(np.radians(angle_deg) / 2) * np.sqrt(index / count)
    azimuth = np.pi * (1 + np.sqrt(5)) * index  # golden angle: no two in a row
    offset = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1)
    directions = direction + offset @ across(direction[None])[0]
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@functools.cache
def _basis() -> Basis:
    directions = half_sphere(NUM_DIRECTIONS)
    return Basis(directions, triangles(directions), np.ones(NUM_DIRECTIONS))
