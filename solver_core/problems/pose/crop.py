"""The virtual camera of a solve: turned to the mask and zoomed to it, so that networks see one kind of image.

It is a pure rotation and a zoom of the real camera, so a pose carries over exactly, and resolution, lens, aspect, lens
shift and the object's place in the frame make no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core import render, rotations
from solver_core.frames import Camera, project, rays
from solver_core.mesh import Mesh
from solver_core.problem import Update, take
from solver_core.problems.pose.align import align_update
from solver_core.problems.pose.features import CROP_SIZE
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.problem import PoseProblem

FILL = 0.72  # the mask's longer side takes this part of the crop; the rest shows how far an estimate sticks out


class VirtualCamera(NamedTuple):
    """virtual_from_camera: (3, 3) rotation.  intrinsics: (4,) of the square crop."""

    virtual_from_camera: np.ndarray
    intrinsics: np.ndarray


class CroppedPoses(NamedTuple):
    """Pose problems as their virtual cameras see them: what networks work on, in training and in solving.

    virtual_from_camera: (B, 3, 3).  sides: (B, 4), left, bottom, right and top of the mask in image coordinates.
    is_cut: (B, 4) bool, the sides that the image border cuts off.
    """

    problem: PoseProblem
    observation: PoseObservation
    virtual_from_camera: np.ndarray
    sides: np.ndarray
    is_cut: np.ndarray

    @property
    def align(self) -> Update:
        """The closed-form first step."""
        return align_update(self.problem.meshes, self.sides, self.is_cut)

    def repeated(self, count: int) -> CroppedPoses:
        """A single instance as `count` equal ones, for as many starts."""
        rows = np.zeros(count, dtype=int)
        return CroppedPoses(
            self.problem.repeated(count),
            take(self.observation, rows),
            self.virtual_from_camera[rows],
            self.sides[rows],
            self.is_cut[rows],
        )


def crop_poses(meshes: Sequence[Mesh], coverages: Sequence[np.ndarray], cameras: Sequence[Camera]) -> CroppedPoses:
    """B problems from B meshes (centred, diagonal 1), masks (H, W) with at least one pixel half covered, and cameras."""
    outlines = [outline_rays(coverage, camera) for coverage, camera in zip(coverages, cameras, strict=True)]
    views = [virtual_camera(outline, CROP_SIZE) for outline in outlines]
    intrinsics = np.stack([view.intrinsics for view in views])
    sides = np.stack([box_sides(outline, view) for outline, view in zip(outlines, views, strict=True)])
    is_cut = np.stack([cut_sides(coverage) for coverage in coverages])
    return CroppedPoses(
        PoseProblem(meshes, intrinsics, CROP_SIZE, CROP_SIZE),
        observe(coverages, cameras, views, CROP_SIZE),
        np.stack([view.virtual_from_camera for view in views]),
        sides,
        is_cut,
    )


def outline_rays(coverage: np.ndarray, camera: Camera) -> np.ndarray:
    """(P, 3) points at depth 1 seen at the corners of the first and last object pixel of every row."""
    is_object = coverage >= 0.5
    rows = np.flatnonzero(is_object.any(axis=1))
    first = np.argmax(is_object[rows], axis=1)
    last = coverage.shape[1] - np.argmax(is_object[rows, ::-1], axis=1)
    columns = np.concatenate([first, last, first, last]).astype(np.float64)
    return rays(columns, np.concatenate([rows, rows, rows + 1, rows + 1]).astype(np.float64), camera.intrinsics)


def cut_sides(coverage: np.ndarray) -> np.ndarray:
    """(4,) bool: whether the mask touches the left, bottom, right and top border of its image."""
    is_object = coverage >= 0.5
    return np.array([is_object[:, 0].any(), is_object[-1].any(), is_object[:, -1].any(), is_object[0].any()])


def virtual_camera(outline_camera: np.ndarray, size: int) -> VirtualCamera:
    """Camera whose axis goes through the middle of an outline (P, 3) and whose size x size image holds it with a margin."""
    points = outline_camera[:, :2] / -outline_camera[:, 2:]
    middle = np.append((points.min(axis=0) + points.max(axis=0)) / 2, -1.0)
    turn = turn_to_axis(middle / np.linalg.norm(middle))
    seen = outline_camera @ turn.T
    half_extent = np.abs(seen[:, :2] / -seen[:, 2:]).max()
    focal_px = FILL * size / 2 / half_extent
    return VirtualCamera(turn, np.array([focal_px, focal_px, size / 2, size / 2]))


def box_sides(outline_camera: np.ndarray, view: VirtualCamera) -> np.ndarray:
    """(4,) left, bottom, right, top of an outline (P, 3) in the view's image coordinates x / -z, y / -z."""
    seen = outline_camera @ view.virtual_from_camera.T
    points = seen[:, :2] / -seen[:, 2:]
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def turn_to_axis(direction: np.ndarray) -> np.ndarray:
    """(3, 3) smallest rotation that takes a unit direction with z < 0 to -z."""
    forward = np.array([0.0, 0.0, -1.0])
    axis = np.cross(direction, forward)
    sine, cosine = np.linalg.norm(axis), direction @ forward
    rotvec = axis * (np.arctan2(sine, cosine) / max(sine, 1e-12))  # no axis, no turn
    return rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(rotvec))


def turn_pose(camera_b_from_a: np.ndarray, pose_a: np.ndarray) -> np.ndarray:
    """(B, 7) poses seen from a camera turned by (B, 3, 3) or (3, 3) about its own centre."""
    wxyz = rotations.multiply(rotations.wxyz_from_matrix(camera_b_from_a), pose_a[..., :4])
    position = np.einsum("...ij,...j->...i", camera_b_from_a, pose_a[..., 4:])
    return np.concatenate([rotations.normalized(wxyz), position], axis=-1)


def observe(
    coverages: Sequence[np.ndarray], cameras: Sequence[Camera], views: Sequence[VirtualCamera], size: int
) -> PoseObservation:
    """Masks (H, W), each in its camera's image, as the virtual cameras see them."""
    seen = [_warp(*one, size) for one in zip(coverages, cameras, views, strict=True)]
    coverage = np.stack([part for part, _ in seen])
    evidence = np.stack([part for _, part in seen])
    return PoseObservation(coverage, evidence, coverage_distance(coverage))


def coverage_distance(coverage: np.ndarray) -> np.ndarray:
    """(B, H, W) signed distance in pixels to where coverage (B, H, W) passes one half; partly covered pixels tell exactly."""
    distance = render.signed_distance(coverage >= 0.5)
    is_partial = (coverage > 0.02) & (coverage < 0.98) & (np.abs(distance) < 1)
    return np.where(is_partial, 0.5 - coverage, distance).astype(np.float32)


def _warp(coverage: np.ndarray, camera: Camera, view: VirtualCamera, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (size, size) float32 seen by the view, and (size, size) bool where the image reaches.

    Beyond the border the nearest pixel is repeated: an outline goes straight on there, and evidence says not to trust it.
    """
    reduction = max(1, round(camera.fx / view.intrinsics[0]))  # image pixels a crop pixel, near the axis
    height, width = coverage.shape
    centres = np.arange(size) + 0.5
    columns, rows = np.meshgrid(centres, centres)
    rays_camera = rays(columns, rows, view.intrinsics) @ view.virtual_from_camera  # inverse rotation, (size, size, 3)
    is_in_front = rays_camera[..., 2] < -1e-3
    rays_camera[~is_in_front] = (0.0, 0.0, -1.0)
    points = project(rays_camera, camera.intrinsics)
    evidence = is_in_front & (points > 0).all(axis=-1) & (points[..., 0] < width) & (points[..., 1] < height)
    reduced = block_mean(coverage, reduction)
    return _bilinear(reduced, points[..., 0] / reduction - 0.5, points[..., 1] / reduction - 0.5), evidence


def block_mean(image: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor blocks; the last blocks repeat the border to be full."""
    if factor == 1:
        return image.astype(np.float32, copy=False)
    height, width = image.shape
    padded = np.pad(image, ((0, -height % factor), (0, -width % factor)), mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _bilinear(image: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values between pixel centres, the first centre at (0, 0); beyond the border the nearest pixel."""
    height, width = image.shape
    columns, rows = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
    left, top = np.minimum(columns.astype(int), max(width - 2, 0)), np.minimum(rows.astype(int), max(height - 2, 0))
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (columns - left).astype(np.float32), (rows - top).astype(np.float32)
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return upper * (1 - down) + lower * down
