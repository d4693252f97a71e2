# SPDX-License-Identifier: Apache-2.0
"""Arrays that take long to read or make, kept between runs in the user's cache folder."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.errors import ConfigError, SolverError
from solver_core.reading import read_arrays, reading
from solver_core.writing import make_folder, whole_file

logger = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]


def cached_arrays(
    name: str, make: Callable[[], Arrays], folder: Path | None = None, most_bytes: float = math.inf, own: str = ""
) -> Arrays:
    """What `make` gives, or what it gave before under this name, which changes with all that it depends on.

    folder: where it is kept; None = the user's.  most_bytes: of all that is kept there; where that is not enough, what was
    kept longest ago goes, but for names that begin with `own`, and then nothing more is kept.
    A cache that is damaged is made anew, and one that cannot be written is done without.
    """
    folder = folder or cache_folder()
    path = folder / f"{name}.npz"
    try:
        with reading(path, "cache", ConfigError):
            return read_arrays(path)
    except SolverError:  # there is none, or a disk damaged it
        arrays = make()
    content: dict[str, Any] = arrays  # NumPy's stub takes the names for options
    try:
        make_folder(path.parent)
        if not _has_room(folder, most_bytes - sum(array.nbytes for array in arrays.values()), own):
            return arrays
        with whole_file(path, "cache") as part:
            np.savez(part, **content)
    except SolverError as error:
        logger.warning("%s; it will be read again next time", error)
    return arrays


def _has_room(folder: Path, most_bytes: float, own: str) -> bool:
    """Whether the arrays kept in a folder are no more than this, after as many of others as need be are removed."""
    if most_bytes == math.inf:
        return True
    kept = []
    for path in folder.glob("*.npz"):
        with suppress(FileNotFoundError):  # another process may make room, too
            kept.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    size = sum(of_one for _, of_one, _ in kept)
    for _, of_one, path in sorted(kept):
        if size > most_bytes and not path.name.startswith(own):
            path.unlink(missing_ok=True)
            size -= of_one
    return size <= most_bytes


def cache_folder() -> Path:
    """XDG_CACHE_HOME or .cache in the user's home, or the folder of temporary files for a user who has none."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        base = Path(tempfile.gettempdir())
    return base / "solver_core"
