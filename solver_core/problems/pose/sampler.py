"""Random poses of random meshes, and the silhouettes they give: what pose networks learn from."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver_core import render, rotations
from solver_core.errors import ConfigError
from solver_core.frames import Camera, matrix_from_pose
from solver_core.loop import solve
from solver_core.manifolds import SE3, AddedPose
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshEntry, load_library
from solver_core.problem import Samples
from solver_core.problems.pose.align import ALIGN_LOOP
from solver_core.problems.pose.crop import CroppedPoses, crop_poses, turn_pose
from solver_core.problems.pose.views import view_rotation

CATEGORIES = ("car", "plane", "chair", "bench", "table", "sofa", "cabinet", "bed", "monitor")
CAMERA_DISTANCE = 2.732  # object diagonals; with the field of view the setup of Kato et al. 2018
VERTICAL_FOV = np.radians(30.0)
MIN_PIXELS = 60  # smaller masks say nothing


@dataclass(frozen=True)
class PoseSampling:
    """Distribution of the samples; angles in degrees, lengths in object diagonals.

    max_angle_deg, max_shift: how far the truth is from the start.  canonical: fraction of starts at azimuth 30,
    elevation 30; the others have any azimuth, an elevation in [min, max]_elevation_deg and a roll up to max_roll_deg.
    tumbled: fraction of meshes turned at random first, for objects that are not upright.  other_categories: fraction of
    samples from categories beyond the nine measured ones.  max_stretch: each axis is scaled by up to this factor.
    varied_perspective: fraction seen from nearer or farther.  cut: fraction shifted towards the image border.
    resolutions: sizes of the square masks.  additive: steps are those of AddedPose, not of SE3; for comparison.
    """

    max_angle_deg: float = 40.0
    max_shift: float = 0.2
    canonical: float = 0.0
    min_elevation_deg: float = -10.0
    max_elevation_deg: float = 60.0
    max_roll_deg: float = 15.0
    tumbled: float = 0.0
    other_categories: float = 0.0
    max_stretch: float = 1.0
    varied_perspective: float = 0.0
    cut: float = 0.0
    resolutions: tuple[int, ...] = (128,)
    additive: bool = False


def make_sampler(data: Path, split: str, settings: dict[str, Any]) -> PoseSampler:
    """Sampler over a split of a mesh folder; settings: fields of PoseSampling.  Raises ConfigError."""
    known = {field.name for field in fields(PoseSampling)}
    for key in settings:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in [sampling]; known: {', '.join(sorted(known))}")
    return PoseSampler(load_library(data, split), PoseSampling(**settings))


class PoseSampler:
    """Draws Samples; see PoseSampling for what of."""

    def __init__(self, library: list[MeshEntry], sampling: PoseSampling) -> None:
        self.sampling = sampling
        self.measured = [entry.mesh for entry in library if entry.category in CATEGORIES]
        self.other = [entry.mesh for entry in library if entry.category not in CATEGORIES]

    def draw(self, rng: np.random.Generator, count: int) -> Samples:
        """Count samples in their virtual cameras, with the closed-form alignment done."""
        meshes: list[Mesh] = []
        cameras, starts, truths, masks = [], [], [], []
        while len(meshes) < count:
            batch = self._propose(rng, count - len(meshes))
            for parts, part in zip((meshes, cameras, starts, truths, masks), batch, strict=True):
                parts.extend(part)
        manifold = AddedPose() if self.sampling.additive else SE3()
        return cropped_samples(meshes, masks, cameras, np.stack(starts), np.stack(truths), manifold)

    def _propose(self, rng: np.random.Generator, count: int) -> tuple[list[Any], ...]:
        """Up to count samples: those whose mask is large enough."""
        meshes = [self._mesh(rng) for _ in range(count)]
        start, truth = draw_poses(self.sampling, rng, count)
        cameras = self._cameras(rng, truth)
        kept: tuple[list[Any], ...] = ([], [], [], [], [])
        for mesh, camera, x0, x_true in zip(meshes, cameras, start, truth, strict=True):
            depth = render.render_depth(
                [mesh], matrix_from_pose(x_true[None]), camera.intrinsics[None], camera.height, camera.width
            )
            mask = np.isfinite(depth[0])
            if mask.sum() >= MIN_PIXELS:
                for parts, part in zip(kept, (mesh, camera, x0, x_true, mask.astype(np.float32)), strict=True):
                    parts.append(part)
        return kept

    def _mesh(self, rng: np.random.Generator) -> Mesh:
        sampling = self.sampling
        from_other = bool(self.other) and (rng.uniform() < sampling.other_categories or not self.measured)
        meshes = self.other if from_other else self.measured
        mesh = meshes[rng.integers(len(meshes))]
        stretch = np.exp(rng.uniform(-1, 1, size=3) * np.log(sampling.max_stretch))
        stretch[0] *= rng.choice((-1, 1)) if sampling.max_stretch > 1 else 1  # a mirror image is as good an object
        is_tumbled = rng.uniform() < sampling.tumbled
        turn = rotations.matrix_from_wxyz(rotations.random_wxyz(rng)) if is_tumbled else np.eye(3)
        if not is_tumbled and sampling.max_stretch == 1:
            return mesh
        return Mesh(((mesh.vertices * stretch) @ turn.T).astype(np.float32), mesh.faces).unit().mesh

    def _cameras(self, rng: np.random.Generator, truth: np.ndarray) -> list[Camera]:
        """Cameras that see the object as large as the standard one does, some with the object near the border."""
        sampling = self.sampling
        cameras = []
        for pose in truth:
            size = int(rng.choice(sampling.resolutions))
            zoom = (
                max(-pose[6] / CAMERA_DISTANCE, 1 - sampling.max_shift / CAMERA_DISTANCE) if sampling.varied_perspective else 1
            )
            focal_px = size / 2 / np.tan(VERTICAL_FOV / 2) * zoom
            offset = np.zeros(2)
            if rng.uniform() < sampling.cut:
                offset = rng.uniform(-0.5, 0.5, size=2) * size
            cameras.append(Camera(size, size, focal_px, focal_px, size / 2 + offset[0], size / 2 + offset[1]))
        return cameras


def draw_poses(sampling: PoseSampling, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and truths (B, 7) of unit meshes before a camera."""
    is_canonical = rng.uniform(size=count) < sampling.canonical
    azimuth = np.where(is_canonical, 30.0, rng.uniform(0, 360, size=count))
    elevation = rng.uniform(sampling.min_elevation_deg, sampling.max_elevation_deg, size=count)
    elevation = np.where(is_canonical, 30.0, elevation)
    roll = np.where(is_canonical, 0.0, rng.uniform(-1, 1, size=count) * sampling.max_roll_deg)
    start_wxyz = view_rotation(np.radians(azimuth), np.radians(elevation), np.radians(roll))
    distance = np.full(count, CAMERA_DISTANCE)
    is_varied = rng.uniform(size=count) < sampling.varied_perspective
    distance = np.where(is_varied, CAMERA_DISTANCE * np.exp(rng.uniform(np.log(0.6), np.log(6), count)), distance)
    position = np.stack([np.zeros(count), np.zeros(count), -distance], axis=1)
    turn = rotations.random_rotvec(rng, count, np.radians(sampling.max_angle_deg))
    shift = rng.uniform(-sampling.max_shift, sampling.max_shift, size=(count, 3))
    true_wxyz = rotations.multiply(rotations.wxyz_from_rotvec(turn), start_wxyz)
    start = np.concatenate([start_wxyz, position], axis=1)
    return start, np.concatenate([true_wxyz, position + shift], axis=1)


def cropped_samples(
    meshes: list[Mesh],
    masks: list[np.ndarray],
    cameras: list[Camera],
    start: np.ndarray,
    truth: np.ndarray,
    manifold: SE3 = SE3(),
) -> Samples:
    """Samples as their virtual cameras see them, aligned; start, truth: (B, 7) in the real cameras."""
    cropped = crop_poses(meshes, masks, cameras)
    x0 = align(cropped, turn_pose(cropped.virtual_from_camera, start))
    problem = replace(cropped.problem, manifold=manifold)
    return Samples(problem, cropped.observation, x0, turn_pose(cropped.virtual_from_camera, truth))


def align(cropped: CroppedPoses, x0: np.ndarray) -> np.ndarray:
    """(B, 7) starts after the closed-form step, where that explains the mask better."""
    return solve(cropped.problem, cropped.align, cropped.observation, x0, ALIGN_LOOP).x
