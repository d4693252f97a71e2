"""Random lamps over random meshes, and the images they give: what lighting networks learn from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from solver_core import render, rotations
from solver_core.errors import ConfigError
from solver_core.frames import Camera, matrix_from_pose, project
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshEntry, load_library
from solver_core.problem import Samples
from solver_core.problems.lighting.features import GRID_SIZE
from solver_core.problems.lighting.observation import LightingObservation, Linear, compose, observe
from solver_core.problems.lighting.problem import KINDS, LightingProblem
from solver_core.problems.lighting.surface import LitScene, choose_pixels, lit_scene
from solver_core.render.gbuffer import join_scene, render_gbuffer

CATEGORIES = ("car", "plane", "chair", "bench", "table", "sofa", "cabinet", "bed", "monitor")
CAMERA_DISTANCE = 2.732  # object diagonals; with the field of view the setup of Kato et al. 2018
VERTICAL_FOV = np.radians(30.0)
CANONICAL_DEG = 30.0  # azimuth and elevation of the canonical view
MIN_POINTS = 150  # fewer visible cells say nothing
MIN_BRIGHT = 1e-3  # of the strength: darker samples show no light at all


@dataclass(frozen=True)
class LightingSampling:
    """Distribution of the samples; angles in degrees, lengths in object diagonals.

    kind: of the lamp, a direction or a position on the camera's half of the unit sphere.  min_distance, max_distance: of a
    point lamp from the object's centre.  canonical: fraction of views at azimuth 30, elevation 30; the others have any
    azimuth and an elevation in [min, max]_elevation_deg.  other_categories: fraction of samples from categories beyond the
    nine measured ones.  unknown_strength: fraction whose strength is not known and that have ambient light up to
    max_ambient of it.  noise: standard deviation of the image, of its bright level.
    """

    kind: str = "sun"
    min_distance: float = 1.0
    max_distance: float = 1.0
    canonical: float = 0.5
    min_elevation_deg: float = -10.0
    max_elevation_deg: float = 60.0
    other_categories: float = 0.3
    unknown_strength: float = 0.25
    max_ambient: float = 0.3
    noise: float = 0.01


def make_sampler(data: Path, split: str, settings: dict[str, Any]) -> LightingSampler:
    """Sampler over a split of a mesh folder; settings: fields of LightingSampling.  Raises ConfigError."""
    known = {field.name for field in fields(LightingSampling)}
    for key in settings:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in [sampling]; known: {', '.join(sorted(known))}")
    sampling = LightingSampling(**settings)
    if sampling.kind not in KINDS:
        raise ConfigError(f"unknown kind of lamp {sampling.kind!r} in [sampling]; known: {', '.join(KINDS)}")
    return LightingSampler(load_library(data, split), sampling)


class LightingSampler:
    """Draws Samples; see LightingSampling for what of."""

    def __init__(self, library: list[MeshEntry], sampling: LightingSampling) -> None:
        self.sampling = sampling
        self.measured = [entry.mesh for entry in library if entry.category in CATEGORIES]
        self.other = [entry.mesh for entry in library if entry.category not in CATEGORIES]

    def draw(self, rng: np.random.Generator, count: int) -> Samples:
        sampling = self.sampling
        scene = self._scene(rng, count)
        light = draw_lights(rng, count) * rng.uniform(sampling.min_distance, sampling.max_distance, (count, 1))
        x_true = scene_light(sampling.kind, light, scene)
        is_unknown = rng.uniform(size=count) < sampling.unknown_strength
        ambient = np.where(is_unknown[:, None], rng.uniform(0, sampling.max_ambient, (count, 1)), 0)
        shading, level = self._shade(scene, x_true)
        true_linear = Linear(np.tile(1 / level, (1, 3)), np.tile(ambient, (1, 3)).astype(np.float32))
        image = compose(shading, scene.surface.albedo, true_linear)
        image = np.maximum(image + rng.normal(scale=sampling.noise, size=image.shape), 0)
        observation = observe(image, scene.surface.weight)
        strength = np.where(is_unknown[:, None], np.nan, true_linear.strength / observation.level[:, None])
        problem = LightingProblem(sampling.kind, scene, observation, strength.astype(np.float32))
        return Samples(problem, observation, start_lights(sampling.kind, count), x_true)

    def _shade(self, scene: LitScene, x_true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, P) shading by lamps of strength one, and (B, 1) how bright it gets."""
        count = len(x_true)
        nothing = np.zeros((*scene.surface.cell.shape, 3), np.float32)
        blank = LightingObservation(nothing, scene.surface.weight, np.ones(count, np.float32))
        known = np.ones((count, 3), np.float32)
        shading = LightingProblem(self.sampling.kind, scene, blank, known).forward(x_true, np.arange(count)).shading
        return shading, np.maximum(shading.max(axis=1, keepdims=True), MIN_BRIGHT)

    def _scene(self, rng: np.random.Generator, count: int) -> LitScene:
        """Count meshes before cameras that show them as large as the grid."""
        sampling = self.sampling
        is_canonical = rng.uniform(size=count) < sampling.canonical
        azimuth = np.where(is_canonical, CANONICAL_DEG, rng.uniform(0, 360, count))
        elevation = rng.uniform(sampling.min_elevation_deg, sampling.max_elevation_deg, count)
        elevation = np.where(is_canonical, CANONICAL_DEG, elevation)
        matrices = view_matrices(np.radians(azimuth), np.radians(elevation))
        scenes, buffers, pixels = [], [], []
        for matrix in matrices:
            scene, buffer, chosen = self._view(rng, matrix)
            scenes.append(scene.mesh)
            buffers.append(buffer)
            pixels.append(chosen)
        joined = type(buffers[0])(*(np.concatenate(arrays) for arrays in zip(*buffers, strict=True)))
        return lit_scene(scenes, joined, pixels)

    def _view(self, rng: np.random.Generator, matrix: np.ndarray):
        while True:
            scene = join_scene([self._mesh(rng)], [matrix], [None])
            camera = close_camera(scene.mesh)
            buffer = render_gbuffer([scene], camera.intrinsics, camera.height, camera.width)
            if buffer.mask.sum() >= MIN_POINTS:
                return scene, buffer, choose_pixels(buffer.mask[0], GRID_SIZE)

    def _mesh(self, rng: np.random.Generator) -> Mesh:
        from_other = bool(self.other) and (rng.uniform() < self.sampling.other_categories or not self.measured)
        meshes = self.other if from_other else self.measured
        return meshes[rng.integers(len(meshes))]
