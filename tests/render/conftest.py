"""What the renderer's tests share: the kernel as its source is now, and both implementations behind one name."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from solver_core.mesh import Mesh
from solver_core.render import build, native


@pytest.fixture(scope="session")
def built_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build.build_kernel(tmp_path_factory.mktemp("kernel"))
    except build.BuildError as error:
        pytest.skip(f"no compiled kernel to compare with: {error}")


@pytest.fixture(scope="session")
def use(request: pytest.FixtureRequest) -> Callable[[str], contextlib.AbstractContextManager]:
    """A context in which the public functions run with "kernel" or with "numpy"."""

    @contextlib.contextmanager
    def use(name: str) -> Iterator[None]:
        library = native.load(request.getfixturevalue("built_kernel")) if name == "kernel" else None
        with mock.patch.object(native, "kernel", return_value=library):
            yield

    return use


@pytest.fixture(params=["kernel", "numpy"])
def implementation(request: pytest.FixtureRequest, use) -> Iterator[str]:
    """Runs the test once with each implementation."""
    with use(request.param):
        yield request.param


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
