# SPDX-License-Identifier: Apache-2.0
"""The same silhouettes and depths as pyrender, which draws the observations of every reported number."""

import csv

import numpy as np
import pytest

from solver_core import render, rotations
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from training.paper.pyrender_depth import PyrenderDepth

trimesh = pytest.importorskip("trimesh")

pytestmark = pytest.mark.egl
CAMERA = Camera.from_fov(128, 128, np.radians(30))
DISTANCE = 2.732
NUM_DATA_MESHES = 50


@pytest.fixture(scope="module")
def pyrender_depth():
    """Depth (H, W) as pyrender draws it, 0 where nothing is."""
    try:
        pyrender = PyrenderDepth(CAMERA)
    except Exception as error:  # PyOpenGL raises what its platform raises
        pytest.skip(f"pyrender or EGL is missing: {error!r}")
    with pyrender:
        yield pyrender.render_depth


def normalized(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """Mesh centred on its bounding box, whose diagonal is 1."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    return Mesh.checked((vertices - (low + high) / 2) / np.linalg.norm(high - low), faces)


def made_meshes() -> list[Mesh]:
    shapes = [
        trimesh.creation.box((1, 2, 3)),
        trimesh.creation.icosphere(subdivisions=4),
        trimesh.creation.torus(1, 0.3),
        trimesh.creation.capsule(2, 0.5),
        trimesh.creation.annulus(0.5, 1, 0.1),
        trimesh.creation.cylinder(0.05, 3),
        trimesh.creation.box((1, 1, 0.001)),
        trimesh.creation.cone(1, 2),
    ]
    return [normalized(shape.vertices, shape.faces) for shape in shapes]


def data_meshes(data_dir, rng) -> list[Mesh]:
    with (data_dir / "meshes" / "manifest.csv").open(encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    chosen = rng.choice(len(paths), NUM_DATA_MESHES, replace=False)
    loaded = [trimesh.load(data_dir / "meshes" / paths[i], force="mesh", process=False) for i in chosen]
    return [normalized(shape.vertices, shape.faces) for shape in loaded]


def compare(meshes, pyrender_depth, rng) -> tuple[np.ndarray, np.ndarray]:
    """Per mesh: share of pixels that both cover or both leave, and share of common pixels with depths within 1e-4."""
    camera_from_object = np.tile(np.eye(4), (len(meshes), 1, 1))
    camera_from_object[:, :3, :3] = rotations.matrix_from_wxyz(rotations.random_wxyz(rng, len(meshes)))
    camera_from_object[:, 2, 3] = -DISTANCE
    ours = render.render_depth(meshes, camera_from_object, CAMERA.intrinsics, CAMERA.height, CAMERA.width)
    theirs = np.stack([pyrender_depth(mesh, pose) for mesh, pose in zip(meshes, camera_from_object, strict=True)])
    same_mask = (np.isfinite(ours) == (theirs > 0)).mean(axis=(1, 2))
    common = np.isfinite(ours) & (theirs > 0)
    same_depth = (common & (np.abs(ours - theirs) < 1e-4)).sum(axis=(1, 2)) / common.sum(axis=(1, 2))
    return same_mask, same_depth


def test_images_agree_with_pyrender_for_made_meshes(pyrender_depth, rng):
    same_mask, same_depth = compare(made_meshes() * 3, pyrender_depth, rng)

    assert same_mask.min() >= 0.999
    assert same_depth.mean() >= 0.99  # pyrender's depth has 24 bits between 0.05 and 100


@pytest.mark.data
def test_images_agree_with_pyrender_for_meshes_of_the_data(pyrender_depth, data_dir, rng):
    same_mask, same_depth = compare(data_meshes(data_dir, rng), pyrender_depth, rng)

    assert same_mask.min() >= 0.999
    assert same_depth.mean() >= 0.99
