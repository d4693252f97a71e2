# SPDX-License-Identifier: Apache-2.0
"""Depth and face index of meshes.

NumPy gives the results of raster.c to the pixel: by the same operations on doubles in the same order, so without matrix
products (BLAS adds in an order of its own).  The method is explained there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from solver_core.errors import SetupError
from solver_core.kernel import loader
from solver_core.kernel.threads import for_each_chunk
from solver_core.mesh import Mesh

SUBPIXELS = 4096  # grid points a pixel length
GUARD = 65536  # pixels; faces reaching farther are clipped, so that edge functions stay below 2^60
MAX_CORNERS = 8  # of a triangle cut by five planes
CHUNK_PIXELS = 1 << 18  # tested at once; bounds the memory to some 30 MB


class Triangles(NamedTuple):
    """Projected triangles.  column, row: (F, 3) int64 grid points.  nearness: (F, 3).  face: (F,) index in the mesh."""

    column: np.ndarray
    row: np.ndarray
    nearness: np.ndarray
    face: np.ndarray

    def take(self, selection: np.ndarray | slice) -> Triangles:
        return Triangles(*(field[selection] for field in self))


def rasterize_into(
    meshes: Sequence[Mesh],
    projections: np.ndarray,
    is_perspective: bool,
    near_fraction: float,
    depth: np.ndarray,
    face_index: np.ndarray | None,
) -> None:
    """Fills depth and, unless None, face_index, both (B, H, W).

    projections: (B, 4, 4), object frame to homogeneous (u, v, w, q): column u/w, row v/w, nearness q/w, the largest of
    which is seen.  Nearness is 1/depth with perspective and -depth without.  near_fraction: the near plane is at this
    fraction of the largest w.  Raises SetupError if a face index is outside the vertices.
    """
    loader.check_image_size(*depth.shape[1:])
    loader.check_shapes(
        projections=(projections, (len(meshes), 4, 4)),
        depth=(depth, (len(meshes), *depth.shape[1:])),
        face_index=(depth if face_index is None else face_index, depth.shape),
    )
    meshes = [_as_declared(mesh) for mesh in meshes]
    library = loader.library()
    if library is None:
        for item, (mesh, matrix) in enumerate(zip(meshes, projections, strict=True)):
            _check_faces(mesh)
            nearness, faces = _draw(_project(mesh, matrix, near_fraction), *depth.shape[1:])
            with np.errstate(divide="ignore"):
                depth[item] = 1 / np.where(faces < 0, np.float32(0), nearness) if is_perspective else -nearness
            if face_index is not None:
                face_index[item] = faces
        return

    def fill_chunk(part: slice) -> None:
        chunk, (height, width) = meshes[part], depth.shape[1:]
        corners = np.empty(max((len(mesh.vertices) for mesh in chunk), default=0), loader.CORNER)
        failed = library.solver_core_rasterize(
            *(len(chunk), mesh_arrays(chunk), projections[part], is_perspective, near_fraction),
            *(height, width, corners, depth[part], None if face_index is None else face_index[part]),
        )
        if failed >= 0:
            raise SetupError(f"mesh faces must index the {len(chunk[failed].vertices)} vertices from 0")

    for_each_chunk(fill_chunk, len(meshes))


def silhouettes(mesh: Mesh, projections: np.ndarray, near_fraction: float, height: int, width: int) -> np.ndarray:
    """(B, H, W) bool where rasterize_into with perspective finds a face of one mesh, however near.

    projections, near_fraction as there.  Raises SetupError if a face index is outside the vertices.
    """
    loader.check_image_size(height, width)
    loader.check_shapes(projections=(projections, (len(projections), 4, 4)))
    mesh = _as_declared(mesh)
    _check_faces(mesh)
    drawn = np.empty((len(projections), height, width), np.bool_)
    library = loader.library()
    if library is None:
        for matrix, image in zip(projections, drawn, strict=True):
            image[:] = False
            for pixel, _, _ in _drawn_pixels(_project(mesh, matrix, near_fraction), height, width):
                image.flat[pixel] = True
        return drawn
    arrays = mesh_arrays([mesh])

    def fill_chunk(part: slice) -> None:
        corners, matrices = np.empty(len(mesh.vertices), loader.CORNER), projections[part]
        library.solver_core_silhouettes(len(matrices), arrays, matrices, near_fraction, height, width, corners, drawn[part])

    for_each_chunk(fill_chunk, len(projections))
    return drawn


def mesh_arrays(meshes: Sequence[Mesh]) -> np.ndarray:
    """Meshes as C takes them; their arrays are what Mesh says they are, and must outlive the call."""
    arrays = [(mesh.vertices.ctypes.data, len(mesh.vertices), mesh.faces.ctypes.data, len(mesh.faces)) for mesh in meshes]
    return np.array(arrays, loader.MESH_ARRAYS)


def _as_declared(mesh: Mesh) -> Mesh:
    """The mesh, or a checked copy if its arrays are not what Mesh says they are."""
    is_declared = all(
        array.dtype == dtype and array.ndim == 2 and array.shape[1] == 3 and array.flags.c_contiguous and array.flags.aligned
        for array, dtype in ((mesh.vertices, np.float32), (mesh.faces, np.int32))
    )
    return mesh if is_declared else Mesh.checked(mesh.vertices, mesh.faces)


def _check_faces(mesh: Mesh) -> None:
    if mesh.faces.size and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        raise SetupError(f"mesh faces must index the {len(mesh.vertices)} vertices from 0")


def _project(mesh: Mesh, matrix: np.ndarray, near_fraction: float) -> Triangles:
    """Triangles of a mesh that are in front of the near plane, cut where they are so in part or reach far out."""
    x, y, z = mesh.vertices.astype(np.float64).T
    with np.errstate(all="ignore"):  # points on the camera plane, which are clipped, and vertices that are not finite
        points = np.stack([m[0] * x + m[1] * y + m[2] * z + m[3] for m in matrix], axis=-1)  # (V, 4)
        farthest = np.fmax.reduce(points[:, 2], initial=0.0)
        near = near_fraction * farthest
        inverse_w = 1 / points[:, 2]
        column, row, nearness = (points[:, i] * inverse_w for i in (0, 1, 3))
        inside = (points[:, 2] >= near) & (np.abs(column) <= GUARD) & (np.abs(row) <= GUARD)
    whole = np.all(inside[mesh.faces], axis=1) & (farthest > 0)
    column, row = (snap(np.where(inside, pixels, 0)) for pixels in (column, row))
    corners = mesh.faces[whole]
    triangles = Triangles(column[corners], row[corners], nearness[corners], np.flatnonzero(whole))
    if whole.all() or not farthest > 0:
        return triangles
    return _concatenate([triangles, *_clipped_triangles(points, mesh.faces, np.flatnonzero(~whole), near)])


def snap(pixels: np.ndarray) -> np.ndarray:
    """Nearest grid points, int64, of what lies within the guard band."""
    return (pixels * SUBPIXELS + (GUARD * SUBPIXELS + 0.5)).astype(np.int64) - GUARD * SUBPIXELS


def clamped_to_guard(pixels: np.ndarray) -> np.ndarray:
    """Pixels within the guard band."""
    return np.where(pixels >= -GUARD, np.minimum(pixels, GUARD), -GUARD)  # also where it is no number


def first_centre(grid: np.ndarray) -> np.ndarray:
    """First pixels whose centre does not lie before grid points."""
    return (grid + (SUBPIXELS // 2 - 1)) // SUBPIXELS


def _concatenate(parts: Sequence[Triangles]) -> Triangles:
    return Triangles(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def _clip_distances(points: np.ndarray, near: float) -> np.ndarray:
    """(..., 5): at least 0 on the kept side of the near plane and of the guard band's four sides."""
    u, v, w, _ = np.moveaxis(points, -1, 0)
    return np.stack([w - near, u + GUARD * w, GUARD * w - u, v + GUARD * w, GUARD * w - v], axis=-1)


def _clipped_triangles(points: np.ndarray, faces: np.ndarray, chosen: np.ndarray, near: float) -> list[Triangles]:
    """What is left of the chosen faces, each as a fan of triangles."""
    with np.errstate(all="ignore"):
        distances = _clip_distances(points[faces[chosen]], near)  # (F, 3, 5)
        in_part = np.all((distances >= 0).any(axis=1), axis=1)
    fans = []
    for face in chosen[in_part]:
        polygon = points[faces[face]]
        for plane in range(5):
            polygon = _clip_polygon(polygon, plane, near)
            if not 0 < len(polygon) <= MAX_CORNERS:
                break
        if 3 <= len(polygon) <= MAX_CORNERS:
            fans.append(_fan(polygon, face))
    return fans


def _clip_polygon(polygon: np.ndarray, plane: int, near: float) -> np.ndarray:
    """(N, 4) part of a polygon on the kept side of one plane (Sutherland and Hodgman 1974)."""
    kept = []
    with np.errstate(all="ignore"):
        distances = _clip_distances(polygon, near)[:, plane]
        for here, next_ in zip(range(len(polygon)), [*range(1, len(polygon)), 0], strict=True):
            if distances[here] >= 0:
                kept.append(polygon[here])
            if (distances[here] >= 0) != (distances[next_] >= 0):
                inside, outside = (here, next_) if distances[here] >= 0 else (next_, here)
                t = distances[inside] / (distances[inside] - distances[outside])
                cut = polygon[inside] + t * (polygon[outside] - polygon[inside])
                if plane == 0:
                    cut[2] = near  # rounding must not leave it behind the camera
                kept.append(cut)
    return np.array(kept).reshape(-1, 4)


def _fan(polygon: np.ndarray, face: int) -> Triangles:
    """Triangles that share the polygon's first corner."""
    with np.errstate(all="ignore"):
        inverse_w = 1 / polygon[:, 2]
        pixels = polygon[:, :2] * inverse_w[:, None]
        pixels = clamped_to_guard(pixels)
        nearness = polygon[:, 3] * inverse_w
    column, row = snap(pixels).T
    second = np.arange(1, len(polygon) - 1)
    corners = np.stack([np.zeros_like(second), second, second + 1], axis=1)
    return Triangles(column[corners], row[corners], nearness[corners], np.full(len(second), face))


def _draw(triangles: Triangles, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Nearness (H, W) float32, -inf where nothing is, and face index (H, W) int32, -1 where nothing is."""
    nearness = np.full(height * width, -np.inf, dtype=np.float32)
    face_index = np.full(height * width, -1, dtype=np.int32)
    for pixels in _drawn_pixels(triangles, height, width):
        _keep_nearest_inplace(nearness, face_index, *pixels)
    return nearness.reshape(height, width), face_index.reshape(height, width)


def _drawn_pixels(triangles: Triangles, height: int, width: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What _covered_pixels gives for triangles in an image, a part of them after the other."""
    first_row, last_row = _covered_range(triangles.row, height)
    first_column, last_column = _covered_range(triangles.column, width)
    area = _twice_area(triangles)
    num_rows, num_columns = last_row - first_row + 1, last_column - first_column + 1
    visible = np.flatnonzero((num_rows > 0) & (num_columns > 0) & (area != 0))

    num_pixels = (num_rows * num_columns)[visible]
    chunk = np.cumsum(num_pixels) // CHUNK_PIXELS
    for part in np.split(visible, np.flatnonzero(np.diff(chunk)) + 1):
        boxes = np.stack([first_row, num_rows, first_column, num_columns], axis=-1)[part]
        yield _covered_pixels(triangles.take(part), boxes, width)


def _covered_range(grid: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixel (F,) whose centre lies between the lowest and the highest of (F, 3) grid points."""
    first = first_centre(grid.min(axis=1))
    last = (grid.max(axis=1) - SUBPIXELS // 2) // SUBPIXELS
    return np.maximum(first, 0), np.minimum(last, size - 1)


def _twice_area(triangles: Triangles) -> np.ndarray:
    """(F,) signed; the sign is the winding."""
    column, row = triangles.column.T, triangles.row.T
    return (column[1] - column[0]) * (row[2] - row[0]) - (column[2] - column[0]) * (row[1] - row[0])


def _covered_pixels(triangles: Triangles, boxes: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat pixel index, nearness (float32) and face of each pixel in each triangle.

    boxes: (F, 4) first row, number of rows, first column and number of columns to test, none of them empty.
    """
    area = _twice_area(triangles)
    corner_order = np.where(area[:, None] < 0, [0, 2, 1], [0, 1, 2])  # (F, 3), to one winding
    column, row, corner_nearness = (np.take_along_axis(field, corner_order, axis=1).T for field in triangles[:3])
    area = np.abs(area)

    first_row, num_rows, first_column, num_columns = boxes.T
    num_pixels = num_rows * num_columns
    owner = np.repeat(np.arange(len(area)), num_pixels)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(num_pixels) - num_pixels, num_pixels)
    pixel_row = first_row[owner] + within // num_columns[owner]
    pixel_column = first_column[owner] + within % num_columns[owner]

    column_offset = pixel_column * SUBPIXELS + SUBPIXELS // 2 - column[0][owner]
    row_offset = pixel_row * SUBPIXELS + SUBPIXELS // 2 - row[0][owner]
    b_area = column_offset * (row[2] - row[0])[owner] + row_offset * (column[0] - column[2])[owner]
    c_area = column_offset * (row[0] - row[1])[owner] + row_offset * (column[1] - column[0])[owner]
    covered = np.flatnonzero((b_area >= 0) & (c_area >= 0) & (area[owner] - b_area - c_area >= 0))

    owner = owner[covered]
    inverse_area = 1 / area.astype(np.float64)
    b_slope = (corner_nearness[1] - corner_nearness[0]) * inverse_area
    c_slope = (corner_nearness[2] - corner_nearness[0]) * inverse_area
    nearness = corner_nearness[0][owner] + (b_area[covered] * b_slope[owner] + c_area[covered] * c_slope[owner])
    pixel = pixel_row[covered] * width + pixel_column[covered]
    return pixel, nearness.astype(np.float32), triangles.face[owner]


def _keep_nearest_inplace(
    nearness: np.ndarray, face_index: np.ndarray, pixel: np.ndarray, pixel_nearness: np.ndarray, pixel_face: np.ndarray
) -> None:
    """Writes the candidates that are nearer than what is there; of equally near ones the lowest face."""
    there = np.flatnonzero(~np.isnan(pixel_nearness))  # faces with corners that are not finite are nearer than nothing
    order = there[np.lexsort((-pixel_face[there], pixel_nearness[there]))]  # the last written counts
    pixel, pixel_nearness, pixel_face = pixel[order], pixel_nearness[order], pixel_face[order]
    best_nearness, best_face = np.full_like(nearness, -np.inf), np.full_like(face_index, -1)
    best_nearness[pixel], best_face[pixel] = pixel_nearness, pixel_face
    nearer = (best_nearness > nearness) | ((best_nearness == nearness) & (best_face < face_index))
    nearness[nearer], face_index[nearer] = best_nearness[nearer], best_face[nearer]
