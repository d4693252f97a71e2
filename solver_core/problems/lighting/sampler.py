# SPDX-License-Identifier: Apache-2.0
"""Random lights over random meshes, and the images they give: what lighting networks learn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.config import settings_from
from solver_core.errors import ConfigError
from solver_core.frames import project
from solver_core.manifolds import UnitSphere
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshEntry, MeshPool, load_library
from solver_core.problem import Samples
from solver_core.problems.lighting.features import GRID_SIZE
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.observation import Arriving, Linear, observe
from solver_core.problems.lighting.problem import MAP_SIZE, LightingProblem
from solver_core.problems.lighting.surface import LitScene, choose_pixels, lit_scene
from solver_core.render.gbuffer import GBuffer, join_scene, render_gbuffer
from solver_core.views import OBJECT_CENTRE, Views, draw_views, view_matrices

MIN_POINTS = 150  # fewer visible cells say nothing
MIN_BRIGHT = 1e-3  # of the strength: darker samples show no light at all


@dataclass(frozen=True)
class LightingSampling:
    """Distribution of the samples; angles in degrees, lengths in object diagonals.

    up: the axis that points up in meshes of a plain folder, see load_library.
    kind: of the light, a key of LIGHTS; it is drawn on the camera's half of a sphere.  canonical: fraction of samples as in
    the paper, seen from azimuth 30, elevation 30 and, if it is a point light, lit from a distance of 1; the others are seen
    from any azimuth and an elevation in [min, max]_elevation_deg, with a point light in [min, max]_distance of the object's
    centre.  other_categories: fraction of samples from categories beyond the nine measured ones.  unknown_strength:
    fraction whose strength is not known and that have ambient light up to max_ambient of it.  noise: standard deviation of
    the image, of its bright level.  lights_per_view: samples that share a mesh and a view, which costs more to draw than a
    light.
    """

    up: str = "z"
    kind: str = "sun"
    canonical: float = 0.5
    min_distance: float = 0.7
    max_distance: float = 2.5
    min_elevation_deg: float = -10.0
    max_elevation_deg: float = 60.0
    other_categories: float = 0.3
    unknown_strength: float = 0.25
    max_ambient: float = 0.3
    noise: float = 0.01
    lights_per_view: int = 4


def make_sampler(data: Path, split: str, settings: dict[str, Any]) -> LightingSampler:
    """Sampler over a split of a mesh folder; settings: fields of LightingSampling.  Raises ConfigError."""
    sampling = _sampling(settings)
    return LightingSampler(load_library(data, split, sampling.up), sampling)


def weights_task(settings: dict[str, Any]) -> str:
    """What networks for such samples are called.  Raises ConfigError."""
    return LIGHTS[_sampling(settings).kind].weights


def _sampling(settings: dict[str, Any]) -> LightingSampling:
    sampling = settings_from(LightingSampling, settings, "[sampling]")
    if sampling.kind not in LIGHTS:
        raise ConfigError(f"unknown kind of light {sampling.kind!r} in [sampling]; known: {', '.join(LIGHTS)}")
    return sampling


class LightingSampler:
    """Draws Samples; see LightingSampling for what of."""

    def __init__(self, library: list[MeshEntry], sampling: LightingSampling) -> None:
        self.sampling, self.kind = sampling, LIGHTS[sampling.kind]
        self.meshes = MeshPool(library)

    def draw(self, rng: np.random.Generator, count: int) -> Samples:
        sampling = self.sampling
        num_views = math.ceil(count / sampling.lights_per_view)
        views = draw_views(rng, num_views, sampling.canonical, (sampling.min_elevation_deg, sampling.max_elevation_deg))
        view = np.arange(count) % num_views
        scene = self._scene(rng, views).of(view)
        distance = rng.uniform(sampling.min_distance, sampling.max_distance, (count, 1))
        offset = draw_lights(rng, count) * np.where(views.is_canonical[view, None], 1, distance)
        x_true = self.kind.from_camera(self.kind.at_offset(OBJECT_CENTRE, offset), scene).astype(np.float32)
        is_unknown = rng.uniform(size=(count, 1)) < sampling.unknown_strength
        ambient = np.where(is_unknown, rng.uniform(0, sampling.max_ambient, (count, 1)), 0)
        shading = self.kind.shade(scene, x_true, MAP_SIZE)
        bright = np.maximum(shading.max(axis=1, keepdims=True), MIN_BRIGHT)
        linear = Linear(np.repeat(1 / bright, 3, axis=1)[:, None], np.repeat(ambient, 3, axis=1)[:, None])
        image = Arriving.straight(shading[:, None]).on(scene.surface.albedo).mixed(linear)
        image = np.maximum(image + rng.normal(scale=sampling.noise, size=image.shape), 0)
        observation = observe(image, scene.surface.weight)
        strength = np.where(is_unknown, np.nan, linear.strength[:, 0] / observation.level[:, None]).astype(np.float32)
        problem = LightingProblem(self.kind, scene, observation, strength)
        return Samples(problem, observation, np.repeat(self.kind.start, count, axis=0), x_true)

    def _scene(self, rng: np.random.Generator, views: Views) -> LitScene:
        """(B,) meshes before cameras that show them as large as the grid."""
        seen = [self._view(rng, matrix) for matrix in view_matrices(views.azimuth, views.elevation)]
        buffer = GBuffer(*(np.concatenate(arrays) for arrays in zip(*(view for _, view in seen), strict=True)))
        pixels = [choose_pixels(mask, GRID_SIZE) for mask in buffer.mask]
        return lit_scene([mesh for mesh, _ in seen], buffer, pixels)

    def _view(self, rng: np.random.Generator, camera_from_object: np.ndarray) -> tuple[Mesh, GBuffer]:
        """A mesh in the camera's frame and what a close camera sees of it, enough to say something."""
        while True:
            (mesh,) = self.meshes.draw(rng, self.sampling.other_categories, 1)
            scene = join_scene([mesh], [camera_from_object], [None])
            buffer = render_gbuffer([scene], close_intrinsics(scene.mesh), GRID_SIZE, GRID_SIZE)
            if buffer.mask.sum() >= MIN_POINTS:
                return scene.mesh, buffer


def draw_lights(rng: np.random.Generator, count: int) -> np.ndarray:
    """(B, 3) uniform on the camera's half of the unit sphere."""
    directions = UnitSphere().random(rng, count)
    directions[:, 2] = np.abs(directions[:, 2])
    return directions


def close_intrinsics(mesh: Mesh) -> np.ndarray:
    """(4,) intrinsics with which a mesh in the camera's frame fills a square image of GRID_SIZE."""
    corners = project(mesh.vertices, np.array([1.0, 1.0, 0.0, 0.0]))
    low, high = corners.min(axis=0), corners.max(axis=0)
    focal_px = GRID_SIZE / (high - low).max()
    centre = GRID_SIZE / 2 - focal_px * (low + high) / 2
    return np.array([focal_px, focal_px, *centre])
