# SPDX-License-Identifier: Apache-2.0
"""What the renderer's tests share."""

from collections.abc import Callable

import numpy as np
import pytest

from solver_core.mesh import Mesh


@pytest.fixture(scope="session")
def mesh_at_pixels() -> Callable[..., Mesh]:
    """Mesh whose vertices are given as (column, row, depth), as pixel_view sees them."""

    def mesh_at_pixels(corners: list, faces: list | None = None) -> Mesh:
        column, row, depth = np.array(corners, dtype=np.float64).T
        vertices = np.stack([(column - 4) * depth / 8, (4 - row) * depth / 8, -depth], axis=1)
        return Mesh.checked(vertices, np.array(faces or [[0, 1, 2]]))

    return mesh_at_pixels


@pytest.fixture(scope="session")
def pixel_view() -> tuple[np.ndarray, np.ndarray, int, int]:
    """Camera at the object's origin with an 8 x 8 image and focal lengths of 8: pose, intrinsics, height, width."""
    return np.eye(4)[None], np.array([8.0, 8.0, 4.0, 4.0]), 8, 8
