"""What a user hands in, checked once: each failure is one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.problems.lighting.lights import LIGHTS, Light
from solver_core.render.gbuffer import Albedo, Scene, Texture, join_scene

SAME_ASPECT = 0.01  # image and camera may differ by a rounded pixel
RIGID_TOLERANCE = 1e-3  # files and Blender's float32 matrices are rounded to about 1e-6
CLIPPED = 0.995  # linear value from which on an image that ends at 1 counts as clipped: the last step of 8 bits
ONE_OR_MORE = "a mesh, or lists of meshes with one entry each"


class Photograph(NamedTuple):
    """image: (H, W, 3) float32 linear.  is_usable: (H, W) bool, asked for and finite.  camera: of this very size."""

    image: np.ndarray
    is_usable: np.ndarray
    camera: Camera


def checked_kind(kind: str) -> Light:
    """The kind of light of a name.  Raises SetupError."""
    if kind not in LIGHTS:
        raise SetupError(f"unknown kind of light {kind!r}; known: {', '.join(LIGHTS)}")
    return LIGHTS[kind]


def checked_photograph(image: np.ndarray, camera: Camera, mask: np.ndarray | None) -> Photograph:
    """Photograph from a user's arrays.  Raises ObservationError, or SetupError for the camera."""
    image = np.asarray(image)
    if not isinstance(camera, Camera):
        raise SetupError(f"camera must be a solver_core.Camera, got {type(camera).__name__}")
    if image.ndim != 3 or image.shape[2] != 3:
        raise ObservationError(f"image must be (H, W, 3) linear RGB, got shape {image.shape}; drop alpha, repeat grey")
    if not np.issubdtype(image.dtype, np.floating):
        raise ObservationError(f"image must be linear float, got {image.dtype}; convert 8-bit sRGB values first")
    height, width = image.shape[:2]
    if abs(width / height / (camera.width / camera.height) - 1) > SAME_ASPECT:
        raise ObservationError(
            f"image and camera must have the same aspect, got {width} x {height} pixels for a camera of "
            f"{camera.width} x {camera.height}; give the camera of this image"
        )
    is_usable = np.all(np.isfinite(image), axis=2)
    if not is_usable.any():
        raise ObservationError("every pixel of the image is NaN or infinite; render or load it again")
    if mask is not None:
        is_usable &= checked_mask(mask, (height, width))
    image = np.maximum(np.where(is_usable[..., None], image, 0), 0).astype(np.float32)
    return Photograph(image, is_usable & ~_is_clipped(image), camera.scaled(width / camera.width, width, height))


def checked_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: what of the image may be used.  Raises ObservationError."""
    mask = np.asarray(mask)
    if mask.shape != size:
        raise ObservationError(
            f"mask and image must have the same size, got shape {mask.shape} for an image of {size[1]} x {size[0]} pixels"
        )
    return mask.astype(np.float32) >= 0.5


def checked_scene(
    vertices: np.ndarray | Sequence[np.ndarray],
    faces: np.ndarray | Sequence[np.ndarray],
    camera_from_object: np.ndarray | Sequence[np.ndarray],
    albedo: Albedo | Sequence[Albedo],
    normals: np.ndarray | Sequence[np.ndarray | None] | None,
) -> tuple[Scene, np.ndarray]:
    """Scene from one mesh or a list of them, and (M,) bool whose albedo is unknown.  Raises SetupError."""
    is_list = isinstance(vertices, (list, tuple)) and len(vertices) > 0 and np.ndim(vertices[0]) == 2
    many = [_as_list(value, is_list) for value in (vertices, faces, camera_from_object)]
    for value in (albedo, normals):
        many.append(_as_list(value, is_list) if value is not None else [None] * len(many[0]))
    if len({len(entries) for entries in many}) != 1:
        raise SetupError(
            f"vertices, faces, camera_from_object, albedo and normals must be {ONE_OR_MORE}, got "
            f"{', '.join(str(len(entries)) for entries in many)} entries"
        )
    many_vertices, many_faces, poses, albedos, many_normals = many
    meshes = [Mesh.checked(v, f) for v, f in zip(many_vertices, many_faces, strict=True)]
    poses, albedos = [checked_pose(pose) for pose in poses], [checked_albedo(colour) for colour in albedos]
    scene = join_scene(meshes, poses, albedos, many_normals)
    corners = scene.mesh.vertices[scene.mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not areas.any():
        raise SetupError("the mesh has no area; its faces must span a surface that light can fall on")
    return scene, np.array([colour is None for colour in albedos])


def checked_pose(camera_from_object: np.ndarray) -> np.ndarray:
    """(4, 4) float64 rigid transform.  Raises SetupError."""
    matrix = np.asarray(camera_from_object, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise SetupError(f"camera_from_object must be a finite (4, 4) matrix, got shape {matrix.shape}")
    is_rigid = np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=RIGID_TOLERANCE)
    if not is_rigid or not np.allclose(matrix[3], (0, 0, 0, 1), atol=RIGID_TOLERANCE):
        raise SetupError("camera_from_object must be rigid; apply the object's scale to its vertices and pass the rest")
    return matrix


def checked_albedo(albedo: Albedo) -> Albedo:
    """Linear RGB as join_scene takes it, or None where it is to be found.  Raises SetupError."""
    if albedo is None:
        return None
    values = np.asarray(albedo.image if isinstance(albedo, Texture) else albedo, dtype=np.float32)
    if not np.isfinite(values).all() or values.min(initial=0) < 0:
        raise SetupError("albedo must be finite and not negative; give linear RGB, such as 0.8, 0.8, 0.8")
    return albedo._replace(image=values) if isinstance(albedo, Texture) else values


def checked_strength(strength: float | np.ndarray | None, albedo: object) -> np.ndarray | None:
    """(3,) known strength in Blender's units, or None if it is to be found.  Raises SetupError."""
    if strength is None:
        return None
    if albedo is None:
        raise SetupError("a known strength needs the albedo as well: an image shows only their product")
    strength = np.asarray(strength, dtype=np.float64)
    if strength.shape not in ((), (3,)) or not np.isfinite(strength).all() or (strength < 0).any():
        raise SetupError("strength must be one number or three (RGB), finite and not negative")
    return np.broadcast_to(strength, 3).copy()


def checked_start(start: np.ndarray | None, kind: Light) -> np.ndarray | None:
    """(3,) unit direction, or position, to start from.  Raises SetupError."""
    if start is None:
        return None
    start = np.asarray(start, dtype=np.float64)
    if start.shape != (3,) or not np.isfinite(start).all() or not (kind.has_position or start.any()):
        raise SetupError(f"start must be three finite numbers, the {kind.meaning} in the camera's frame")
    return start if kind.has_position else start / np.linalg.norm(start)


def _as_list(value: Any, is_list: bool) -> list[Any]:
    return list(value) if is_list and value is not None else [value]


def _is_clipped(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels at the end of an 8 or 16 bit image's range.  Brighter ones show that there is no such end."""
    if image.max() > 1:
        return np.zeros(image.shape[:2], dtype=bool)
    return np.any(image >= CLIPPED, axis=2)
