"""Fixtures that all tests share."""

import os
from pathlib import Path

# Before NumPy is loaded: on a busy machine the threads of its linear algebra wait for each other far longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

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
