# SPDX-License-Identifier: Apache-2.0
"""What a camera sees of known geometry: position, normal and albedo at each pixel centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.errors import SetupError
from solver_core.frames import rays
from solver_core.mesh import Mesh


class Texture(NamedTuple):
    """A picture on a mesh; it repeats beyond its borders.

    corner_uv: (F, 3, 2) at each corner of each face, u to the right and v up as in Blender.  image: (H, W, 3) linear RGB.
    """

    corner_uv: np.ndarray
    image: np.ndarray


Albedo = np.ndarray | Texture | None

SAME_DEPTH = 0.02  # part by which depths of one surface may differ: steep ones do within a pixel


class Scene(NamedTuple):
    """One or several meshes, joined where they stand before the camera.

    mesh: in the camera's frame.  face_object: (F,) which of the meshes a face is of.  corner_albedo: (F, 3, 3) linear RGB at
    each corner of each face.  textures: instead of it, by mesh.  corner_normal: (F, 3, 3) of smooth faces, zeros where a
    face is flat; None = all are.
    """

    mesh: Mesh
    face_object: np.ndarray
    corner_albedo: np.ndarray
    textures: dict[int, Texture]
    corner_normal: np.ndarray | None


class GBuffer(NamedTuple):
    """position: (B, H, W, 3) in the camera's frame.  normal: (B, H, W, 3) unit length, on the side that the camera sees.
    albedo: (B, H, W, 3) linear RGB.  mask: (B, H, W) bool, where a surface is; the others hold zeros elsewhere.
    object_index: (B, H, W) which of a scene's meshes is seen.
    """

    position: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    mask: np.ndarray
    object_index: np.ndarray


class Passes(NamedTuple):
    """Pictures by another renderer of what a camera sees, each (H, W, ...) or None; NaN where they show nothing to go by.

    albedo: (H, W, 3) linear RGB, all that makes the colour of matt surfaces.  normal: (H, W, 3) in the camera's frame, as
    shading uses it, bumps included.  depth: (H, W) along the line of view, metres.
    """

    albedo: np.ndarray | None = None
    normal: np.ndarray | None = None
    depth: np.ndarray | None = None


def join_scene(
    meshes: Sequence[Mesh],
    camera_from_object: Sequence[np.ndarray],
    albedos: Sequence[Albedo],
    normals: Sequence[np.ndarray | None] | None = None,
) -> Scene:
    """Scene of meshes that each stand somewhere before the camera.

    Args:
        meshes: M of them.
        camera_from_object: (4, 4) for each.
        albedos: for each (3,) one colour, (V, 3) by vertex, (F, 3) by face, a Texture, or None for white; linear RGB.  Where a
            mesh has as many vertices as faces, it is taken by vertex.
        normals: for each (V, 3) by vertex or (F, 3, 3) by corner, in its own frame, zeros or None where it is flat.

    Raises:
        SetupError: for another shape.
    """
    vertices, faces, face_object, corner_albedo, corner_normal = [], [], [], [], []
    textures: dict[int, Texture] = {}
    num_vertices = 0
    normals = [None] * len(meshes) if normals is None else normals
    for index, (mesh, matrix, albedo, normal) in enumerate(zip(meshes, camera_from_object, albedos, normals, strict=True)):
        vertices.append(mesh.vertices @ matrix[:3, :3].T + matrix[:3, 3])
        faces.append(mesh.faces + num_vertices)
        face_object.append(np.full(len(mesh.faces), index))
        if isinstance(albedo, Texture):
            textures[index] = _checked_texture(mesh, albedo)
            albedo = None
        corner_albedo.append(_corner_albedo(mesh, albedo))
        corner_normal.append(_corner_normal(mesh, normal) @ matrix[:3, :3].T.astype(np.float32))
        num_vertices += len(mesh.vertices)
    return Scene(
        Mesh.checked(np.concatenate(vertices), np.concatenate(faces)),
        np.concatenate(face_object),
        np.concatenate(corner_albedo),
        textures,
        None if all(normal is None for normal in normals) else np.concatenate(corner_normal),
    )


def render_gbuffer(scenes: Sequence[Scene], intrinsics: np.ndarray, height: int, width: int) -> GBuffer:
    """G-buffer of each scene by its own camera.

    Args:
        scenes: B of them.
        intrinsics: (B, 4) or (4,): fx, fy, cx, cy in pixels.
        height: of the images, pixels.
        width: of the images, pixels.
    """
    count = len(scenes)
    intrinsics = np.broadcast_to(intrinsics, (count, 4))
    raster = render.rasterize([scene.mesh for scene in scenes], np.tile(np.eye(4), (count, 1, 1)), intrinsics, height, width)
    mask = raster.face_index >= 0
    columns, rows = np.arange(width) + 0.5, np.arange(height)[:, None] + 0.5
    shape = (count, height, width, 3)
    position, normal, albedo = (np.zeros(shape, np.float32) for _ in range(3))
    object_index = np.zeros(mask.shape, np.int16)
    for index, scene in enumerate(scenes):
        seen = mask[index]
        face = raster.face_index[index][seen]  # (P,)
        points = rays(columns, rows, intrinsics[index])[seen] * raster.depth[index][seen][:, None]
        corners = scene.mesh.vertices[scene.mesh.faces[face]]  # (P, 3, 3)
        barycentric = _barycentric(corners, points)
        position[index][seen] = points
        normal[index][seen] = _normals(corners, points)
        if scene.corner_normal is not None:
            normal[index][seen] = _smoothed(normal[index][seen], _blended(barycentric, scene.corner_normal[face]))
        object_index[index][seen] = scene.face_object[face]
        albedo[index][seen] = _blended(barycentric, scene.corner_albedo[face])
        for textured, texture in scene.textures.items():
            first = int(np.argmax(scene.face_object == textured))  # faces of a mesh stand together
            is_here = object_index[index] == textured
            is_here &= seen
            chosen = is_here[seen]
            uv = _blended(barycentric[chosen], texture.corner_uv[face[chosen] - first])
            albedo[index][is_here] = _sample(texture.image, uv)
    return GBuffer(position, normal, albedo, mask, object_index)


def with_passes(buffer: GBuffer, passes: Passes) -> GBuffer:
    """A G-buffer of one scene with what passes of the same size tell, where they show the same surface."""
    shown = buffer.mask[0].copy()
    albedo, normal = buffer.albedo[0], buffer.normal[0]
    if passes.depth is not None:
        own = -buffer.position[0, ..., 2]
        with np.errstate(invalid="ignore"):
            shown &= np.abs(passes.depth - own) <= SAME_DEPTH * own
    if passes.albedo is not None:
        shown &= np.isfinite(passes.albedo).all(axis=2)
        albedo = np.where(shown[..., None], passes.albedo, 0)
    if passes.normal is not None:
        length = np.linalg.norm(passes.normal, axis=2)
        shown &= np.isfinite(length)
        shown &= length > 0
        given = passes.normal[shown] / length[shown][:, None]
        normal = normal.copy()
        normal[shown] = _smoothed(normal[shown], given)
    return buffer._replace(mask=shown[None], albedo=albedo[None].astype(np.float32), normal=normal[None])


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


def _checked_texture(mesh: Mesh, texture: Texture) -> Texture:
    corner_uv, image = np.asarray(texture.corner_uv, np.float32), np.asarray(texture.image, np.float32)
    if corner_uv.shape != (len(mesh.faces), 3, 2) or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise SetupError(
            f"a texture must have corner_uv ({len(mesh.faces)}, 3, 2), one for each corner of each face, and an image "
            f"(H, W, 3), got shapes {corner_uv.shape} and {image.shape}"
        )
    return Texture(corner_uv, image)


def _corner_normal(mesh: Mesh, normal: np.ndarray | None) -> np.ndarray:
    shape = (len(mesh.faces), 3, 3)
    if normal is None:
        return np.zeros(shape, np.float32)
    normal = np.asarray(normal, np.float32)
    if normal.shape == mesh.vertices.shape:
        return normal[mesh.faces]
    if normal.shape == shape:
        return normal
    raise SetupError(f"normals must be (V, 3) by vertex or (F, 3, 3) by corner, here {shape}, got shape {normal.shape}")


def _blended(barycentric: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(P, C) of values at the corners (P, 3, C), weighted by (P, 3)."""
    return np.einsum("pk,pkc->pc", barycentric, corners)


def _smoothed(flat: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """(P, 3) unit normals: the smooth ones, on the side of the flat ones, and those where there is no smooth one."""
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    side = np.sign(np.sum(flat * smooth, axis=1, keepdims=True))
    return np.where((length > 0) & (side != 0), side * smooth / np.where(length > 0, length, 1), flat)


def _sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(P, 3) of an image (H, W, 3) at uv (P, 2), bilinear, repeating."""
    height, width = image.shape[:2]
    column, row = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    left, top = np.floor(column).astype(np.int64), np.floor(row).astype(np.int64)
    across, down = (column - left)[:, None], (row - top)[:, None]
    upper, lower = (
        (1 - across) * image[at % height, left % width] + across * image[at % height, (left + 1) % width]
        for at in (top, top + 1)
    )
    return (1 - down) * upper + down * lower


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
