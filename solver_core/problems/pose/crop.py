# SPDX-License-Identifier: Apache-2.0
"""The virtual camera of a solve: turned to the mask and zoomed to it, so that networks see one kind of image.

It is a pure rotation and a zoom of the real camera, so a pose carries over exactly, and resolution, lens, aspect, lens
shift and the object's place in the frame make no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core import render, rotations
from solver_core.frames import Camera, rays
from solver_core.images import block_mean
from solver_core.mesh import Mesh
from solver_core.problem import Update, repeated
from solver_core.problems.pose.align import align_update
from solver_core.problems.pose.damage import beside
from solver_core.problems.pose.features import CROP_CUT_PX, CROP_SIZE, FILL
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.problem import PoseProblem


class VirtualCamera(NamedTuple):
    """virtual_from_camera: (B, 3, 3) rotations.  intrinsics: (B, 4) of the square crops."""

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
            repeated(self.observation, count),
            self.virtual_from_camera[rows],
            self.sides[rows],
            self.is_cut[rows],
        )


def crop_poses(
    meshes: Sequence[Mesh],
    coverages: Sequence[np.ndarray],
    cameras: Sequence[Camera],
    known: Sequence[np.ndarray] | None = None,
) -> CroppedPoses:
    """B problems from B meshes (centred, diagonal 1), masks (H, W) with at least one pixel half covered, and cameras.

    known: masks (H, W) bool, False where the image does not tell what is there; None = everywhere.
    """
    parts = [
        crop_images([mesh], coverage[None], camera.intrinsics[None], None if known is None else known[index][None])
        for index, (mesh, coverage, camera) in enumerate(zip(meshes, coverages, cameras, strict=True))
    ]
    observation = PoseObservation(
        *(np.concatenate(arrays) for arrays in zip(*(part.observation for part in parts), strict=True))
    )
    intrinsics = np.concatenate([part.problem.intrinsics for part in parts])
    rest = (np.concatenate(arrays) for arrays in zip(*(part[2:] for part in parts), strict=True))
    return CroppedPoses(PoseProblem(meshes, intrinsics, CROP_SIZE, CROP_SIZE, cut_px=CROP_CUT_PX), observation, *rest)


def crop_images(
    meshes: Sequence[Mesh], coverage: np.ndarray, intrinsics: np.ndarray, known: np.ndarray | None = None
) -> CroppedPoses:
    """As crop_poses, of masks of one size at once.  coverage, known: (B, H, W).  intrinsics: (B, 4) of their cameras."""
    is_object = coverage >= 0.5
    outline = outline_rays(is_object, intrinsics)
    view = virtual_camera(outline, CROP_SIZE)
    seen, evidence = _warp(coverage, intrinsics, view, CROP_SIZE, known)
    return CroppedPoses(
        PoseProblem(meshes, view.intrinsics, CROP_SIZE, CROP_SIZE, cut_px=CROP_CUT_PX),
        PoseObservation(seen, evidence, coverage_distance(seen)),
        view.virtual_from_camera,
        box_sides(outline, view),
        cut_sides(is_object, known),
    )


def outline_rays(is_object: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(B, P, 3) points at depth 1 seen at the corners of the first and last object pixel of every row.

    is_object: (B, H, W) bool.  intrinsics: (B, 4).  Rows without object repeat the first row that has some.
    """
    height, width = is_object.shape[1:]
    has_object = is_object.any(axis=2)
    rows = np.where(has_object, np.arange(height), np.argmax(has_object, axis=1)[:, None])  # (B, H)
    used = np.take_along_axis(is_object, rows[:, :, None], axis=1)
    first, last = np.argmax(used, axis=2), width - np.argmax(used[:, :, ::-1], axis=2)
    columns = np.concatenate([first, last, first, last], axis=1).astype(np.float64)
    return rays(columns, np.concatenate([rows, rows, rows + 1, rows + 1], axis=1).astype(np.float64), intrinsics[:, None])


def cut_sides(is_object: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """(B, 4) bool: whether masks (B, H, W) reach the left, bottom, right and top border of what is known of their image."""
    edges = (is_object[:, :, 0], is_object[:, -1], is_object[:, :, -1], is_object[:, 0])
    is_cut = np.stack([edge.any(axis=1) for edge in edges], axis=1)
    return is_cut if known is None else is_cut | _ends_unknown(is_object, known)


def _ends_unknown(is_object: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(B, 4) bool: whether the outermost lines of masks (B, H, W) touch pixels that are not known."""
    touching = is_object & beside(~known)
    ends = []
    for axis in (1, 2):
        has_object, touches = np.any(is_object, axis=axis), np.any(touching, axis=axis)  # by column, by row
        first, last = np.argmax(has_object, axis=1), has_object.shape[1] - 1 - np.argmax(has_object[:, ::-1], axis=1)
        ends.append([touches[np.arange(len(touches)), line] for line in (first, last)])
    (left, right), (top, bottom) = ends
    return np.stack([left, bottom, right, top], axis=1)


def virtual_camera(outline_camera: np.ndarray, size: int) -> VirtualCamera:
    """Cameras whose axes go through the middle of outlines (B, P, 3) and whose size x size images hold them with a margin."""
    points = outline_camera[..., :2] / -outline_camera[..., 2:]
    middle = np.concatenate([(points.min(axis=1) + points.max(axis=1)) / 2, np.full((len(points), 1), -1.0)], axis=1)
    turn = turn_to_axis(middle / np.linalg.norm(middle, axis=1, keepdims=True))
    seen = outline_camera @ turn.transpose(0, 2, 1)
    half_extent = np.abs(seen[..., :2] / -seen[..., 2:]).max(axis=(1, 2))
    focal_px = FILL * size / 2 / half_extent
    half_size = np.full_like(focal_px, size / 2)
    return VirtualCamera(turn, np.stack([focal_px, focal_px, half_size, half_size], axis=1))


def box_sides(outline_camera: np.ndarray, view: VirtualCamera) -> np.ndarray:
    """(B, 4) left, bottom, right, top of outlines (B, P, 3) in the view's image coordinates x / -z, y / -z."""
    seen = outline_camera @ view.virtual_from_camera.transpose(0, 2, 1)
    points = seen[..., :2] / -seen[..., 2:]
    return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def turn_to_axis(direction: np.ndarray) -> np.ndarray:
    """(B, 3, 3) smallest rotations that take unit directions (B, 3) with z < 0 to -z."""
    axis = np.cross(direction, (0.0, 0.0, -1.0))
    sine, cosine = np.linalg.norm(axis, axis=1), -direction[:, 2]
    rotvec = axis * (np.arctan2(sine, cosine) / np.maximum(sine, 1e-12))[:, None]  # no axis, no turn
    return rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(rotvec))


def turn_pose(camera_b_from_a: np.ndarray, pose_a: np.ndarray) -> np.ndarray:
    """(B, 7) poses seen from a camera turned by (B, 3, 3) or (3, 3) about its own centre."""
    wxyz = rotations.multiply(rotations.wxyz_from_matrix(camera_b_from_a), pose_a[..., :4])
    position = np.einsum("...ij,...j->...i", camera_b_from_a, pose_a[..., 4:])
    return np.concatenate([rotations.normalized(wxyz), position], axis=-1)


def coverage_distance(coverage: np.ndarray) -> np.ndarray:
    """(B, H, W) signed distance in pixels to where coverage (B, H, W) passes one half; partly covered pixels tell exactly."""
    distance = render.signed_distance(coverage >= 0.5)
    is_partial = (coverage > 0.02) & (coverage < 0.98) & (np.abs(distance) < 1)
    return np.where(is_partial, 0.5 - coverage, distance).astype(np.float32)


def _warp(
    coverage: np.ndarray, intrinsics: np.ndarray, view: VirtualCamera, size: int, known: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (B, size, size) float32 seen by the views, and (B, size, size) bool where the image reaches and is known.

    coverage, known: (B, H, W).  Beyond the border the nearest pixel is repeated: an outline goes straight on there, and
    evidence says not to trust it.
    """
    count, height, width = coverage.shape
    # A pixel of the view to one of the image, both as (column, row, 1): pixel to ray, turned back, ray to pixel.
    to_ray, to_pixel = np.zeros((2, count, 3, 3))
    to_ray[:, 0, 0], to_ray[:, 1, 1] = 1 / view.intrinsics[:, 0], -1 / view.intrinsics[:, 1]
    to_ray[:, 0, 2], to_ray[:, 1, 2] = -size / 2 / view.intrinsics[:, 0], size / 2 / view.intrinsics[:, 1]
    to_ray[:, 2, 2] = -1
    to_pixel[:, 0, 0], to_pixel[:, 0, 2] = intrinsics[:, 0], -intrinsics[:, 2]
    to_pixel[:, 1, 1], to_pixel[:, 1, 2] = -intrinsics[:, 1], -intrinsics[:, 3]
    to_pixel[:, 2, 2] = -1
    homography = to_pixel @ view.virtual_from_camera.transpose(0, 2, 1) @ to_ray
    centres = np.arange(size) + 0.5
    by_column, by_row, constant = homography[:, :, 0], homography[:, :, 1], homography[:, :, 2]
    across, down, depth = (
        by_column[:, axis, None, None] * centres + (by_row[:, axis, None] * centres + constant[:, axis, None])[:, :, None]
        for axis in range(3)
    )  # (B, size, size) each
    is_in_front = depth > 1e-3
    depth = np.where(is_in_front, depth, 1.0)
    columns, rows = across / depth, down / depth
    evidence = is_in_front & (columns > 0) & (rows > 0) & (columns < width) & (rows < height)
    if known is not None:
        column, row = np.clip(columns.astype(int), 0, width - 1), np.clip(rows.astype(int), 0, height - 1)
        evidence &= known[np.arange(count)[:, None, None], row, column]
    reductions = np.maximum(1, np.rint(intrinsics[:, 0] / view.intrinsics[:, 0]).astype(int))  # image pixels a crop pixel
    seen = np.empty((count, size, size), np.float32)
    for reduction in np.unique(reductions):
        part = np.flatnonzero(reductions == reduction)
        reduced = block_mean(coverage[part], reduction)
        seen[part] = _bilinear(reduced, columns[part] / reduction - 0.5, rows[part] / reduction - 0.5)
    return seen, evidence


def _bilinear(images: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values (B, h, w) between pixel centres of images (B, H, W), the first centre at (0, 0); beyond the border the nearest."""
    count, height, width = images.shape
    columns, rows = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
    left, top = np.minimum(columns.astype(int), max(width - 2, 0)), np.minimum(rows.astype(int), max(height - 2, 0))
    across, down = (columns - left).astype(np.float32), (rows - top).astype(np.float32)
    right, below = int(width > 1), int(height > 1) * width
    pixels, first = images.ravel(), (np.arange(count)[:, None, None] * height + top) * width + left
    upper = pixels[first] * (1 - across) + pixels[first + right] * across
    lower = pixels[first + below] * (1 - across) + pixels[first + below + right] * across
    return upper * (1 - down) + lower * down
