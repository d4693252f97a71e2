# SPDX-License-Identifier: Apache-2.0
"""What Python hands to C is checked first: no array and no index makes the kernel read or write what is not its own."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from solver_core import render
from solver_core.errors import SetupError
from solver_core.kernel import loader
from solver_core.kernel.contour import ContourPoints, contour_points, normal_equations
from solver_core.kernel.raster import rasterize_into
from solver_core.kernel.tree import JointTree, damped_step
from solver_core.mesh import Mesh

FRONT = np.eye(4)[None] + np.array([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, -3], [0, 0, 0, 0]])
INTRINSICS = np.array([[8.0, 8, 4, 4]])


@pytest.fixture
def run_with_kernel(built_kernel):
    """Runs lines of Python with the kernel in a process of its own, which may crash; fails the test unless they succeed."""

    def run_with_kernel(*lines: str) -> None:
        environment = {**os.environ, "SOLVER_CORE_KERNEL": str(built_kernel)}
        code = "\n".join(["import numpy as np", *lines])
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, f"exit code {run.returncode}: {run.stderr}"

    return run_with_kernel


@pytest.fixture
def triangle() -> Mesh:
    return Mesh.checked([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0]], [[0, 1, 2]])


@pytest.fixture
def outlines(rng) -> dict[str, np.ndarray]:
    """Arguments of contour_points for two renders with ragged outlines."""
    depth = np.where(rng.random((2, 9, 11)) < 0.5, 2.0, np.inf).astype(np.float32)
    distance = rng.normal(size=depth.shape).astype(np.float32)
    evidence = rng.random(depth.shape) < 0.9
    positions, intrinsics = rng.normal(size=(2, 3)), np.repeat(INTRINSICS, 2, axis=0)
    return {"positions": positions, "depth": depth, "distance": distance, "evidence": evidence, "intrinsics": intrinsics}


@pytest.fixture
def bodies(rng) -> dict[str, np.ndarray]:
    """Arguments of damped_step for two bodies of five nodes, three of them joints."""
    return {
        "positions": rng.normal(size=(2, 5, 3)),
        "axes": rng.normal(size=(2, 3, 3, 3)),
        "residuals": rng.normal(size=(2, 5, 3)),
        "weights": rng.uniform(1, 2, size=(2, 5)),
        "damping": rng.uniform(0.1, 1, size=2),
    }


@pytest.fixture
def tree() -> JointTree:
    return JointTree(np.array([-1, 0, 1, 0, 3]))


def strided(array: np.ndarray) -> np.ndarray:
    """The same numbers, each with a gap behind it."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def wider(array: np.ndarray) -> np.ndarray:
    """The same numbers in a larger type."""
    return array.astype({"f": np.float64, "i": np.int64, "b": np.int8}[array.dtype.kind])


def arguments_of(name: str) -> list:
    """Zeros, and arrays of a single number, as the function in C takes them."""
    types = loader.FUNCTIONS[name][1]
    return [np.zeros((1,) * t.num_axes, t.dtype) if isinstance(t, loader.Array) else t() for t in types]


ARRAYS = [(name, n) for name in loader.FUNCTIONS for n, array in enumerate(arguments_of(name)) if hasattr(array, "dtype")]


@pytest.mark.parametrize(("name", "position"), ARRAYS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda array: array.view(np.dtype((np.void, array.itemsize))), r"got \d of \|V"),
        (lambda array: array[None], r"with (\d) axes of .*, got (?!\1)\d of "),
        (lambda array: array.repeat(4, axis=-1).repeat(2, axis=0)[..., ::2], "C_CONTIGUOUS : False"),
        (lambda array: array.tolist(), "got list"),
    ],
    ids=["type", "axes", "strides", "list"],
)
def test_kernel_refuses_arrays_that_are_not_as_declared(name, position, change, sentence, built_kernel):
    arguments = arguments_of(name)
    arguments[position] = change(arguments[position])

    with pytest.raises(ctypes.ArgumentError, match=rf"(?s)argument {position + 1}: TypeError: .*{sentence}"):
        getattr(loader.load(built_kernel), name)(*arguments)


def test_kernel_refuses_to_write_into_what_is_read_only(built_kernel):
    mask, distance = np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), np.float32)
    distance.setflags(write=False)
    scratch = np.zeros((2, 2), np.int32), np.zeros(4, loader.PARABOLA)

    with pytest.raises(ctypes.ArgumentError, match="to write to"):
        loader.load(built_kernel).solver_core_signed_distance(1, mask, 2, 2, *scratch, distance)


@pytest.mark.skipif("libasan" not in os.environ.get("LD_PRELOAD", ""), reason="only of use to `make test-sanitizers`")
def test_sanitizers_end_the_process_when_it_reads_beyond_an_array(run_with_kernel):
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        run_with_kernel(
            "from solver_core.kernel import loader",
            "arrays = np.zeros((1, 9, 9), bool), np.zeros((9, 9), np.int32), np.zeros(11, loader.PARABOLA)",
            "distance = np.zeros((1, 9, 9), np.float32)",
            "loader.library().solver_core_signed_distance(1, arrays[0], 99, 9, *arrays[1:], distance)",
        )


def test_kernel_with_other_structures_is_refused(built_kernel, monkeypatch):
    other = np.dtype([("column", np.int64), ("row", np.int64), ("nearness", np.float64)])
    monkeypatch.setattr(loader, "STRUCTURES", (loader.MESH_ARRAYS, other, *loader.STRUCTURES[2:]))

    with pytest.raises(OSError, match=r"structures of \[32, 16, .* needs \[32, 24, "):
        loader.load(built_kernel)


@pytest.mark.parametrize("change", [strided, wider, np.asfortranarray])
@pytest.mark.usefixtures("implementation")
class TestOtherLayouts:
    """Arrays of another layout or a larger type give what those that C takes as they are give."""

    def test_of_masks(self, change, rng):
        masks = rng.random((2, 9, 11)) < 0.5

        assert np.array_equal(render.signed_distance(change(masks)), render.signed_distance(masks))

    def test_of_meshes_and_views(self, change, triangle):
        changed = Mesh(change(triangle.vertices), change(triangle.faces))

        drawn = render.render_depth([changed], change(FRONT), change(INTRINSICS), 8, 8)

        assert np.isfinite(drawn).any()
        assert np.array_equal(drawn, render.render_depth([triangle], FRONT, INTRINSICS, 8, 8))

    def test_of_outlines(self, change, outlines):
        changed = {**{name: change(array) for name, array in outlines.items()}, "evidence": strided(outlines["evidence"])}

        for found, expected in zip(contour_points(**changed), contour_points(**outlines), strict=True):
            assert len(found)
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)  # NumPy takes slopes in the type given

    def test_of_points(self, change, outlines):
        points = contour_points(**outlines)
        robust = np.array([1.0, 2.0])

        changed = normal_equations(ContourPoints(*map(change, points)), change(robust))

        for found, expected in zip(changed, normal_equations(points, robust), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12)  # sums of other strides may be added in another order

    def test_of_bodies(self, change, bodies, tree):
        step = damped_step(tree, **{name: change(array) for name, array in bodies.items()})

        np.testing.assert_allclose(step, damped_step(tree, **bodies), rtol=1e-9)  # BLAS may add in another order


def test_instances_counted_in_int32_are_summed(run_with_kernel):
    run_with_kernel(
        "from solver_core.kernel.contour import ContourPoints, normal_equations",
        "points = ContourPoints(np.array([0, 1] * 500, np.int32), np.ones((1000, 8)))",
        "assert np.array_equal(normal_equations(points, np.full(2, 1e9))[1], np.full((2, 6), 500))",
    )


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("instance", [-1, 2, 2**40])
def test_point_of_no_instance_is_refused(instance):
    points = ContourPoints(np.array([0, instance]), np.ones((2, 8)))

    with pytest.raises((IndexError, ValueError), match=r"instance|index|negative"):
        normal_equations(points, np.ones(2))


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("shape", [(0, 5, 7), (2, 0, 7), (2, 5, 0), (2, 0, 0)])
def test_images_without_pixels_give_empty_arrays(shape, triangle):
    count, height, width = shape
    images = np.ones(shape, np.float32)
    cameras = np.ones((count, 3)), np.ones((count, 4))

    distance = render.signed_distance(images > 0)
    raster = render.rasterize([triangle] * count, np.repeat(FRONT, count, axis=0), cameras[1], height, width)
    points = contour_points(cameras[0], images, images, images > 0, cameras[1])
    hessian, gradient = normal_equations(points, np.ones(count))

    assert distance.shape == raster.depth.shape == raster.face_index.shape == shape
    assert points.numbers.shape == (0, 8)
    assert np.array_equal(hessian, np.zeros((count, 6, 6)))
    assert np.array_equal(gradient, np.zeros((count, 6)))


@pytest.mark.usefixtures("implementation")
def test_no_bodies_take_no_step(tree, bodies):
    step = damped_step(tree, **{name: array[:0] for name, array in bodies.items()})

    assert step.shape == (0, 3, 3)


def test_mask_without_rows_is_not_written_to(run_with_kernel):
    run_with_kernel(
        "from solver_core import render",
        "for width in range(2000): assert render.signed_distance(np.ones((3, 0, width), bool)).shape == (3, 0, width)",
    )


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("name", ["positions", "depth", "distance", "evidence", "intrinsics"])
def test_contour_points_of_fewer_numbers_than_pixels_are_refused(name, outlines):
    outlines[name] = outlines[name][:, 1:]

    with pytest.raises(ValueError, match="must have the shape"):
        contour_points(**outlines)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("name", ["positions", "axes", "residuals", "weights", "damping"])
def test_bodies_of_fewer_numbers_than_nodes_are_refused(name, tree, bodies):
    bodies[name] = bodies[name][..., 1:]

    with pytest.raises(ValueError, match=f"{name} must have the shape"):
        damped_step(tree, **bodies)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize(
    ("numbers", "robust"),
    [(np.ones((3, 7)), np.ones(1)), (np.ones((2, 8)), np.ones(1)), (np.ones((3, 8)), np.ones((1, 1)))],
)
def test_sums_over_missing_numbers_are_refused(numbers, robust):
    with pytest.raises(ValueError, match="must have the shape"):
        normal_equations(ContourPoints(np.zeros(3, int), numbers), robust)


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize(("depth", "face_index"), [((1, 8, 8), (1, 8, 7)), ((2, 8, 8), (2, 8, 8))])
def test_images_that_do_not_fit_the_batch_are_refused(depth, face_index, triangle):
    with pytest.raises(ValueError, match="must have the shape"):
        rasterize_into([triangle], FRONT, True, 1e-6, np.empty(depth, np.float32), np.empty(face_index, np.int32))


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("shape", [(1, 65537, 0), (1, 0, 2**40)])
def test_images_larger_than_the_kernel_counts_are_refused(shape):
    with pytest.raises(SetupError, match="up to 65536 x 65536 pixels"):
        render.signed_distance(np.empty(shape, bool))


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("faces", [[[0, 1, 3]], [[0, 1, -1]], [[0, 1, 2**32 + 2]]], ids=["beyond", "negative", "wraps to 2"])
@pytest.mark.parametrize("view", [FRONT, np.eye(4)[None]], ids=["in view", "behind the camera"])
def test_faces_of_missing_vertices_are_refused(faces, view, triangle):
    mesh = Mesh(triangle.vertices, np.array(faces, np.int32 if np.max(faces) < 2**31 else np.int64))

    with pytest.raises(SetupError, match="must index the 3 vertices"):
        render.rasterize([mesh], view, INTRINSICS, 8, 8)


@pytest.mark.usefixtures("implementation")
def test_mesh_without_vertices_covers_nothing():
    mesh = Mesh(np.empty((0, 3), np.float32), np.empty((0, 3), np.int32))

    assert (render.rasterize([mesh], FRONT, INTRINSICS, 8, 8).face_index == -1).all()


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("size", [(1, 6), (6, 1)])
def test_outline_in_a_row_of_pixels_has_finite_numbers(size):
    depth = np.full((1, *size), np.inf, np.float32)
    depth[0].flat[2:4] = 1
    distance = np.linspace(-1, 1, 6, dtype=np.float32).reshape(depth.shape)

    points = contour_points(np.zeros((1, 3)), depth, distance, np.ones_like(depth, bool), INTRINSICS)

    assert len(points.instance) == 2
    assert np.isfinite(points.numbers).all()


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ((0, 1), 5),  # the order names a node that is not there
        ((0, 1), -1),
        ((0, 1), 0),  # the root twice
        ((0, 1), 2),  # a child before its parent
        ((1, 1), 5),  # a parent that is not there
        ((1, 1), -1),  # two roots
        ((1, 1), 4),  # a parent that is no joint
        ((1, 0), 1),  # no root
        ((2, 1), 3),  # a joint that is not there
        ((2, 1), -2),
        ((2, 2), 0),  # a joint deeper than the tree is high
    ],
)
def test_kernel_refuses_numbers_that_are_no_tree(changed, value, use, bodies, tree):
    tree.indices[changed[0]][changed[1]] = value

    with use("kernel"), pytest.raises(ValueError, match="no tree"):
        damped_step(tree, **bodies)


def test_tree_stays_what_it_was_when_the_caller_changes_the_parents():
    parents = np.array([-1, 0, 1, 2])
    tree = JointTree(parents)

    parents[:] = [-1, 0, 0, 0]

    assert tree.parents.tolist() == [-1, 0, 1, 2]
    with pytest.raises(ValueError, match="read-only"):
        tree.parents[1] = 3


def test_skeleton_whose_parents_change_later_is_solved_as_it_was(run_with_kernel):
    run_with_kernel(
        "from solver_core.kernel.tree import JointTree, damped_step",
        "parents = np.arange(-1, 499)",
        "tree = JointTree(parents)",
        "tree.joints, tree.levels",
        "parents[1:] = np.arange(1, 500) % 499",  # a cycle, through nodes that were no joints
        "arrays = [np.ones(s) for s in ((4, 500, 3), (4, 499, 3, 3), (4, 500, 3), (4, 500), (4,))]",
        "assert np.isfinite(damped_step(tree, *arrays)).all()",
    )
