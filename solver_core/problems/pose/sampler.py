# SPDX-License-Identifier: Apache-2.0
"""Random poses of random meshes, and the silhouettes they give: what pose networks learn from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from solver_core import render, rotations
from solver_core.config import settings_from
from solver_core.frames import matrix_from_pose
from solver_core.kernel.vertices import unit_meshes
from solver_core.loop import solve
from solver_core.manifolds import SE3, AddedPose
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshEntry, MeshPool, load_library
from solver_core.problem import Samples
from solver_core.problems.pose.align import ALIGN_LOOP
from solver_core.problems.pose.crop import CroppedPoses, crop_images, turn_pose
from solver_core.problems.pose.damage import MaskDamage, damage_masks
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.problem import PoseProblem
from solver_core.views import CAMERA_DISTANCE, VERTICAL_FOV, draw_views, view_rotation

MIN_PIXELS, MIN_SHARE = 60, 0.02  # of the image, whichever is less; smaller masks say nothing


@dataclass(frozen=True)
class PoseSampling:
    """Distribution of the samples; angles in degrees, lengths in object diagonals.

    up: the axis that points up in meshes of a plain folder, see load_library.
    max_angle_deg, max_shift: how far the truth is from the start.  canonical: fraction of starts at azimuth 30,
    elevation 30; the others have any azimuth, an elevation in [min, max]_elevation_deg and a roll up to max_roll_deg.
    tumbled: fraction of meshes turned at random first, for objects that are not upright.  other_categories: fraction of
    samples from categories beyond the nine measured ones.  max_stretch: each axis is scaled by up to this factor.
    varied_perspective: fraction seen from nearer or farther.  cut: fraction shifted towards the image border.
    resolutions: sizes of the square masks.  additive: steps are those of AddedPose, not of SE3; for comparison.
    per_view: samples that share a mesh and a true pose, each with its own start and damage; they cost one render.
    wrong_mesh: fraction of views whose mesh differs from the one that was seen, each axis by up to mesh_error.
    wrong_focal: fraction of views whose focal length is off by a factor of up to focal_error; the truth is then the
    pose at the distance that shows the object as large.  damage: fields of MaskDamage.
    """

    up: str = "z"
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
    per_view: int = 1
    wrong_mesh: float = 0.0
    mesh_error: float = 1.05
    wrong_focal: float = 0.0
    focal_error: float = 1.2
    damage: dict[str, float] = field(default_factory=dict)


def make_sampler(data: Path, split: str, settings: dict[str, Any]) -> PoseSampler:
    """Sampler over a split of a mesh folder; settings: fields of PoseSampling.  Raises ConfigError."""
    sampling = settings_from(PoseSampling, settings, "[sampling]")
    settings_from(MaskDamage, sampling.damage, "[sampling.damage]")
    return PoseSampler(load_library(data, split, sampling.up), sampling)


class _Objects(NamedTuple):
    """Meshes as the solver knows them, each with its outline, see outline_mesh."""

    meshes: list[Mesh]
    outlines: list[Mesh]

    def take(self, rows: np.ndarray) -> _Objects:
        return _Objects([self.meshes[row] for row in rows], [self.outlines[row] for row in rows])


class _Views(NamedTuple):
    """What is seen of V objects: masks (V, H, W), cameras (V, 4), starts and true poses (V, 7)."""

    objects: _Objects
    masks: np.ndarray
    intrinsics: np.ndarray
    start: np.ndarray
    truth: np.ndarray


class PoseSampler:
    """Draws Samples; see PoseSampling for what of.  The views of a batch are rendered, damaged and cropped together."""

    def __init__(self, library: list[MeshEntry], sampling: PoseSampling) -> None:
        self.sampling = sampling
        self.meshes = MeshPool(library)
        self.outlines = {id(mesh): outline_mesh(mesh).vertices for mesh in (*self.meshes.measured, *self.meshes.other)}
        self.damage = MaskDamage(**sampling.damage)

    def draw(self, rng: np.random.Generator, count: int) -> Samples:
        """Count samples in their virtual cameras, with the closed-form alignment done."""
        num_views = -(-count // self.sampling.per_view)
        sizes, views_of_size = np.unique(rng.choice(self.sampling.resolutions, size=num_views), return_counts=True)
        parts: list[Samples] = []
        for size, num_of_size in zip(sizes, views_of_size, strict=True):
            while num_of_size > 0:
                views = self._views(rng, int(num_of_size), int(size))
                num_of_size -= len(views.masks)
                if len(views.masks):
                    parts.append(self._samples(rng, views))
        return _shuffled(parts, rng, count, AddedPose() if self.sampling.additive else SE3())

    def _views(self, rng: np.random.Generator, count: int, size: int) -> _Views:
        """Up to count views: those whose mask is large enough."""
        sampling = self.sampling
        objects = self._objects(rng, count)
        start, truth = draw_poses(sampling, rng, count)
        intrinsics = self._cameras(rng, truth, size)
        camera_from_object = matrix_from_pose(truth)
        camera_from_object[:, :3, :3] *= self._mesh_errors(rng, count)[:, None]
        is_wrong = rng.uniform(size=count) < sampling.wrong_focal
        factor = np.where(is_wrong, np.exp(rng.uniform(-1, 1, size=count) * np.log(sampling.focal_error)), 1.0)
        focal = np.stack([factor, factor, np.ones(count), np.ones(count)], axis=1)
        masks = np.isfinite(render.render_depth(objects.meshes, camera_from_object, intrinsics * focal, size, size))
        truth[:, 6] /= factor
        kept = np.flatnonzero(np.count_nonzero(masks, axis=(1, 2)) >= min(MIN_PIXELS, MIN_SHARE * size**2))
        return _Views(objects.take(kept), masks[kept], intrinsics[kept], start[kept], truth[kept])

    def _samples(self, rng: np.random.Generator, views: _Views) -> Samples:
        """Per_view samples of each view."""
        sampling, count = self.sampling, len(views.masks)
        again = np.tile(np.arange(count), sampling.per_view)
        masks, known = damage_masks(views.masks[again], self.damage, rng)
        truth, start = views.truth[again], views.start[again]
        turn = rotations.wxyz_from_rotvec(rotations.random_rotvec(rng, len(again) - count, np.radians(sampling.max_angle_deg)))
        start[count:, :4] = rotations.multiply(turn, truth[count:, :4])
        meshes, outlines = views.objects.take(again)
        cropped = crop_images(outlines, masks.astype(np.float32), views.intrinsics[again], known)
        start = turn_pose(cropped.virtual_from_camera, start)
        x0 = SE3().retract(start, cropped.align(0, start, None, None, np.arange(len(again))))
        problem = replace(cropped.problem, meshes=meshes)
        return Samples(problem, cropped.observation, x0, turn_pose(cropped.virtual_from_camera, truth))

    def _objects(self, rng: np.random.Generator, count: int) -> _Objects:
        """Random meshes, stretched, mirrored and tumbled."""
        sampling = self.sampling
        meshes = self.meshes.draw(rng, sampling.other_categories, count)
        outlines = np.stack([self.outlines[id(mesh)] for mesh in meshes])  # (B, P, 3)
        stretch = np.exp(rng.uniform(-1, 1, size=(count, 3)) * np.log(sampling.max_stretch))
        if sampling.max_stretch > 1:
            stretch[:, 0] *= rng.choice((-1, 1), size=count)  # a mirror image is as good an object
        turn = np.tile(np.eye(3), (count, 1, 1))
        is_tumbled = rng.uniform(size=count) < sampling.tumbled
        turn[is_tumbled] = rotations.matrix_from_wxyz(rotations.random_wxyz(rng, np.count_nonzero(is_tumbled)))
        if sampling.max_stretch > 1 or sampling.tumbled:
            matrices = turn * stretch[:, None]
            meshes, boxes = unit_meshes(meshes, matrices)
            moved = outlines @ matrices.transpose(0, 2, 1) - boxes[:, None, :3]
            outlines = (moved / boxes[:, None, 3:]).astype(np.float32)
        no_faces = np.empty((0, 3), np.int32)
        return _Objects(meshes, [Mesh(vertices, no_faces) for vertices in outlines])

    def _mesh_errors(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """(B, 3) by how much each axis of what is photographed is longer than in the mesh that is said to be it."""
        is_wrong = rng.uniform(size=(count, 1)) < self.sampling.wrong_mesh
        return np.where(is_wrong, np.exp(rng.uniform(-1, 1, size=(count, 3)) * np.log(self.sampling.mesh_error)), 1.0)

    def _cameras(self, rng: np.random.Generator, truth: np.ndarray, size: int) -> np.ndarray:
        """(B, 4) cameras that see the object as large as the standard one does, some with the object near the border."""
        sampling = self.sampling
        zoom = np.ones(len(truth))
        if sampling.varied_perspective:
            zoom = np.maximum(-truth[:, 6] / CAMERA_DISTANCE, 1 - sampling.max_shift / CAMERA_DISTANCE)
        focal_px = size / 2 / np.tan(VERTICAL_FOV / 2) * zoom
        is_cut = rng.uniform(size=len(truth)) < sampling.cut
        offset = np.where(is_cut[:, None], rng.uniform(-0.5, 0.5, size=(len(truth), 2)) * size, 0)
        return np.concatenate([focal_px[:, None], focal_px[:, None], size / 2 + offset], axis=1)


def outline_mesh(mesh: Mesh) -> Mesh:
    """The vertices that lie farthest out in one of many directions: all that the box of a silhouette depends on, nearly."""
    return Mesh(mesh.vertices[np.argmax(OUTLINE_DIRECTIONS @ mesh.vertices.T, axis=1)], mesh.faces[:0])


def _shuffled(parts: list[Samples], rng: np.random.Generator, count: int, manifold: SE3) -> Samples:
    """The parts as one, in random order, of which count are kept."""
    problems = [cast(PoseProblem, part.problem) for part in parts]
    meshes = [mesh for problem in problems for mesh in problem.meshes]
    order = rng.permutation(len(meshes))[:count]
    intrinsics = np.concatenate([problem.intrinsics for problem in problems])[order]
    observation = PoseObservation(
        *(np.concatenate(arrays)[order] for arrays in zip(*(part.observation for part in parts), strict=True))
    )
    problem = replace(problems[0], meshes=[meshes[row] for row in order], intrinsics=intrinsics, manifold=manifold)
    x0, x_true = (np.concatenate([getattr(part, name) for part in parts])[order] for name in ("x0", "x_true"))
    return Samples(problem, observation, x0, x_true)


def _directions(count: int) -> np.ndarray:
    """(count, 3) unit vectors spread over the sphere: a Fibonacci lattice."""
    height = (2 * np.arange(count) + 1) / count - 1
    angle = np.pi * (1 + 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1).astype(np.float32)


OUTLINE_DIRECTIONS = _directions(128)


def draw_poses(sampling: PoseSampling, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and truths (B, 7) of unit meshes before a camera."""
    views = draw_views(rng, count, sampling.canonical, (sampling.min_elevation_deg, sampling.max_elevation_deg))
    roll_deg = np.where(views.is_canonical, 0.0, rng.uniform(-1, 1, size=count) * sampling.max_roll_deg)
    start_wxyz = view_rotation(views.azimuth, views.elevation, np.radians(roll_deg))
    distance = np.full(count, CAMERA_DISTANCE)
    is_varied = rng.uniform(size=count) < sampling.varied_perspective
    distance = np.where(is_varied, CAMERA_DISTANCE * np.exp(rng.uniform(np.log(0.6), np.log(6), count)), distance)
    position = np.stack([np.zeros(count), np.zeros(count), -distance], axis=1)
    turn = rotations.random_rotvec(rng, count, np.radians(sampling.max_angle_deg))
    shift = rng.uniform(-sampling.max_shift, sampling.max_shift, size=(count, 3))
    true_wxyz = rotations.multiply(rotations.wxyz_from_rotvec(turn), start_wxyz)
    start = np.concatenate([start_wxyz, position], axis=1)
    return start, np.concatenate([true_wxyz, position + shift], axis=1)


def align(cropped: CroppedPoses, x0: np.ndarray) -> np.ndarray:
    """(B, 7) starts after the closed-form step, where that explains the mask better."""
    return solve(cropped.problem, cropped.align, cropped.observation, x0, ALIGN_LOOP).x
