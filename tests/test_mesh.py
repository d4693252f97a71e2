# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core.errors import SetupError
from solver_core.mesh import Mesh

TRIANGLE = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
FACES = np.array([[0, 1, 2]])


def test_checked_gives_contiguous_float32_and_int32():
    mesh = Mesh.checked(np.asfortranarray(TRIANGLE), FACES.astype(np.uint64))

    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float32, np.int32)
    assert mesh.vertices.flags.c_contiguous
    assert mesh.faces.flags.c_contiguous


def test_checked_takes_lists():
    np.testing.assert_array_equal(Mesh.checked(TRIANGLE.tolist(), [[0, 1, 2]]).faces, FACES)


def test_bounds_leave_out_vertices_without_a_face():
    mesh = Mesh.checked(np.concatenate([TRIANGLE, [[9, 9, 9]]]), FACES)

    np.testing.assert_array_equal(mesh.bounds, [[0, 0, 0], [1, 1, 0]])


@pytest.mark.parametrize(
    ("vertices", "faces", "sentence"),
    [
        pytest.param(TRIANGLE[:, :2], FACES, r"vertices must be \(V, 3\) numbers, got shape \(3, 2\)", id="flat vertices"),
        pytest.param(TRIANGLE.astype(str), FACES, "vertices must be .* numbers", id="vertices of text"),
        pytest.param(TRIANGLE * np.nan, FACES, "vertices must be finite, 9 coordinates", id="NaN"),
        pytest.param(TRIANGLE, [[0, 1, 2, 0]], r"faces must be \(F, 3\) integers.*triangulate", id="quads"),
        pytest.param(TRIANGLE, FACES * 1.0, "faces must be .* integers, got .* float64", id="faces of floats"),
        pytest.param(TRIANGLE, FACES + 1, "index the 3 vertices from 0, got indices from 1 to 3", id="index too large"),
        pytest.param(TRIANGLE, FACES - 1, "got indices from -1 to 1", id="index negative"),
        pytest.param(TRIANGLE, np.empty((0, 3), int), "has no faces", id="no faces"),
        pytest.param(np.empty((0, 3)), FACES, "index the 0 vertices", id="no vertices"),
    ],
)
def test_checked_refuses_what_is_no_triangle_mesh(vertices, faces, sentence):
    with pytest.raises(SetupError, match=sentence):
        Mesh.checked(vertices, faces)


def test_compact_mesh_has_the_same_triangles_without_other_vertices(rng):
    mesh = Mesh.checked(rng.normal(size=(9, 3)), [[8, 2, 4], [2, 4, 6]])

    compact = mesh.compact()

    assert len(compact.vertices) == 4
    np.testing.assert_array_equal(compact.vertices[compact.faces], mesh.vertices[mesh.faces])
    assert compact.compact() is compact
