# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
from PIL import Image

from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.command.files import MESH_SUFFIXES, read_albedo, read_mesh, read_photo, read_pose, read_radiance
from solver_core.errors import ObservationError, SetupError

OpenEXR = pytest.importorskip("OpenEXR")
png = pytest.importorskip("png")
trimesh = pytest.importorskip("trimesh")

CORNERS = np.array([[0.0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb", ".off", ".stl"])
def test_read_mesh_gives_the_triangles_that_were_written(tmp_path, suffix):
    path = tmp_path / f"mesh{suffix}"
    trimesh.Trimesh(CORNERS, FACES, process=False).export(path)

    mesh = read_mesh(path)

    triangles = sorted(mesh.vertices[mesh.faces].reshape(-1, 9).tolist())  # stl and obj may renumber the vertices
    assert triangles == sorted(CORNERS[FACES].reshape(-1, 9).tolist())


def test_read_mesh_joins_the_parts_of_a_scene_where_they_stand(tmp_path):
    part = trimesh.Trimesh(CORNERS, FACES, process=False)
    moved = np.eye(4)
    moved[:3, 3] = [10, 0, 0]
    scene = trimesh.Scene()
    scene.add_geometry(part)
    scene.add_geometry(part, transform=moved)
    scene.export(tmp_path / "scene.glb")

    mesh = read_mesh(tmp_path / "scene.glb")

    assert len(mesh.faces) == 8
    np.testing.assert_allclose([mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], [[0, 0, 0], [13, 2, 1]])


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_read_mesh_refuses_rubbish(tmp_path, suffix):
    path = tmp_path / f"mesh{suffix}"
    path.write_text("rubbish\nv 1 2\nf 1 2 3 4\n")

    with pytest.raises(SetupError):
        read_mesh(path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("nowhere.obj", None, "No such file"),
        ("mesh.blend", "", r"must end in \.obj, \.ply"),
        ("points.obj", "v 0 0 0\nv 1 0 0\n", "no faces"),
        ("quad.obj", "v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 2 9\n", "cannot read the mesh file"),
        ("nan.obj", "v 0 0 0\nv 1 0 0\nv nan 1 0\nf 1 2 3\n", "must be finite"),
    ],
)
def test_read_mesh_says_what_is_wrong(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_text(content)

    with pytest.raises(SetupError, match=sentence):
        read_mesh(tmp_path / name)


GREY = np.array([[0, 51, 102], [153, 204, 255]], dtype=np.uint8)


def test_read_photo_gives_rgb(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "photo.png")

    np.testing.assert_array_equal(read_photo(tmp_path / "photo.png"), np.stack([GREY] * 3, axis=-1))


RADIANCE = np.linspace(0, 1, 4 * 5 * 3).reshape(4, 5, 3).astype(np.float32)


def write_png16(path, values):
    with path.open("wb") as file:
        rows = np.round(65535 * values).astype(np.uint16).reshape(len(values), -1)
        png.Writer(width=values.shape[1], height=values.shape[0], bitdepth=16, greyscale=False).write(file, rows)


def write_exr(path, channels):
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}, channels).write(str(path))


def test_greys_of_16_bits_are_scaled_to_8(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.png")

    np.testing.assert_array_equal(read_photo(tmp_path / "deep.png"), np.stack([GREY] * 3, axis=-1))


def test_a_picture_of_real_numbers_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "real.tiff")

    with pytest.raises(ObservationError, match="whose white is not known"):
        read_photo(tmp_path / "real.tiff")


def test_read_radiance_makes_8_bit_srgb_linear(tmp_path):
    Image.fromarray(np.round(255 * srgb_from_linear(RADIANCE)).astype(np.uint8)).save(tmp_path / "photo.png")

    np.testing.assert_allclose(read_radiance(tmp_path / "photo.png"), RADIANCE, atol=0.005)  # half a step of 8 bits


@pytest.mark.parametrize("is_linear", [False, True])
def test_read_radiance_keeps_the_16_bits_of_a_png(tmp_path, is_linear):
    write_png16(tmp_path / "photo.png", RADIANCE if is_linear else srgb_from_linear(RADIANCE))

    np.testing.assert_allclose(read_radiance(tmp_path / "photo.png", is_linear), RADIANCE, atol=2e-5)


def test_read_radiance_takes_exr_as_it_is(tmp_path):
    write_exr(tmp_path / "render.exr", {"RGB": 7 * RADIANCE})
    write_exr(tmp_path / "layer.exr", {"View.RGBA": np.concatenate([7 * RADIANCE, np.ones((4, 5, 1), np.float32)], axis=2)})
    write_exr(tmp_path / "grey.exr", {"Y": np.ascontiguousarray(RADIANCE[..., 0])})

    np.testing.assert_array_equal(read_radiance(tmp_path / "render.exr"), 7 * RADIANCE)
    np.testing.assert_array_equal(read_radiance(tmp_path / "layer.exr"), 7 * RADIANCE)
    np.testing.assert_array_equal(read_radiance(tmp_path / "grey.exr"), np.repeat(RADIANCE[..., :1], 3, axis=2))


def test_read_radiance_leaves_out_what_is_transparent(tmp_path):
    rgba = np.full((2, 2, 4), 255, np.uint8)
    rgba[0, 0, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "photo.png")
    write_exr(tmp_path / "render.exr", {"RGBA": (rgba / 255).astype(np.float32)})

    for name in ("photo.png", "render.exr"):
        assert np.isnan(read_radiance(tmp_path / name)).any(axis=2).sum() == 1


def test_exr_without_a_picture_is_refused(tmp_path):
    write_exr(tmp_path / "depth.exr", {"Z": RADIANCE[..., 0].copy()})
    (tmp_path / "text.exr").write_text("no image")

    with pytest.raises(ObservationError, match="holds Z"):
        read_radiance(tmp_path / "depth.exr")
    with pytest.raises(ObservationError, match="cannot read the photograph file"):
        read_radiance(tmp_path / "text.exr")


def test_damaged_16_bit_png_is_refused(tmp_path):
    write_png16(tmp_path / "photo.png", RADIANCE)
    (tmp_path / "photo.png").write_bytes((tmp_path / "photo.png").read_bytes()[:60])

    with pytest.raises(ObservationError, match="cannot read the photograph file"):
        read_radiance(tmp_path / "photo.png")


def test_read_albedo_gives_the_texture_of_a_mesh(tmp_path):
    box = trimesh.creation.box()
    uv = np.linspace(0, 1, 16).reshape(8, 2)
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(picture), baseColorFactor=[255, 128, 0, 255]
    )
    box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    box.export(tmp_path / "box.glb")

    albedo = read_albedo(tmp_path / "box.glb")

    np.testing.assert_allclose(albedo.corner_uv, uv[box.faces], atol=1e-6)
    np.testing.assert_allclose(albedo.image, linear_from_srgb(picture / 255) * [1, 128 / 255, 0], atol=1e-6)


def test_read_albedo_gives_vertex_colours_or_none(tmp_path):
    box = trimesh.creation.box()
    box.export(tmp_path / "plain.stl")
    colours = np.arange(32, dtype=np.uint8).reshape(8, 4)
    box.visual = trimesh.visual.ColorVisuals(box, vertex_colors=colours)
    box.export(tmp_path / "painted.ply")

    np.testing.assert_allclose(read_albedo(tmp_path / "painted.ply"), linear_from_srgb(colours[:, :3] / 255), atol=1e-6)
    assert read_albedo(tmp_path / "plain.stl") is None


@pytest.mark.parametrize("read", [read_photo, read_radiance])
def test_file_that_is_no_image_is_refused(tmp_path, read):
    (tmp_path / "image.png").write_text("no image")

    with pytest.raises(ObservationError, match=r"cannot read the .* it is no picture; known: PNG"):
        read(tmp_path / "image.png")
    with pytest.raises(ObservationError, match="No such file"):
        read(tmp_path / "nowhere.png")


def test_read_pose_gives_the_matrix_and_leaves_other_keys(tmp_path):
    content = {"camera_from_object": np.eye(4).tolist(), "iou": 0.9}
    (tmp_path / "pose.json").write_text(json.dumps(content))

    np.testing.assert_array_equal(read_pose(tmp_path / "pose.json"), np.eye(4))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"object_from_camera": np.eye(4).tolist()},
            "must hold the key camera_from_object; it holds object_from_camera",
        ),
        ([1, 2], "it holds list"),
        ({"camera_from_object": np.eye(3).tolist()}, "must be 4 x 4 numbers"),
        ({"camera_from_object": [[1, 2], [3]]}, "must be 4 x 4 numbers"),
        ({"camera_from_object": "identity"}, "must be 4 x 4 numbers"),
    ],
)
def test_read_pose_says_what_is_wrong(tmp_path, content, sentence):
    (tmp_path / "pose.json").write_text(json.dumps(content))

    with pytest.raises(SetupError, match=sentence):
        read_pose(tmp_path / "pose.json")
