"""What a camera sees of known geometry: position, normal and albedo at each pixel centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.errors import SetupError
from solver_core.frames import rays
from solver_core.mesh import Mesh


class Scene(NamedTuple):
    """One or several meshes, joined where they stand before the camera.

    mesh: in the camera's frame.  corner_albedo: (F, 3, 3) linear RGB at each corner of each face.
    """

    mesh: Mesh
    corner_albedo: np.ndarray


class GBuffer(NamedTuple):
    """position: (B, H, W, 3) in the camera's frame.  normal: (B, H, W, 3) of the face, unit length, towards the camera.
    albedo: (B, H, W, 3) linear RGB.  mask: (B, H, W) bool, where a surface is; the others hold zeros elsewhere.
    """

    position: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    mask: np.ndarray


def join_scene(meshes: Sequence[Mesh], camera_from_object: Sequence[np.ndarray], albedos: Sequence[np.ndarray | None]) -> Scene:
    """Scene of meshes that each stand at a (4, 4).

    albedos: for each mesh (3,) one colour, (V, 3) by vertex, (F, 3) by face, or None for white.  Where a mesh has as many
    vertices as faces, it is taken by vertex.  Raises SetupError for another shape.
    """
    vertices, faces, corner_albedo = [], [], []
    num_vertices = 0
    for mesh, matrix, albedo in zip(meshes, camera_from_object, albedos, strict=True):
        vertices.append(mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3])
        faces.append(mesh.faces + num_vertices)
        corner_albedo.append(_corner_albedo(mesh, albedo))
        num_vertices += len(mesh.vertices)
    joined = Mesh.checked(np.concatenate(vertices), np.concatenate(faces))
    return Scene(joined, np.concatenate(corner_albedo))


def render_gbuffer(scenes: Sequence[Scene], intrinsics: np.ndarray, height: int, width: int) -> GBuffer:
    """G-buffer of each scene by its own camera; intrinsics: (B, 4) or (4,)."""
    count = len(scenes)
    intrinsics = np.broadcast_to(intrinsics, (count, 4))
    raster = render.rasterize([scene.mesh for scene in scenes], np.tile(np.eye(4), (count, 1, 1)), intrinsics, height, width)
    mask = raster.face_index >= 0
    columns, rows = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    shape = (count, height, width, 3)
    buffer = GBuffer(np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32), mask)
    for index, scene in enumerate(scenes):
        seen = mask[index]
        points = rays(columns, rows, intrinsics[index])[seen] * raster.depth[index][seen][:, None]
        corners = scene.mesh.vertices[scene.mesh.faces[raster.face_index[index][seen]]]  # (P, 3, 3)
        albedo = scene.corner_albedo[raster.face_index[index][seen]]
        buffer.position[index][seen] = points
        buffer.normal[index][seen] = _normals(corners, points)
        buffer.albedo[index][seen] = np.einsum("pk,pkc->pc", _barycentric(corners, points), albedo)
    return buffer


def _corner_albedo(mesh: Mesh, albedo: np.ndarray | None) -> np.ndarray:
    shape = (len(mesh.faces), 3, 3)
    if albedo is None:
        return np.ones(shape, np.float32)
    albedo = np.asarray(albedo, np.float32)
    if albedo.shape == (3,):
        return np.broadcast_to(albedo, shape)
    if albedo.shape == mesh.vertices.shape:
        return albedo[mesh.faces]
    if albedo.shape == mesh.faces.shape:
        return np.broadcast_to(albedo[:, None], shape)
    raise SetupError(
        f"albedo must be (3,), one colour for each of the {len(mesh.vertices)} vertices or for each of the "
        f"{len(mesh.faces)} faces, got shape {albedo.shape}"
    )


def _normals(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, 3) unit normals of faces with corners (P, 3, 3), on the side that the camera sees."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    is_away = np.sum(normals * points, axis=1, keepdims=True) > 0
    return np.where(is_away, -normals, normals)


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(P, 3) weights of the corners (P, 3, 3) at points of their faces."""
    to_second, to_third = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    to_point = points - corners[:, 0]
    a, b, c = (np.sum(u * v, axis=1) for u, v in ((to_second,) * 2, (to_second, to_third), (to_third,) * 2))
    d, e = np.sum(to_point * to_second, axis=1), np.sum(to_point * to_third, axis=1)
    area = np.maximum(a * c - b * b, np.finfo(np.float32).tiny)
    second = np.clip((c * d - b * e) / area, 0, 1)
    third = np.clip((a * e - b * d) / area, 0, 1 - second)
    return np.stack([1 - second - third, second, third], axis=1)
