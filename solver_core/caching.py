# SPDX-License-Identifier: Apache-2.0
"""Arrays that take long to read or make, kept between runs in the user's cache folder."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.errors import ConfigError, SolverError
from solver_core.reading import read_arrays, reading
from solver_core.writing import make_folder, whole_file

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


def cached_arrays(name: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, or what it gave before under this name, which changes with all that it depends on.

    A cache that is damaged is made anew, and one that cannot be written is done without.
    """
    path = cache_folder() / f"{name}.npz"
    try:
        with reading(path, "cache", ConfigError):
            return read_arrays(path)
    except SolverError:  # there is none, or a disk damaged it
        arrays = make()
    content: dict[str, Any] = arrays  # NumPy's stub takes the names for options
    try:
        make_folder(path.parent)
        with whole_file(path, "cache") as part:
            np.savez(part, **content)
    except SolverError as error:
        logger.warning("%s; it will be read again next time", error)
    return arrays


def cache_folder() -> Path:
    """XDG_CACHE_HOME or .cache in the user's home, or the folder of temporary files for a user who has none."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        base = Path(tempfile.gettempdir())
    return base / "solver_core"
