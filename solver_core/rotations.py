# SPDX-License-Identifier: Apache-2.0
"""Unit quaternions (wxyz, as in Blender), rotation vectors and matrices; any batch shape in front, dtype kept.

Names say target and source: `wxyz_from_rotvec`.  q and -q are the same rotation.
"""

from __future__ import annotations

import numpy as np

from solver_core.kernel.tree import cross

SMALL_ANGLE = 1e-4  # below this sin(a) / a loses digits in float32; the series is exact to float32 there

# Products, matrices and their inverses are linear in the products ww, wx, .. zz of components.  One matrix product for all
# entries is several times faster for single poses than a formula for each.
MULTIPLY = np.array(
    [
        [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1],
        [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1], [0, 0, -1, 0],
        [0, 0, 1, 0], [0, 0, 0, -1], [-1, 0, 0, 0], [0, 1, 0, 0],
        [0, 0, 0, 1], [0, 0, 1, 0], [0, -1, 0, 0], [-1, 0, 0, 0],
    ]
)  # fmt: skip


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Matrix minus identity from products, (16, 9), and four times the products minus identity from the matrix, (9, 16)."""
    matrix, products = np.zeros((4, 4, 3, 3)), np.zeros((3, 3, 4, 4))
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        w, x, y, z = 0, 1 + i, 1 + j, 1 + k
        matrix[x, x, [j, k], [j, k]] = -2
        matrix[x, y, [i, j], [j, i]] = 2
        matrix[w, z, [i, j], [j, i]] = [-2, 2]
        products[i, i, [w, x, y, z], [w, x, y, z]] = [1, 1, -1, -1]
        products[[[i], [j]], [[j], [i]], [x, y], [y, x]] = 1
        products[[[i], [j]], [[j], [i]], [w, z], [z, w]] = [[-1], [1]]
    return matrix.reshape(16, 9), products.reshape(9, 16)


MATRIX_FROM_PRODUCTS, PRODUCTS_FROM_MATRIX = _tables()


def multiply(left_wxyz: np.ndarray, right_wxyz: np.ndarray) -> np.ndarray:
    """(..., 4) quaternion of "first right, then left"."""
    return _linear_in_products(left_wxyz, right_wxyz, MULTIPLY)


def inverse(wxyz: np.ndarray) -> np.ndarray:
    """(..., 4) the opposite rotation."""
    return wxyz * np.array([1, -1, -1, -1], dtype=wxyz.dtype)


def normalized(wxyz: np.ndarray) -> np.ndarray:
    """(..., 4) scaled to unit length."""
    return wxyz / np.linalg.norm(wxyz, axis=-1, keepdims=True)


def rotate(wxyz: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(..., 3) vectors turned by (..., 4) quaternions."""
    w, axis = wxyz[..., :1], wxyz[..., 1:]
    twice_cross = 2 * cross(axis, vectors)
    return vectors + w * twice_cross + cross(axis, twice_cross)


def wxyz_from_rotvec(rotvec: np.ndarray) -> np.ndarray:
    """(..., 4) from (..., 3) rotation vectors (axis times angle, radians)."""
    angle = np.linalg.norm(rotvec, axis=-1, keepdims=True)
    is_small = angle < SMALL_ANGLE
    safe_angle = np.where(is_small, 1, angle)
    half_sinc = np.where(is_small, 0.5 - angle**2 / 48, np.sin(safe_angle / 2) / safe_angle)
    return np.concatenate([np.cos(angle / 2), half_sinc * rotvec], axis=-1)


def rotvec_from_wxyz(wxyz: np.ndarray) -> np.ndarray:
    """(..., 3) rotation vectors with angles in [0, pi] from (..., 4) unit quaternions."""
    wxyz = np.where(wxyz[..., :1] < 0, -wxyz, wxyz)
    sine = np.linalg.norm(wxyz[..., 1:], axis=-1, keepdims=True)
    is_small = sine < SMALL_ANGLE
    safe_sine = np.where(is_small, 1, sine)
    scale = np.where(is_small, 2 + sine**2 / 3, 2 * np.arctan2(sine, wxyz[..., :1]) / safe_sine)
    return scale * wxyz[..., 1:]


def matrix_from_wxyz(wxyz: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotation matrices from (..., 4) unit quaternions."""
    entries = _linear_in_products(wxyz, wxyz, MATRIX_FROM_PRODUCTS).reshape(*wxyz.shape[:-1], 3, 3)
    return entries + np.eye(3, dtype=wxyz.dtype)


def wxyz_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 4) unit quaternions with w >= 0 from (..., 3, 3) rotation matrices (Shepperd 1978: the largest pivot)."""
    # The sixteen products of components times four: row k is the quaternion times four times its k-th component.
    products = matrix.reshape(*matrix.shape[:-2], 9) @ PRODUCTS_FROM_MATRIX.astype(matrix.dtype)
    products = products.reshape(*matrix.shape[:-2], 4, 4) + np.eye(4, dtype=matrix.dtype)
    best = np.argmax(np.diagonal(products, axis1=-2, axis2=-1), axis=-1)[..., None, None]
    wxyz = normalized(np.take_along_axis(products, best, axis=-2)[..., 0, :])
    return np.where(wxyz[..., :1] < 0, -wxyz, wxyz)


def angle_between(a_wxyz: np.ndarray, b_wxyz: np.ndarray) -> np.ndarray:
    """(...) angle of the rotation from a to b, radians, in [0, pi]."""
    return np.linalg.norm(rotvec_from_wxyz(multiply(b_wxyz, inverse(a_wxyz))), axis=-1)


def random_wxyz(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """(*shape, 4) rotations uniform over SO(3)."""
    return normalized(rng.normal(size=(*shape, 4)))


def random_rotvec(rng: np.random.Generator, count: int, max_angle: float) -> np.ndarray:
    """(count, 3) rotation vectors: uniform axis, angle uniform in [-max_angle, max_angle]."""
    axis = rng.normal(size=(count, 3))
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    return axis * rng.uniform(-max_angle, max_angle, size=(count, 1))


def _linear_in_products(left: np.ndarray, right: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(..., K) sums of all products of a component of left and one of right (..., 4), by a table (16, K)."""
    products = left[..., :, None] * right[..., None, :]
    return products.reshape(*products.shape[:-2], 16) @ table.astype(products.dtype)
