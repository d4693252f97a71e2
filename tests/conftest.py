# SPDX-License-Identifier: Apache-2.0
"""Fixtures that all tests share."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

# Before NumPy is loaded: on a busy machine the threads of its linear algebra wait for each other far longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from solver_core.kernel import build, loader

# The same examples on every run; no deadline, because the first example pays for what is loaded late.
settings.register_profile("solver_core", derandomize=True, deadline=None)
settings.load_profile("solver_core")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data folder: SOLVER_CORE_DATA, else shared/data beside the repository."""
    folder = Path(os.environ.get("SOLVER_CORE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (folder / "meshes" / "manifest.csv").exists():
        pytest.skip(f"no data folder at {folder}; set SOLVER_CORE_DATA")
    return folder


@pytest.fixture(scope="session")
def demo_dir() -> Path:
    """The example that ships: model, mask, camera, start and true pose."""
    return Path(__file__).resolve().parents[1] / "assets" / "demo"


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
        library = loader.load(request.getfixturevalue("built_kernel")) if name == "kernel" else None
        with mock.patch.object(loader, "library", return_value=library):
            yield

    return use


@pytest.fixture(params=["kernel", "numpy"])
def implementation(request: pytest.FixtureRequest, use) -> Iterator[str]:
    """Runs the test once with each implementation."""
    with use(request.param):
        yield request.param
