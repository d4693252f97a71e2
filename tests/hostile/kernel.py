# SPDX-License-Identifier: Apache-2.0
"""Calls of what is compiled, with numbers and sizes at every edge; of most use with the kernel that has sanitizers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from solver_core.errors import SolverError
from solver_core.kernel.contour import contour_points, normal_equations
from solver_core.kernel.crop import mask_channels, mask_spans, warp
from solver_core.kernel.distance import signed_distance
from solver_core.kernel.raster import rasterize_into, silhouettes
from solver_core.kernel.silhouette import silhouette_sums
from solver_core.kernel.tree import JointTree, damped_step
from solver_core.kernel.vertices import unit_meshes
from solver_core.mesh import Mesh

from .guard import guarded

EDGES = (
    0.0,
    -0.0,
    1e-45,
    -1e-30,
    0.5,
    1e4,
    65536.0,
    -65537.0,
    2**31,
    -(2.0**63),
    1e15,
    1e30,
    -3e38,
    1e308,
    np.nan,
    np.inf,
    -np.inf,
)
SIDES = st.sampled_from((0, 1, 2, 3, 7, 16, 33))
Case = dict[str, Any]


@st.composite
def numbers(draw: st.DrawFn, shape: tuple[int, ...], dtype: type = np.float64) -> np.ndarray:
    """Normal numbers, some of which are at an edge."""
    array = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=shape)
    for _ in range(draw(st.integers(0, 4)) if array.size else 0):
        array.flat[draw(st.integers(0, array.size - 1)) :: draw(st.integers(1, 9))] = draw(st.sampled_from(EDGES))
    with np.errstate(over="ignore"):
        return array.astype(dtype)


@st.composite
def rasterized(draw: st.DrawFn) -> Case:
    count, height, width = draw(st.integers(0, 3)), draw(SIDES), draw(SIDES)
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12)), min_size=count, max_size=count))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    most = draw(st.sampled_from((0, 0, 0, 1, 2**31 - 1)))  # by which an index may be beyond the vertices
    return {
        "vertices": [draw(numbers((vertices, 3), np.float32)) for vertices, _ in sizes],
        "faces": [rng.integers(-min(most, 1), vertices + most, (faces, 3)).astype(np.int32) for vertices, faces in sizes],
        "projections": draw(numbers((count, 4, 4))),
        "is_perspective": draw(st.booleans()),
        "near_fraction": draw(st.sampled_from((1e-3, *EDGES))),
        "size": (count, height, width),
        "is_indexed": draw(st.booleans()),
    }


def _rasterize(case: Case) -> None:
    depth = np.zeros(case["size"], np.float32)
    face_index = np.zeros(case["size"], np.int32) if case["is_indexed"] else None
    meshes = [Mesh(vertices, faces) for vertices, faces in zip(case["vertices"], case["faces"], strict=True)]
    rasterize_into(meshes, case["projections"], case["is_perspective"], case["near_fraction"], depth, face_index)
    if face_index is not None:
        for index, mesh in zip(face_index, meshes, strict=True):
            assert index.size == 0 or (index.min() >= -1 and index.max() < len(mesh.faces))
    height, width = case["size"][1:]
    labels, edges = np.arange(height * width).reshape(height, width) % 300, np.zeros((height, width), np.float32)
    for mesh in meshes:
        seen = silhouettes(mesh, case["projections"], case["near_fraction"], height, width)
        silhouette_sums(seen, labels, labels - 150, edges[:, 1:], edges[1:], 200)


@st.composite
def masks(draw: st.DrawFn) -> Case:
    shape = (draw(st.integers(0, 3)), draw(SIDES), draw(SIDES))
    share = draw(st.sampled_from((0.0, 0.01, 0.5, 1.0)))
    return {"masks": np.random.default_rng(draw(st.integers(0, 2**32 - 1))).random(shape) < share}


def _signed_distance(case: Case) -> None:
    assert not np.isnan(signed_distance(case["masks"])).any()


@st.composite
def bodies(draw: st.DrawFn) -> Case:
    count = draw(st.integers(0, 3))
    parents = [-1] + [draw(st.integers(0, node)) for node in range(draw(st.integers(1, 20)))]
    order = np.array(draw(st.permutations(range(len(parents)))))
    shuffled = np.empty(len(parents), int)
    shuffled[order] = [-1 if parent < 0 else order[parent] for parent in parents]
    tree = JointTree(shuffled)
    joints, nodes = tree.num_joints, tree.num_nodes
    shapes = {"positions": (nodes, 3), "axes": (joints, 3, 3), "residuals": (nodes, 3), "weights": (nodes,), "damping": ()}
    return {"tree": tree} | {name: draw(numbers((count, *shape))) for name, shape in shapes.items()}


def _damped_step(case: Case) -> None:
    with np.errstate(all="ignore"):
        damped_step(**case)


@st.composite
def outlines(draw: st.DrawFn) -> Case:
    shape = (draw(st.integers(0, 3)), draw(SIDES), draw(SIDES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "positions": draw(numbers((shape[0], 3))),
        "depth": np.where(rng.random(shape) < 0.5, draw(numbers(shape, np.float32)), np.float32(np.inf)),
        "distance": draw(numbers(shape, np.float32)),
        "evidence": rng.random(shape) < 0.9,
        "intrinsics": draw(numbers((shape[0], 4))),
        "robust_px": draw(numbers((max(0, shape[0] - draw(st.integers(0, 1))),))),
    }


def _contour(case: Case) -> None:
    robust_px = case["robust_px"]
    with np.errstate(all="ignore"):
        points = contour_points(**{name: value for name, value in case.items() if name != "robust_px"})
        try:
            normal_equations(points, robust_px)
        except IndexError:  # of instances that have no number in robust_px
            assert points.instance.max() >= len(robust_px)


@st.composite
def seen_masks(draw: st.DrawFn) -> Case:
    shape = (draw(st.integers(0, 3)), draw(SIDES.filter(bool)), draw(SIDES.filter(bool)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "coverage": draw(numbers(shape, np.float32)),
        "known": draw(st.sampled_from((None, rng.random(shape) < 0.5))),
        "homographies": draw(numbers((shape[0], 3, 3))),
        "reductions": rng.integers(1, draw(st.sampled_from((2, 99))), shape[0]),
        "size": draw(SIDES),
    }


def _warp(case: Case) -> None:
    with np.errstate(all="ignore"):
        seen, evidence = warp(**case)
    mask_spans(evidence)
    mask_channels(seen, seen, seen, seen, evidence, np.zeros(len(seen)), 16.0)


@st.composite
def transformed(draw: st.DrawFn) -> Case:
    sizes = draw(st.lists(st.integers(1, 9), max_size=3))
    meshes = [Mesh(draw(numbers((size, 3), np.float32)), np.zeros((1, 3), np.int32)) for size in sizes]
    return {"meshes": meshes, "matrices": draw(numbers((len(sizes), 3, 3)))}


def _unit_meshes(case: Case) -> None:
    with np.errstate(all="ignore"):
        unit_meshes(**case)


def _run(function: Callable[[Case], None]) -> Callable[[Case, Path], None]:
    def run(case: Case, folder: Path) -> None:
        with guarded(), contextlib.suppress(SolverError):
            function(case)

    return run


KERNEL = {
    "kernel.rasterize": (rasterized, _run(_rasterize)),
    "kernel.signed_distance": (masks, _run(_signed_distance)),
    "kernel.damped_step": (bodies, _run(_damped_step)),
    "kernel.contour": (outlines, _run(_contour)),
    "kernel.warp": (seen_masks, _run(_warp)),
    "kernel.unit_meshes": (transformed, _run(_unit_meshes)),
}
