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
from solver_core.frames import Camera
from solver_core.kernel.crop import mask_spans, warp
from solver_core.mesh import Mesh
from solver_core.problem import Update, repeated
from solver_core.problems.pose.align import align_update
from solver_core.problems.pose.damage import beside
from solver_core.problems.pose.features import CROP_CUT_PX, CROP_SIZE, FILL
from solver_core.problems.pose.observation import PoseObservation
from solver_core.problems.pose.problem import PoseProblem


class VirtualCamera(NamedTuple):
    """virtual_from_camera: (B, 3, 3) rotations.  intrinsics: (B, 4) of the square crops.

    sides: (B, 4) left, bottom, right and top of the masks in its image coordinates x / -z, y / -z.
    """

    virtual_from_camera: np.ndarray
    intrinsics: np.ndarray
    sides: np.ndarray


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
    spans = mask_spans(is_object)
    view = virtual_camera(spans, intrinsics, CROP_SIZE)
    seen, evidence = _seen(coverage, intrinsics, view, CROP_SIZE, known)
    return CroppedPoses(
        PoseProblem(meshes, view.intrinsics, CROP_SIZE, CROP_SIZE, cut_px=CROP_CUT_PX),
        PoseObservation(seen, evidence, coverage_distance(seen)),
        view.virtual_from_camera,
        view.sides,
        cut_sides(spans, is_object, known),
    )


def outline_boxes(spans: np.ndarray, intrinsics: np.ndarray, turned_from_camera: np.ndarray) -> np.ndarray:
    """(B, 4) left, bottom, right, top of masks in image coordinates x / -z, y / -z, after turns (B, 3, 3) of their cameras.

    spans: (B, H, 2) of the masks, see mask_spans.  intrinsics: (B, 4).  Counted are the outer corners of every row's pixels.
    """
    has_object = spans[..., 0] < spans[..., 1]
    rows = np.where(has_object, np.arange(spans.shape[1]), np.argmax(has_object, axis=1)[:, None])  # (B, H), none without
    columns = np.take_along_axis(spans, rows[..., None], axis=1)  # (B, H, 2)
    x = (np.tile(columns, 2).transpose(0, 2, 1) - intrinsics[:, 2, None, None]) / intrinsics[:, 0, None, None]
    y = (intrinsics[:, 3, None, None] - np.stack([rows, rows, rows + 1, rows + 1], axis=1)) / intrinsics[:, 1, None, None]
    across, up, ahead = (
        x * row[:, 0, None, None] + y * row[:, 1, None, None] - row[:, 2, None, None]
        for row in np.moveaxis(turned_from_camera, 1, 0)
    )  # (B, 4, H) each
    points = np.stack([across, up]) / -ahead
    low, high = points.min(axis=(2, 3)), points.max(axis=(2, 3))  # (2, B) each
    return np.stack([*low, *high], axis=1)


def cut_sides(spans: np.ndarray, is_object: np.ndarray, known: np.ndarray | None = None) -> np.ndarray:
    """(B, 4) bool: whether masks (B, H, W) reach the left, bottom, right and top border of what is known of their image.

    spans: theirs, see mask_spans.
    """
    has_object, width = spans[..., 0] < spans[..., 1], is_object.shape[2]
    left, right = (has_object & (spans[..., 0] == 0)).any(axis=1), (has_object & (spans[..., 1] == width)).any(axis=1)
    is_cut = np.stack([left, has_object[:, -1], right, has_object[:, 0]], axis=1)
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


def virtual_camera(spans: np.ndarray, intrinsics: np.ndarray, size: int) -> VirtualCamera:
    """Cameras whose axes go through the middle of masks and whose size x size images hold them with a margin.

    spans: (B, H, 2) of the masks, see mask_spans.  intrinsics: (B, 4) of their cameras.
    """
    box = outline_boxes(spans, intrinsics, np.broadcast_to(np.eye(3), (len(spans), 3, 3)))
    middle = np.concatenate([(box[:, :2] + box[:, 2:]) / 2, np.full((len(box), 1), -1.0)], axis=1)
    turn = turn_to_axis(middle / np.linalg.norm(middle, axis=1, keepdims=True))
    sides = outline_boxes(spans, intrinsics, turn)
    focal_px = FILL * size / 2 / np.abs(sides).max(axis=1)
    half_size = np.full_like(focal_px, size / 2)
    return VirtualCamera(turn, np.stack([focal_px, focal_px, half_size, half_size], axis=1), sides)


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
    np.subtract(0.5, coverage, out=distance, where=is_partial, casting="same_kind")
    return distance


def _seen(
    coverage: np.ndarray, intrinsics: np.ndarray, view: VirtualCamera, size: int, known: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (B, size, size) float32 seen by the views, and (B, size, size) bool where the image reaches and is known.

    coverage, known: (B, H, W).  Beyond the border the nearest pixel is repeated: an outline goes straight on there, and
    evidence says not to trust it.
    """
    count = len(coverage)
    # A pixel of the view to one of the image, both as (column, row, 1): pixel to ray, turned back, ray to pixel.
    to_ray, to_pixel = np.zeros((2, count, 3, 3))
    to_ray[:, 0, 0], to_ray[:, 1, 1] = 1 / view.intrinsics[:, 0], -1 / view.intrinsics[:, 1]
    to_ray[:, 0, 2], to_ray[:, 1, 2] = -size / 2 / view.intrinsics[:, 0], size / 2 / view.intrinsics[:, 1]
    to_ray[:, 2, 2] = -1
    to_pixel[:, 0, 0], to_pixel[:, 0, 2] = intrinsics[:, 0], -intrinsics[:, 2]
    to_pixel[:, 1, 1], to_pixel[:, 1, 2] = -intrinsics[:, 1], -intrinsics[:, 3]
    to_pixel[:, 2, 2] = -1
    homographies = to_pixel @ view.virtual_from_camera.transpose(0, 2, 1) @ to_ray
    reductions = np.maximum(1, np.rint(intrinsics[:, 0] / view.intrinsics[:, 0]).astype(int))  # image pixels a crop pixel
    return warp(coverage, known, homographies, reductions, size)
