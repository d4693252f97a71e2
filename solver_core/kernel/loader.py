# SPDX-License-Identifier: Apache-2.0
"""The compiled kernel as a library of ctypes: found beside this file, loaded once, absent without harm.

What kernel.h declares is declared here again, with types that are checked at each call: an array of another type, number of
axes or memory layout is refused before C sees it.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from solver_core.errors import SetupError

logger = logging.getLogger(__name__)

KERNEL_VERSION = 11  # of the interface and results; equals KERNEL_VERSION in kernel.h
HOW_TO_BUILD = "`python -m pip install ziglang` and `python -m solver_core.kernel.build` make one"
MAX_SIDE = 65536  # pixels of an image; the rasteriser clips what is farther from its corner (GUARD in raster.c)

# The structures of kernel.h, and all in the order of solver_core_structure_sizes.
MESH_ARRAYS = np.dtype([("vertices", np.uintp), ("num_vertices", np.int64), ("faces", np.uintp), ("num_faces", np.int64)])
CORNER = np.dtype([("column", np.int32), ("row", np.int32), ("nearness", np.float64)])
PARABOLA = np.dtype([("apex", np.int32), ("gap", np.int32), ("height", np.int64), ("rise", np.int64)])
SUBTREE = np.dtype(
    [("mass", np.float64), *[(n, np.float64, k) for n, k in (("first", 3), ("second", 6), ("pull", 3), ("torque", 3))]]
)
OUTLINE = np.dtype([(name, np.int32) for name in ("row", "column", "other_row", "other_column")])
CONTOUR_POINT = np.dtype((np.float64, 8))  # residual, weight and jacobian
OUTLINE_POINT = np.dtype((np.float64, 6))  # place and normal
STRUCTURES = (
    MESH_ARRAYS,
    CORNER,
    PARABOLA,
    SUBTREE,
    OUTLINE,
    CONTOUR_POINT,
    OUTLINE_POINT,
)  # in the order of solver_core_structure_sizes


class Array(NamedTuple):
    """An argument of a C function: a contiguous array of a type and a number of axes.

    ctypes asks from_param at each call what to pass; what np.ctypeslib.ndpointer does takes twice as long.
    """

    dtype: np.dtype
    num_axes: int
    is_written: bool = False
    may_be_none: bool = False

    def from_param(self, array: np.ndarray | None) -> ctypes.c_void_p | None:
        """Address of the array, or a null pointer.  Raises TypeError if it is not as declared."""
        if array is None and self.may_be_none:
            return None
        if not isinstance(array, np.ndarray) or array.dtype != self.dtype or array.ndim != self.num_axes:
            found = f"{array.ndim} of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"needs an array with {self.num_axes} axes of {self.dtype}, got {found}")
        if not array.flags.carray if self.is_written else not (array.flags.c_contiguous and array.flags.aligned):
            raise TypeError(f"needs a contiguous array{' to write to' if self.is_written else ''}, got\n{array.flags}")
        return ctypes.c_void_p(array.ctypes.data)


def _given(dtype: npt.DTypeLike, num_axes: int, may_be_none: bool = False) -> Array:
    return Array(np.dtype(dtype), num_axes, False, may_be_none)


def _filled(dtype: npt.DTypeLike, num_axes: int, may_be_none: bool = False) -> Array:
    return Array(np.dtype(dtype), num_axes, True, may_be_none)


_INT32, _INT64, _DOUBLE = ctypes.c_int32, ctypes.c_int64, ctypes.c_double

# Result and arguments of each function, as in kernel.h.
FUNCTIONS = {
    "solver_core_rasterize": (
        _INT64,
        [
            *(_INT64, _given(MESH_ARRAYS, 1), _given(np.float64, 3), _INT32, _DOUBLE, _INT32, _INT32),
            *(_filled(CORNER, 1), _filled(np.float32, 3), _filled(np.int32, 3, may_be_none=True)),
        ],
    ),
    "solver_core_silhouettes": (
        _INT32,
        [
            *(_INT64, _given(MESH_ARRAYS, 1), _given(np.float64, 3), _DOUBLE, _INT32, _INT32),
            *(_filled(CORNER, 1), _filled(np.bool_, 3)),
        ],
    ),
    "solver_core_silhouette_sums": (
        None,
        [
            *(_INT64, _INT32, _INT32, _given(np.bool_, 3), _given(np.uint8, 2), _given(np.int8, 2)),
            *(_given(np.float32, 2), _given(np.float32, 2), _INT32),
            *(_filled(np.int32, 2), _filled(np.float64, 2)),
        ],
    ),
    "solver_core_signed_distance": (
        None,
        [
            *(_INT64, _given(np.bool_, 3), _INT32, _INT32),
            *(_filled(np.int32, 2), _filled(PARABOLA, 1), _filled(np.float32, 3)),
        ],
    ),
    "solver_core_damped_step": (
        _INT32,
        [
            *(_INT64, _INT32, _INT32, _INT32, *[_given(np.int32, 1)] * 3),
            *(
                _given(np.float64, 3),
                _given(np.float64, 4),
                _given(np.float64, 3),
                _given(np.float64, 2),
                _given(np.float64, 1),
            ),
            *(_filled(np.int32, 1), _filled(SUBTREE, 1), _filled(np.float64, 4), _filled(np.float64, 3)),
        ],
    ),
    "solver_core_contour_points": (
        _INT64,
        [
            *(_INT64, _INT32, _INT32, _given(np.float32, 3), _given(np.float32, 3), _given(np.bool_, 3)),
            *(_given(np.float64, 2), _given(np.float64, 2), _filled(np.uint8, 2), _filled(OUTLINE, 1)),
            *(_INT64, _filled(np.float64, 2), _filled(np.int64, 1)),
        ],
    ),
    "solver_core_normal_equations": (
        _INT64,
        [
            *(_INT64, _given(np.float64, 2), _given(np.int64, 1), _INT64, _given(np.float64, 1)),
            *(_filled(np.float64, 3), _filled(np.float64, 2)),
        ],
    ),
    "solver_core_misfit": (
        None,
        [
            *(_INT64, _INT32, _INT32, _given(np.float32, 3), _given(np.float32, 3), _given(np.bool_, 3)),
            *(_given(np.float32, 3), _INT32, _DOUBLE),
            *(_filled(np.uint8, 2), _filled(OUTLINE, 1), _filled(np.float64, 2)),
        ],
    ),
    "solver_core_outline_points": (
        _INT64,
        [
            *(_INT64, _given(np.float32, 2), _INT64, _given(np.int32, 2)),
            *(_given(np.int32, 1), _INT64, _given(np.int32, 1)),
            *(_given(np.float64, 2), _given(np.float64, 1), _INT32, _INT32, _DOUBLE),
            *(_filled(np.float64, 2), _filled(np.int32, 2), _filled(np.int8, 1), _INT64),
            *(_filled(np.float64, 2), _filled(np.int32, 2), _filled(np.int32, 1), _filled(np.bool_, 2)),
            _filled(np.float64, 2),
        ],
    ),
    "solver_core_follow_lines": (
        _DOUBLE,
        [
            *(_INT64, _given(np.float64, 2), _given(np.float64, 1), _INT32, _INT32, _given(np.uint8, 2), _given(np.float32, 1)),
            *(_DOUBLE, _INT32, _DOUBLE, _DOUBLE, _DOUBLE, _INT32, _filled(np.float64, 2), _filled(np.float64, 2)),
        ],
    ),
    "solver_core_look_up": (
        None,
        [_INT32, _INT32, _INT64, ctypes.c_void_p, _given(np.uint8, 1), _filled(np.uint8, 2)],
    ),
    "solver_core_mask_spans": (None, [_INT64, _INT32, _INT32, _given(np.bool_, 3), _filled(np.int32, 3)]),
    "solver_core_warp": (
        None,
        [
            *(_INT64, _INT32, _INT32, _given(np.float32, 3), _given(np.bool_, 3, may_be_none=True)),
            *(_given(np.float64, 3), _given(np.int32, 1), _INT32, _filled(np.float32, 2), _filled(np.float64, 2)),
            *(_filled(np.float32, 3), _filled(np.bool_, 3)),
        ],
    ),
    "solver_core_mask_channels": (
        None,
        [
            *(_INT64, _INT64, *[_given(np.float32, 3)] * 4, _given(np.bool_, 3)),
            *(_given(np.float64, 1), ctypes.c_float, _filled(np.float32, 4)),
        ],
    ),
    "solver_core_unit_vertices": (
        None,
        [_INT64, _given(MESH_ARRAYS, 1), _given(np.float64, 3), _filled(np.float32, 2), _filled(np.float64, 2)],
    ),
    "solver_core_unfilter": (
        _INT64,
        [_INT64, _INT64, _INT64, _given(np.uint8, 2), _given(np.uint8, 1), _filled(np.uint8, 2)],
    ),
}


def kernel_path() -> Path:
    """Where the kernel is, if it is installed: beside this file, or where SOLVER_CORE_KERNEL says."""
    from solver_core.kernel import build  # here, so that `python -m solver_core.kernel.build` is its first import

    if os.environ.get("SOLVER_CORE_KERNEL"):
        return Path(os.environ["SOLVER_CORE_KERNEL"])
    return Path(__file__).with_name(build.binary_name(build.this_machine()))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernel, or None where it is missing, does not fit or SOLVER_CORE_KERNEL=off.  Says once why it is None."""
    if os.environ.get("SOLVER_CORE_KERNEL") == "off":
        logger.info("SOLVER_CORE_KERNEL=off: NumPy does the work of the compiled kernel")
        return None
    try:
        return load(kernel_path())
    except (OSError, AttributeError) as error:
        logger.warning(
            "no compiled kernel (%s); NumPy does its work, with the same results but slower; %s", error, HOW_TO_BUILD
        )
        return None


def load(path: Path) -> ctypes.CDLL:
    """The kernel in a file.

    Raises OSError if it cannot be loaded, has another version or lays out a structure otherwise than this file.
    """
    if not path.exists():
        raise OSError(f"{path.name} is not installed")
    kernel = ctypes.CDLL(str(path))
    version = kernel.solver_core_kernel_version()
    if version != KERNEL_VERSION:
        raise OSError(f"{path.name} has version {version}, this solver_core needs {KERNEL_VERSION}")
    sizes = np.zeros(len(STRUCTURES), np.int64)
    kernel.solver_core_structure_sizes(_filled(np.int64, 1).from_param(sizes))
    expected = [structure.itemsize for structure in STRUCTURES]
    if sizes.tolist() != expected:
        raise OSError(f"{path.name} has structures of {sizes.tolist()} bytes, this solver_core needs {expected}")
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(kernel, name)
        function.restype, function.argtypes = result, arguments
    return kernel


def check_shapes(**arrays: tuple[np.ndarray, tuple[int, ...]]) -> None:
    """Raises ValueError unless each array has the shape beside it; what C is told of sizes holds for all arrays of a call."""
    for name, (array, shape) in arrays.items():
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {array.shape}")


def check_image_size(height: int, width: int) -> None:
    """Raises SetupError if an image is larger than the kernel can count."""
    if not (0 <= height <= MAX_SIDE and 0 <= width <= MAX_SIDE):
        raise SetupError(f"an image may have up to {MAX_SIDE} x {MAX_SIDE} pixels, got {height} x {width}")
