import json

import numpy as np
import pytest
from PIL import Image

from solver_core.errors import ObservationError, SetupError
from solver_core.files import MESH_SUFFIXES, read_mask, read_mesh, read_photo, read_pose

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
    np.testing.assert_allclose(mesh.bounds, [[0, 0, 0], [13, 2, 1]])


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_read_mesh_refuses_rubbish(tmp_path, suffix):
    path = tmp_path / f"mesh{suffix}"
    path.write_text("rubbish\nv 1 2\nf 1 2 3 4\n")

    with pytest.raises(SetupError):
        read_mesh(path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("nowhere.obj", None, "there is no such file"),
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


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.fromarray(GREY), id="grey"),
        pytest.param(Image.fromarray(np.stack([GREY] * 3, axis=-1)), id="colour"),
        pytest.param(Image.fromarray(np.stack([GREY] * 3 + [np.full_like(GREY, 255)], axis=-1)), id="opaque"),
        pytest.param(Image.fromarray(np.stack([255 - GREY] * 3 + [GREY], axis=-1)), id="alpha"),
        pytest.param(Image.fromarray(GREY.astype(np.uint16) * 257), id="16 bits"),
    ],
)
def test_read_mask_gives_coverage(tmp_path, image):
    image.save(tmp_path / "mask.png")

    mask = read_mask(tmp_path / "mask.png")

    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, GREY / 255, atol=1e-6)


def test_read_mask_takes_black_and_white(tmp_path):
    Image.fromarray(GREY > 100).save(tmp_path / "mask.png")

    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), GREY > 100)


def test_read_photo_gives_rgb(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "photo.png")

    np.testing.assert_array_equal(read_photo(tmp_path / "photo.png"), np.stack([GREY] * 3, axis=-1))


@pytest.mark.parametrize("read", [read_mask, read_photo])
def test_file_that_is_no_image_is_refused(tmp_path, read):
    (tmp_path / "image.png").write_text("no image")

    with pytest.raises(ObservationError, match=r"cannot read the .* cannot identify image file"):
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
        ({"camera_from_object": np.eye(3).tolist()}, r"got shape \(3, 3\)"),
        ({"camera_from_object": [[1, 2], [3]]}, "four rows of four numbers"),
        ({"camera_from_object": "identity"}, "four rows of four numbers"),
    ],
)
def test_read_pose_says_what_is_wrong(tmp_path, content, sentence):
    (tmp_path / "pose.json").write_text(json.dumps(content))

    with pytest.raises(SetupError, match=sentence):
        read_pose(tmp_path / "pose.json")
