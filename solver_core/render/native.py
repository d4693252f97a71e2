"""The compiled kernel behind ctypes: found beside this file, loaded once, absent without harm."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from solver_core.errors import SetupError
from solver_core.mesh import Mesh

logger = logging.getLogger(__name__)

KERNEL_VERSION = 2  # of the interface and results; equals KERNEL_VERSION in kernel.c
CORNER_BYTES = 16  # sizeof(Corner) and sizeof(Parabola) in kernel.c
PARABOLA_BYTES = 24
SUBTREE_NUMBERS = 16  # doubles in Subtree in kernel.c
CONTOUR_NUMBERS = 8  # doubles in ContourPoint in kernel.c


def kernel_path() -> Path:
    """Where this machine's kernel is, if it is installed."""
    from solver_core.render import build  # here, so that `python -m solver_core.render.build` is its first import

    return Path(__file__).with_name(build.binary_name(build.this_machine()))


@functools.cache
def kernel() -> ctypes.CDLL | None:
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
    library = ctypes.CDLL(str(path))
    library.solver_core_kernel_version.restype = ctypes.c_int32
    library.solver_core_kernel_version.argtypes = []
    version = library.solver_core_kernel_version()
    if version != KERNEL_VERSION:
        raise OSError(f"{path.name} has version {version}, this solver_core needs {KERNEL_VERSION}")
    address, int32, int64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
    library.solver_core_rasterize.restype = int64
    library.solver_core_rasterize.argtypes = [
        *(int64, address, address, int32, ctypes.c_double, int32, int32),
        *(address, address, address),
    ]
    library.solver_core_signed_distance.restype = None
    library.solver_core_signed_distance.argtypes = [int64, address, int32, int32, address, address, address]
    library.solver_core_damped_step.restype = None
    library.solver_core_damped_step.argtypes = [int64, int32, int32, int32, *[address] * 10]
    library.solver_core_contour_points.restype = int64
    library.solver_core_contour_points.argtypes = [int64, int32, int32, *[address] * 5, int64, address, address]
    library.solver_core_normal_equations.restype = None
    library.solver_core_normal_equations.argtypes = [int64, address, address, int64, address, address, address]
    return library


def rasterize_into(
    library: ctypes.CDLL,
    meshes: Sequence[Mesh],
    projections: np.ndarray,
    is_perspective: bool,
    near_fraction: float,
    depth: np.ndarray,
    face_index: np.ndarray | None,
) -> None:
    """Fills depth and, unless None, face_index, both (B, H, W).  As raster.rasterize_into, with the kernel."""
    count, height, width = depth.shape
    arrays = [
        (np.ascontiguousarray(mesh.vertices, np.float32), np.ascontiguousarray(mesh.faces, np.int32)) for mesh in meshes
    ]  # the same arrays, unless a Mesh breaks its own rules
    table = np.array(
        [(vertices.ctypes.data, len(vertices), faces.ctypes.data, len(faces)) for vertices, faces in arrays], np.int64
    )  # (B, 4), MeshArrays in kernel.c
    corners = np.empty(max(len(vertices) for vertices, _ in arrays) * CORNER_BYTES, dtype=np.uint8)
    failed = library.solver_core_rasterize(
        *(count, table.ctypes.data, projections.ctypes.data, is_perspective, near_fraction, height, width),
        *(corners.ctypes.data, depth.ctypes.data, None if face_index is None else face_index.ctypes.data),
    )
    if failed >= 0:
        raise SetupError(f"mesh faces must index the {len(meshes[failed].vertices)} vertices from 0")


def signed_distance_into(library: ctypes.CDLL, masks: np.ndarray, distance: np.ndarray) -> None:
    """Fills distance.  Both (B, H, W), masks of bool.  As distance.signed_distance_into, with the kernel."""
    count, height, width = masks.shape
    scratch = np.empty(height * width, dtype=np.int32)
    envelope = np.empty(width * PARABOLA_BYTES, dtype=np.uint8)
    library.solver_core_signed_distance(
        *(count, masks.ctypes.data, height, width),
        *(scratch.ctypes.data, envelope.ctypes.data, distance.ctypes.data),
    )


def contour_points(
    library: ctypes.CDLL,
    positions: np.ndarray,
    depth: np.ndarray,
    distance: np.ndarray,
    evidence: np.ndarray,
    intrinsics: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Instance (P,) and numbers (P, 8).  As contour.contour_points, with the kernel; positions: (B, 3) of the objects."""
    count, height, width = depth.shape
    assert distance.shape == evidence.shape == depth.shape, "the kernel would read beyond them"
    assert len(positions) == len(intrinsics) == count
    images = [
        np.ascontiguousarray(depth, np.float32),
        np.ascontiguousarray(distance, np.float32),
        np.ascontiguousarray(evidence),
    ]
    cameras = [np.ascontiguousarray(positions, np.float64), np.ascontiguousarray(intrinsics, np.float64)]
    addresses = [array.ctypes.data for array in (*images, *cameras)]
    capacity = 8 * count * (height + width)  # most outlines are shorter; if not, once more
    while True:
        numbers, instance = np.empty((capacity, CONTOUR_NUMBERS)), np.empty(capacity, np.int64)
        found = library.solver_core_contour_points(
            *(count, height, width, *addresses, capacity, numbers.ctypes.data, instance.ctypes.data)
        )
        if found <= capacity:
            return instance[:found], numbers[:found]
        capacity = found


def normal_equations(
    library: ctypes.CDLL, instance: np.ndarray, numbers: np.ndarray, robust_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hessian (B, 6, 6) and gradient (B, 6).  As contour.normal_equations, without damping, with the kernel."""
    robust = np.ascontiguousarray(robust_px, np.float64)
    hessian, gradient = np.zeros((len(robust), 6, 6)), np.zeros((len(robust), 6))
    arrays = (np.ascontiguousarray(numbers), np.ascontiguousarray(instance))
    library.solver_core_normal_equations(
        *(len(numbers), *(array.ctypes.data for array in arrays), len(robust)),
        *(array.ctypes.data for array in (robust, hessian, gradient)),
    )
    return hessian, gradient


class JointTree(NamedTuple):
    """Which nodes hang from which, all (N,) int32; height counts the joints from the root down to the lowest.

    order: nodes, parents first.  parents: -1 for the root.  joint_of_node: -1 for end sites.
    """

    order: np.ndarray
    parents: np.ndarray
    joint_of_node: np.ndarray
    height: int


def damped_step_into(library: ctypes.CDLL, tree: JointTree, bodies: Sequence[np.ndarray], step: np.ndarray) -> None:
    """Fills step (B, J, 3).  As least_squares.damped_step, with the kernel.

    bodies: positions (B, N, 3), axes (B, J, 3, 3), residuals (B, N, 3), weights (B, N) and damping (B,).  All are float64 and
    contiguous.
    """
    (count, num_joints, _), num_nodes = step.shape, len(tree.parents)
    workspace = np.empty(SUBTREE_NUMBERS * num_nodes + 9 * (num_joints + 1) * tree.height)
    arrays = (tree.order, tree.parents, tree.joint_of_node, *bodies, workspace, step)
    library.solver_core_damped_step(count, num_nodes, num_joints, tree.height, *(array.ctypes.data for array in arrays))
