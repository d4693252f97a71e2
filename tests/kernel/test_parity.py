# SPDX-License-Identifier: Apache-2.0
"""The kernel and NumPy give the same images to the pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from solver_core import render, rotations
from solver_core.kernel.contour import misfit_sums
from solver_core.kernel.crop import mask_channels, mask_spans, warp
from solver_core.kernel.silhouette import silhouette_sums
from solver_core.kernel.vertices import unit_meshes
from solver_core.mesh import Mesh

NUM_VERTICES = 12


def assert_same_images(use, draw) -> render.Raster:
    with use("kernel"):
        kernel = draw()
    with use("numpy"):
        reference = draw()
    assert np.array_equal(kernel.face_index, reference.face_index)
    assert np.array_equal(kernel.depth, reference.depth)
    return kernel


def random_pose(rng, translation) -> np.ndarray:
    camera_from_object = np.eye(4)[None].copy()
    camera_from_object[0, :3, :3] = rotations.matrix_from_wxyz(rotations.random_wxyz(rng))
    camera_from_object[0, :3, 3] = translation
    return camera_from_object


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("distance", "focal_px", "edge"),
    [
        (3.0, 100.0, 0.05),  # many faces of a pixel or less
        (3.0, 100.0, 1.0),
        (0.5, 40.0, 1.0),  # camera in the mesh
        (0.0, 40.0, 0.3),
        (-3.0, 100.0, 1.0),  # behind the camera
        (1000.0, 40000.0, 0.3),  # telephoto
        (2.0, 3e7, 1.0),  # faces a million times larger than the image
        (3.0, 0.01, 1.0),  # all within one pixel
    ],
)
def test_images_are_equal_for_random_triangles(seed, distance, focal_px, edge, use):
    rng = np.random.default_rng(seed)
    first = rng.uniform(-1, 1, (300, 1, 3))
    mesh = Mesh.checked((first + rng.normal(scale=edge, size=(300, 3, 3))).reshape(-1, 3), np.arange(900).reshape(-1, 3))
    pose = random_pose(rng, [0.1, -0.2, -distance])

    assert_same_images(use, lambda: render.rasterize([mesh], pose, [focal_px, focal_px * 1.1, 30.2, 25.7], 50, 64))


@pytest.mark.parametrize("seed", range(5))
def test_images_are_equal_for_parallel_rays(seed, use):
    rng = np.random.default_rng(seed)
    mesh = Mesh.checked(rng.normal(size=(200, 3)), rng.integers(0, 200, (300, 3)))
    pose = random_pose(rng, [0.3, 0.1, -1.0])

    assert_same_images(use, lambda: render.rasterize_orthographic([mesh], pose, [15.0, 17.0, 30.2, 25.7], 50, 64))


coordinates = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.0]),  # corners that coincide, edges through centres, points on the camera
    st.floats(-4, 4, width=32),
    st.floats(-(2.0**60), 2.0**60, width=32),
    st.sampled_from([np.nan, np.inf, -np.inf]),
)


@settings(max_examples=300)
@given(
    vertices=arrays.arrays(np.float32, (NUM_VERTICES, 3), elements=coordinates),
    faces=arrays.arrays(np.int32, st.tuples(st.integers(1, 8), st.just(3)), elements=st.integers(0, NUM_VERTICES - 1)),
    distance=st.sampled_from([0.0, 1.0, 3.0, -1.0, 1e-3, 1e6]),
    focal_px=st.sampled_from([1e-3, 1.0, 8.0, 30.0, 1e5, 1e9]),
)
def test_images_are_equal_for_any_mesh(vertices, faces, distance, focal_px, use):
    mesh = Mesh(vertices, faces)
    pose = np.eye(4)[None].copy()
    pose[0, 2, 3] = -distance

    view = pose, [focal_px, focal_px, 8.0, 6.5], 13, 16
    drawn = assert_same_images(use, lambda: render.rasterize([mesh], *view))
    with use("kernel"):
        silhouette = render.render_silhouettes(mesh, *view)
    with use("numpy"):
        reference = render.render_silhouettes(mesh, *view)
    assert np.array_equal(silhouette, reference)
    assert (silhouette | (drawn.face_index < 0)).all()


@pytest.mark.usefixtures("implementation")
def test_silhouettes_are_where_faces_are_seen(rng):
    mesh = Mesh.checked(rng.normal(size=(200, 3)), rng.integers(0, 200, (300, 3)))
    poses = np.concatenate([random_pose(rng, [0.1, 0.2, -depth]) for depth in (0.5, 4.0, 20.0, -3.0)])
    view = [30.0, 33.0, 30.2, 25.7], 50, 64

    silhouettes = render.render_silhouettes(mesh, poses, *view)

    intrinsics = np.repeat(np.array(view[0])[None], 4, axis=0)
    assert np.array_equal(silhouettes, render.rasterize([mesh] * 4, poses, intrinsics, *view[1:]).face_index >= 0)
    assert silhouettes[:3].any(axis=(1, 2)).all()
    assert not silhouettes[3].any()


@pytest.mark.parametrize("shape", [(0, 5, 7), (1, 1, 1), (1, 1, 40), (1, 40, 1), (3, 33, 47), (2, 16, 16)])
def test_sums_over_silhouettes_are_equal_up_to_rounding(shape, rng, use):
    silhouettes = rng.random(shape) < rng.choice([0.02, 0.5, 0.98], (shape[0], 1, 1))
    labels, votes = rng.integers(0, 9, shape[1:]), rng.integers(-128, 128, shape[1:])
    across, down = rng.random((shape[1], shape[2] - 1)), rng.random((shape[1] - 1, shape[2]))

    with use("kernel"):
        counts, sums = silhouette_sums(silhouettes, labels, votes, across, down, 9)
        fewer, _ = silhouette_sums(silhouettes, labels, votes, across, down, 4)
    with use("numpy"):
        reference, reference_sums = silhouette_sums(silhouettes, labels, votes, across, down, 9)
        fewer_reference, _ = silhouette_sums(silhouettes, labels, votes, across, down, 4)

    assert np.array_equal(counts, reference)
    assert np.array_equal(fewer, fewer_reference)
    assert np.array_equal(fewer, counts[:, :4])
    assert np.array_equal(counts.sum(axis=1), silhouettes.sum(axis=(1, 2)))
    np.testing.assert_allclose(sums, reference_sums, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (33, 47)])
@pytest.mark.parametrize("fraction", [0.0, 0.002, 0.1, 0.5, 0.9, 1.0])
def test_distances_are_equal_for_random_masks(shape, fraction, rng, use):
    masks = rng.random((4, *shape)) < fraction

    with use("kernel"):
        kernel = render.signed_distance(masks)
    with use("numpy"):
        reference = render.signed_distance(masks)

    assert np.array_equal(kernel, reference)


@pytest.mark.parametrize("is_shared", [False, True])
def test_misfit_is_equal_up_to_rounding(rng, use, is_shared):
    shape = (4, 20, 24)
    depth = np.where(rng.uniform(size=shape) < 0.5, 1.0, np.inf).astype(np.float32)
    mask = [
        rng.normal(0, 3, shape).astype(np.float32),
        rng.uniform(size=shape) < 0.9,
        rng.uniform(size=shape).astype(np.float32),
    ]
    if is_shared:
        mask = [np.broadcast_to(image[0], shape) for image in mask]

    with use("kernel"):
        kernel = misfit_sums(depth, *mask, 2.0)
    with use("numpy"):
        reference = misfit_sums(depth, *mask, 2.0)

    np.testing.assert_allclose(kernel, reference, rtol=1e-6)  # float32 images, summed in another order


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (33, 47)])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 1.0])
def test_spans_are_equal_for_random_masks(shape, fraction, rng, use):
    masks = rng.random((4, *shape)) < fraction

    with use("kernel"):
        kernel = mask_spans(masks)
    with use("numpy"):
        reference = mask_spans(masks)

    assert np.array_equal(kernel, reference)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (33, 47)])
@pytest.mark.parametrize("is_known", [True, False])
def test_warped_images_are_equal_up_to_rounding(shape, is_known, rng, use):
    coverage, known = rng.random((6, *shape), dtype=np.float32), None if is_known else rng.random((6, *shape)) < 0.8
    homographies = np.eye(3) * [shape[1] / 16, shape[0] / 16, 1] + rng.normal(0, 0.05, (6, 3, 3))
    homographies[0, 2] = (0, 0, -1)  # all of it behind the camera
    reductions = np.array([1, 1, 2, 3, 5, 50])

    with use("kernel"):
        seen, evidence = warp(coverage, known, homographies, reductions, 16)
    with use("numpy"):
        reference, reference_evidence = warp(coverage, known, homographies, reductions, 16)

    assert np.array_equal(evidence, reference_evidence)
    assert not evidence[0].any()
    np.testing.assert_allclose(seen, reference, atol=1e-5)  # means of up to 2,500 float32 pixels, added in another order


def test_channels_are_equal_up_to_rounding(rng, use):
    shape = (3, 9, 11)
    observed, estimated = rng.normal(0, 10, (2, *shape)).astype(np.float32)
    coverage, evidence = rng.random(shape, dtype=np.float32), rng.random(shape) < 0.9
    depth = np.where(rng.random(shape) < 0.5, rng.uniform(1, 3, shape), np.inf).astype(np.float32)
    arguments = observed, estimated, coverage, depth, evidence, np.array([1.0, 2.0, 3.0]), 16.0

    with use("kernel"):
        kernel = mask_channels(*arguments)
    with use("numpy"):
        reference = mask_channels(*arguments)

    np.testing.assert_allclose(kernel, reference, atol=1e-6)  # float32 of order one
    assert np.abs(kernel[..., 0]).max() == 1


def test_unit_meshes_are_equal_and_of_unit_size(rng, use):
    meshes = [Mesh.checked(rng.normal(size=(count, 3)), [[0, 1, 2]]) for count in (3, 50, 7)]
    matrices = rng.normal(size=(3, 3, 3))

    with use("kernel"):
        kernel, boxes = unit_meshes(meshes, matrices)
    with use("numpy"):
        reference, reference_boxes = unit_meshes(meshes, matrices)

    np.testing.assert_allclose(boxes, reference_boxes, rtol=1e-9)
    for mesh, unit, expected, matrix, box in zip(meshes, kernel, reference, matrices, boxes, strict=True):
        np.testing.assert_allclose(unit.vertices, expected.vertices, atol=1e-6)
        np.testing.assert_allclose(unit.vertices, (mesh.vertices @ matrix.T - box[:3]) / box[3], atol=1e-6)
        assert np.linalg.norm(np.ptp(unit.vertices, axis=0)) == pytest.approx(1, abs=1e-6)
        assert unit.faces is mesh.faces


def test_no_meshes_make_no_unit_meshes():
    assert unit_meshes([], np.empty((0, 3, 3)))[0] == []
