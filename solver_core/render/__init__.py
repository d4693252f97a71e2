# SPDX-License-Identifier: Apache-2.0
"""Rasteriser and distance maps: the forward process of pose and the geometry of lighting.

Each function takes a batch and gives the same result with the compiled kernel and with NumPy.  Conventions: frames.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core.kernel import distance, loader
from solver_core.kernel.raster import rasterize_into, silhouettes
from solver_core.kernel.threads import get_num_threads, set_num_threads
from solver_core.mesh import Mesh

__all__ = [
    "NEAR_FRACTION",
    "Raster",
    "get_num_threads",
    "kernel_name",
    "rasterize",
    "rasterize_orthographic",
    "render_depth",
    "render_depth_orthographic",
    "render_silhouettes",
    "set_num_threads",
    "signed_distance",
]

# Near plane, as a fraction of the depth of the farthest vertex: works from 1 mm to 1 km without a setting, is closer
# than a camera gets to a surface, and leaves ten digits of a double to interpolate with.
NEAR_FRACTION = 1e-6


class Raster(NamedTuple):
    """What is seen at each pixel centre.

    depth: (B, H, W) float32, metres along -z, infinite where nothing is.
    face_index: (B, H, W) int32, -1 where nothing is.
    """

    depth: np.ndarray
    face_index: np.ndarray


def rasterize(
    meshes: Sequence[Mesh],
    camera_from_object: np.ndarray,
    intrinsics: np.ndarray,
    height: int,
    width: int,
    near_fraction: float = NEAR_FRACTION,
) -> Raster:
    """Nearest face of each mesh at each pixel centre, seen by a pinhole camera.

    A pixel is covered if its centre lies in the projected triangle, edges included, whatever the winding; vertices are
    rounded to 1/4096 pixel.  Of equally near faces the first counts.  A mesh out of view gives no pixel.

    Args:
        meshes: B of them; the same one may come several times.
        camera_from_object: (B, 4, 4) rigid transforms.
        intrinsics: (B, 4) or (4,): fx, fy, cx, cy in pixels.
        height: of the images, pixels.
        width: of the images, pixels.
        near_fraction: faces are cut at this fraction of the depth of the mesh's farthest vertex, in (0, 1).

    Returns:
        Depth in the meshes' unit and face index.

    Raises:
        SetupError: if a face index is outside the vertices, or an image is too large.
    """
    projections = _perspective(camera_from_object, intrinsics)
    depth, face_index = _empty(meshes, projections, height, width)
    rasterize_into(meshes, projections, True, near_fraction, depth, face_index)
    return Raster(depth, face_index)


def render_depth(
    meshes: Sequence[Mesh],
    camera_from_object: np.ndarray,
    intrinsics: np.ndarray,
    height: int,
    width: int,
    near_fraction: float = NEAR_FRACTION,
) -> np.ndarray:
    """(B, H, W) float32: the depth of `rasterize`, with the same arguments, faster for not noting the faces."""
    projections = _perspective(camera_from_object, intrinsics)
    depth, _ = _empty(meshes, projections, height, width)
    rasterize_into(meshes, projections, True, near_fraction, depth, None)
    return depth


def rasterize_orthographic(
    meshes: Sequence[Mesh], camera_from_object: np.ndarray, intrinsics: np.ndarray, height: int, width: int
) -> Raster:
    """As `rasterize`, along parallel rays: a point is seen at column cx + fx x and row cy - fy y.

    There is no near plane; depth is -z and negative behind the camera.

    Args:
        meshes: B of them.
        camera_from_object: (B, 4, 4) rigid transforms.
        intrinsics: (B, 4) or (4,): fx, fy in pixels a metre, cx, cy in pixels.
        height: of the images, pixels.
        width: of the images, pixels.

    Returns:
        Depth and face index.

    Raises:
        SetupError: as `rasterize` does.
    """
    projections = _orthographic(camera_from_object, intrinsics)
    depth, face_index = _empty(meshes, projections, height, width)
    rasterize_into(meshes, projections, False, 0.0, depth, face_index)
    return Raster(depth, face_index)


def render_depth_orthographic(
    meshes: Sequence[Mesh], camera_from_object: np.ndarray, intrinsics: np.ndarray, height: int, width: int
) -> np.ndarray:
    """(B, H, W) float32: the depth of `rasterize_orthographic`, with the same arguments, faster for not noting the faces."""
    projections = _orthographic(camera_from_object, intrinsics)
    depth, _ = _empty(meshes, projections, height, width)
    rasterize_into(meshes, projections, False, 0.0, depth, None)
    return depth


def render_silhouettes(
    mesh: Mesh,
    camera_from_object: np.ndarray,
    intrinsics: np.ndarray,
    height: int,
    width: int,
    near_fraction: float = NEAR_FRACTION,
) -> np.ndarray:
    """(B, H, W) bool: which pixels `rasterize` covers of one mesh, seen B times; faster where faces are many.

    Args:
        mesh: which is seen.
        camera_from_object: (B, 4, 4) rigid transforms.
        intrinsics: (B, 4) or (4,): fx, fy, cx, cy in pixels.
        height: of the images, pixels.
        width: of the images, pixels.
        near_fraction: as in `rasterize`.

    Raises:
        SetupError: as `rasterize` does.
    """
    return silhouettes(mesh, _perspective(camera_from_object, intrinsics), near_fraction, height, width)


def signed_distance(masks: np.ndarray) -> np.ndarray:
    """Exact distance of each pixel centre to the boundary of the mask, in pixels: positive outside, negative inside.

    Outside it is the distance to the nearest inside pixel less 0.5, inside 0.5 less the distance to the nearest outside
    pixel, so a straight boundary lies at zero.

    Args:
        masks: (B, H, W) bool.

    Returns:
        (B, H, W) float32; H + W where a mask is empty and -(H + W) where it is full.
    """
    return distance.signed_distance(masks)


def kernel_name() -> str:
    """Which implementation is in use: the file name of the compiled kernel, or "numpy"."""
    return "numpy" if loader.library() is None else loader.kernel_path().name


def _perspective(camera_from_object: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(B, 4, 4) float64: object frame to (u, v, w, q), column u/w, row v/w, depth w, 1/depth q/w."""
    fx, fy, cx, cy = np.moveaxis(np.asarray(intrinsics, np.float64), -1, 0)
    image_from_camera = np.zeros((*fx.shape, 4, 4))
    image_from_camera[..., 0, 0] = fx
    image_from_camera[..., 0, 2] = -cx
    image_from_camera[..., 1, 1] = -fy
    image_from_camera[..., 1, 2] = -cy
    image_from_camera[..., 2, 2] = -1
    image_from_camera[..., 3, 3] = 1
    return np.ascontiguousarray(image_from_camera @ np.asarray(camera_from_object, np.float64))


def _orthographic(camera_from_object: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(B, 4, 4) float64: object frame to (u, v, w, q), column u, row v, w 1, -depth q."""
    fx, fy, cx, cy = np.moveaxis(np.asarray(intrinsics, np.float64), -1, 0)
    image_from_camera = np.zeros((*fx.shape, 4, 4))
    image_from_camera[..., 0, 0] = fx
    image_from_camera[..., 0, 3] = cx
    image_from_camera[..., 1, 1] = -fy
    image_from_camera[..., 1, 3] = cy
    image_from_camera[..., 2, 3] = 1
    image_from_camera[..., 3, 2] = 1
    return np.ascontiguousarray(image_from_camera @ np.asarray(camera_from_object, np.float64))


def _empty(meshes: Sequence[Mesh], projections: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Room for depth and face index.  np.empty costs nothing until it is written."""
    if projections.shape != (len(meshes), 4, 4):
        raise ValueError(f"{len(meshes)} meshes need ({len(meshes)}, 4, 4) transforms, got {projections.shape}")
    shape = (len(meshes), height, width)
    return np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int32)
