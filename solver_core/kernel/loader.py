"""The compiled kernel as a library of ctypes: found beside this file, loaded once, absent without harm."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)

KERNEL_VERSION = 2  # of the interface and results; equals KERNEL_VERSION in kernel.h
CORNER_BYTES = 16  # sizeof(Corner) and sizeof(Parabola) in kernel.h
PARABOLA_BYTES = 24
SUBTREE_NUMBERS = 16  # doubles in Subtree and in ContourPoint in kernel.h
CONTOUR_NUMBERS = 8


def kernel_path() -> Path:
    """Where this machine's kernel is, if it is installed."""
    from solver_core.kernel import build  # here, so that `python -m solver_core.kernel.build` is its first import

    return Path(__file__).with_name(build.binary_name(build.this_machine()))


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernel, or None where it is missing, does not fit or SOLVER_CORE_KERNEL=off.  Says once why it is None."""
    if os.environ.get("SOLVER_CORE_KERNEL") == "off":
        logger.info("SOLVER_CORE_KERNEL=off: rendering with NumPy")
        return None
    try:
        return load(kernel_path())
    except (OSError, AttributeError) as error:
        logger.warning("no compiled kernel (%s); NumPy does its work, with the same results but slower", error)
        return None


def load(path: Path) -> ctypes.CDLL:
    """The kernel in a file.  Raises OSError if it cannot be loaded or has another version."""
    if not path.exists():
        raise OSError(f"{path.name} is not installed")
    kernel = ctypes.CDLL(str(path))
    kernel.solver_core_kernel_version.restype = ctypes.c_int32
    kernel.solver_core_kernel_version.argtypes = []
    version = kernel.solver_core_kernel_version()
    if version != KERNEL_VERSION:
        raise OSError(f"{path.name} has version {version}, this solver_core needs {KERNEL_VERSION}")
    address, int32, int64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
    kernel.solver_core_rasterize.restype = int64
    kernel.solver_core_rasterize.argtypes = [
        *(int64, address, address, int32, ctypes.c_double, int32, int32),
        *(address, address, address),
    ]
    kernel.solver_core_signed_distance.restype = None
    kernel.solver_core_signed_distance.argtypes = [int64, address, int32, int32, address, address, address]
    kernel.solver_core_damped_step.restype = None
    kernel.solver_core_damped_step.argtypes = [int64, int32, int32, int32, *[address] * 10]
    kernel.solver_core_contour_points.restype = int64
    kernel.solver_core_contour_points.argtypes = [int64, int32, int32, *[address] * 5, int64, address, address]
    kernel.solver_core_normal_equations.restype = None
    kernel.solver_core_normal_equations.argtypes = [int64, address, address, int64, address, address, address]
    return kernel
