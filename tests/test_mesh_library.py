# SPDX-License-Identifier: Apache-2.0
"""Folders of meshes."""

import numpy as np
import pytest

trimesh = pytest.importorskip("trimesh")

from solver_core.errors import ConfigError  # noqa: E402
from solver_core.mesh import Mesh  # noqa: E402
from solver_core.mesh_library import MeshEntry, MeshPool, load_library  # noqa: E402


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_box(path, size=(1, 2, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(size).export(path)


def test_collection_is_split_by_source_and_turned_z_up(tmp_path):
    write_box(tmp_path / "kaykit_city" / "car" / "a.ply")
    write_box(tmp_path / "libero" / "table" / "b.ply")
    (tmp_path / "manifest.csv").write_text(
        "path,source,category\nkaykit_city/car/a.ply,kaykit_city,car\nlibero/table/b.ply,libero,table\n"
    )
    (tmp_path / "splits.json").write_text('{"train": ["kaykit_city"], "test": ["libero"]}')

    (train,), (test,) = load_library(tmp_path, "train"), load_library(tmp_path, "test")

    assert (train.category, test.source) == ("car", "libero")
    extent = np.diff(train.mesh.bounds, axis=0)[0]
    np.testing.assert_allclose(extent / extent[0], (1, 4, 2), rtol=1e-5)  # published y is z here
    assert np.linalg.norm(extent) == pytest.approx(1)


def test_shapenet_folder_is_read_with_its_synsets_as_categories(tmp_path):
    for index in range(12):
        write_box(tmp_path / "02958343" / f"m{index}" / "models" / "model_normalized.obj")

    entries = load_library(tmp_path, "train")

    assert entries
    assert {entry.category for entry in entries} == {"car"}


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb", "off", "stl"])
def test_plain_folder_is_read_in_any_format(tmp_path, suffix):
    for index in range(40):
        write_box(tmp_path / "boxes" / f"b{index}.{suffix}")

    names = [entry.name for split in ("train", "val", "test") for entry in load_library(tmp_path, split)]

    assert len(names) == len(set(names)) == 40


def test_folder_too_small_to_split_is_used_whole(tmp_path, caplog):
    write_box(tmp_path / "only.ply")

    entries = [load_library(tmp_path, split)[0] for split in ("train", "val", "test")]

    assert {entry.name for entry in entries} == {"only.ply"}
    assert "too small to be split" in caplog.text


def test_listed_mesh_that_is_missing_is_left_out(tmp_path, caplog):
    write_box(tmp_path / "a.ply")
    (tmp_path / "manifest.csv").write_text("path,source,category\na.ply,s,car\nb.ply,s,car\n")
    (tmp_path / "splits.json").write_text('{"train": ["s"]}')

    entries = load_library(tmp_path, "train")

    assert [entry.name for entry in entries] == ["a.ply"]
    assert "b.ply" in caplog.text


def test_damaged_manifest_is_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("file\na.ply\n")
    (tmp_path / "splits.json").write_text('{"train": ["s"]}')

    with pytest.raises(ConfigError, match="damaged"):
        load_library(tmp_path, "train")


def test_unreadable_mesh_is_left_out_with_a_warning(tmp_path, caplog):
    for index in range(12):
        write_box(tmp_path / f"b{index}.ply")
    train = load_library(tmp_path, "train")
    (tmp_path / train[0].name).write_text("not a mesh")

    again = load_library(tmp_path, "train")

    assert len(again) == len(train) - 1
    assert train[0].name in caplog.text


def test_second_reading_comes_from_the_cache(tmp_path):
    for index in range(12):
        write_box(tmp_path / f"b{index}.ply", (1, 1, 1 + index))

    first, second = load_library(tmp_path, "train"), load_library(tmp_path, "train")

    np.testing.assert_array_equal(first[2].mesh.vertices, second[2].mesh.vertices)
    assert len(list((tmp_path / "cache").rglob("*.npz"))) == 1


def test_folder_without_meshes_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no mesh"):
        load_library(tmp_path, "train")


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_library(tmp_path / "nowhere", "train")


def test_pool_draws_from_the_other_categories_as_often_as_asked(rng):
    library = [MeshEntry(name, "", name, trimesh_box(size)) for name, size in (("car", 1), ("lamp", 2))]

    drawn = [mesh.bounds[1, 0] for mesh in MeshPool(library).draw(rng, 0.3, 1000)]

    assert np.mean(np.array(drawn) == 1) == pytest.approx(0.3, abs=0.06)  # four standard deviations


@pytest.mark.parametrize("category", ["car", "lamp"])
def test_pool_of_one_kind_of_categories_draws_from_those(category, rng):
    entry = MeshEntry("only", "", category, trimesh_box(1))

    assert MeshPool([entry]).draw(rng, 0.5, 1) == [entry.mesh]


def trimesh_box(size: float) -> Mesh:
    box = trimesh.creation.box((size, 1, 1))
    return Mesh.checked(box.vertices, box.faces)


@pytest.mark.parametrize("up", ["x", "-x", "y", "-y", "z", "-z"])
def test_meshes_of_a_plain_folder_are_turned_from_the_axis_that_is_up(up, tmp_path):
    cone = trimesh.creation.cone(1, 3)  # its tip points along z
    axis = (-1 if up[0] == "-" else 1) * np.eye(3)["xyz".index(up[-1])]
    cone.apply_transform(trimesh.geometry.align_vectors((0, 0, 1), axis))
    cone.export(tmp_path / "cone.ply")

    (entry,) = load_library(tmp_path, "train", up)

    tip = entry.mesh.vertices[np.argmax(np.linalg.norm(entry.mesh.vertices - entry.mesh.vertices.mean(axis=0), axis=1))]
    assert tip[2] == pytest.approx(entry.mesh.bounds[1, 2])
    assert abs(tip[:2]).max() < 0.01


def test_turned_meshes_are_no_mirror_images(tmp_path):
    box = trimesh.creation.box((1, 2, 4))
    box.vertices[0] *= 0.5  # no longer its own mirror image
    box.export(tmp_path / "box.ply")

    volumes = [volume(load_library(tmp_path, "train", up)[0].mesh) for up in ("x", "-x", "y", "-y", "z", "-z")]

    np.testing.assert_allclose(volumes, volumes[0], rtol=1e-4)  # a mirror image's is negative
    assert volumes[0] > 0


def volume(mesh):
    corners = mesh.vertices[mesh.faces]
    return np.linalg.det(corners).sum() / 6


def test_an_axis_that_is_none_is_refused(tmp_path):
    write_box(tmp_path / "only.ply")

    with pytest.raises(ConfigError, match="up in \\[sampling\\] must be one of x, -x"):
        load_library(tmp_path, "train", "up")
