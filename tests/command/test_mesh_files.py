# SPDX-License-Identifier: Apache-2.0
"""Mesh files as Blender and others write them; those of tests/data/meshes that name the same object hold the same surface."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from solver_core.command.files import read_albedo, read_mesh
from solver_core.command.mesh_files import triangles_of_polygon
from solver_core.errors import SetupError
from tests.hostile.guard import guarded

MESHES = Path(__file__).parents[1] / "data" / "meshes"


def surface_area(mesh) -> float:
    corners = mesh.vertices[mesh.faces]
    return float(np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2)


def bounds(mesh) -> np.ndarray:
    used = mesh.vertices[np.unique(mesh.faces)]
    return np.stack([used.min(axis=0), used.max(axis=0)])


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("spanner.obj", "spanner_triangulated.ply"),
        ("tabs.obj", "tool.ply"),
        ("comment_after_face.obj", "tool.ply"),
        ("mixed.ply", "mixed.stl"),
        ("tool_quantized.glb", "tool.ply"),
    ],
)
def test_file_holds_the_surface_that_another_does(name, same):
    mesh, expected = read_mesh(MESHES / name), read_mesh(MESHES / same)
    size = np.ptp(bounds(expected), axis=0)

    np.testing.assert_allclose(bounds(mesh), bounds(expected), atol=2e-4 * size.max())  # 16 bits, rounded text
    assert surface_area(mesh) == pytest.approx(surface_area(expected), rel=2e-3)


def test_coordinates_far_from_the_origin_stay_as_exact_as_the_file():
    vertices = read_mesh(MESHES / "tool_utm.obj").vertices

    assert vertices.dtype == np.float64
    steps = np.diff(np.unique(vertices[:, 1]))
    assert steps.min() < 0.2  # float32 has steps of half a metre there


def test_colours_of_faces_are_read():
    mesh, albedo = read_mesh(MESHES / "tool_face_colours.ply"), read_albedo(MESHES / "tool_face_colours.ply")

    assert len(albedo) == len(mesh.faces)


def test_concave_polygon_is_not_filled():
    corners = np.array([[0, 0, 5.0], [4, 0, 5], [4, 4, 5], [2, 1, 5], [0, 4, 5]])

    triangles = triangles_of_polygon(corners)

    first, second = (corners[triangles[:, k]] - corners[triangles[:, 0]] for k in (1, 2))
    areas = np.cross(first, second)[:, 2] / 2
    assert areas.sum() == pytest.approx(16 - 6)
    assert (areas > 0).all()  # wound as the polygon is


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_polygon_keeps_its_winding_whatever_way_it_faces(axis):
    corners = np.roll(np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0.0]]), axis, axis=1)
    for polygon in (corners, corners[::-1]):
        normal = np.cross(polygon[1] - polygon[0], polygon[2] - polygon[0])
        triangles = triangles_of_polygon(polygon)

        first, second = (polygon[triangles[:, k]] - polygon[triangles[:, 0]] for k in (1, 2))
        assert (np.cross(first, second) @ normal > 0).all()


def test_obj_indices_may_count_from_the_end_and_lines_go_on(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf -4 -3 \\\n-2\nf -4//-1 -2 -1\n".replace("//-1", ""))

    mesh = read_mesh(tmp_path / "a.obj")

    assert surface_area(mesh) == pytest.approx(1)


@pytest.mark.parametrize("extension", ["KHR_draco_mesh_compression", "EXT_meshopt_compression"])
def test_packed_gltf_is_refused_by_the_name_of_its_packing(tmp_path, extension):
    header = json.dumps({"asset": {"version": "2.0"}, "extensionsRequired": [extension], "meshes": []}).encode()
    header += b" " * (-len(header) % 4)
    (tmp_path / "a.glb").write_bytes(
        struct.pack("<4sII", b"glTF", 2, 20 + len(header)) + struct.pack("<I4s", len(header), b"JSON") + header
    )

    with pytest.raises(SetupError, match=r"packed by (Draco|meshopt); save it without compression"):
        read_mesh(tmp_path / "a.glb")


def test_format_that_is_not_read_names_the_way(tmp_path):
    (tmp_path / "a.fbx").write_text("")

    with pytest.raises(SetupError, match="export it from Blender as glb or obj"):
        read_mesh(tmp_path / "a.fbx")


@pytest.mark.skipif(os.name != "posix", reason="pipes")
def test_a_pipe_that_a_mesh_names_is_not_waited_for(tmp_path):
    for name in ("look.mtl", "data.bin"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "plain.obj").write_text("mtllib look.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl look\nf 1 2 3\n")
    buffers = [{"byteLength": 96, "uri": "data.bin"}]
    (tmp_path / "mesh.gltf").write_text(json.dumps({"asset": {"version": "2.0"}, "buffers": buffers}))

    with guarded():
        read_albedo(tmp_path / "plain.obj")  # as without a material
        with pytest.raises(SetupError, match=r"mesh\.gltf"):
            read_mesh(tmp_path / "mesh.gltf")
