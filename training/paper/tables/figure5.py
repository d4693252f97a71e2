# SPDX-License-Identifier: Apache-2.0
"""Figure 5: the cost of a pose step against the number of faces."""

from __future__ import annotations

import numpy as np

from solver_core.frames import Camera, matrix_from_pose
from solver_core.mesh import Mesh
from solver_core.problems.pose.sampler import PoseSampling, draw_poses
from solver_core.views import VERTICAL_FOV
from training.paper.evaluation import Errors, Row, Run
from training.paper.plots import Plot
from training.paper.pyrender_depth import PyrenderDepth
from training.paper.tables.pose_cases import IMAGE_SIZE, PoseCase
from training.paper.tables.table2 import IMAGES, measure_costs, prepare_one_thread, summary

TITLE = "Figure 5: cost of a pose step against faces"
NUM_SAMPLES = 5  # poses, the same for every number of faces
QUICK_SAMPLES = 1
NUM_FACES = (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
BUMPS = 0.2  # of the radius: the sphere hides parts of itself


def rows(run: Run) -> list[Row]:
    """Medians over poses of one shape, made of more and more faces.

    Sizes take turns, so that a time in which the machine is slow meets all of them.
    """
    prepare_one_thread()
    sampling = PoseSampling(canonical=1.0)
    start, truth = draw_poses(sampling, np.random.default_rng(run.seed), run.num_samples)
    meshes = [wavy_sphere(num_faces) for num_faces in NUM_FACES]
    measured: list[list[Errors]] = [[] for _ in meshes]
    for pose in range(run.num_samples):
        for mesh, costs_of_mesh in zip(meshes, measured, strict=True):
            label = f"{len(mesh.faces)} faces, pose {pose + 1}"
            costs_of_mesh.append(run.measure(label, 1, lambda _, mesh=mesh, pose=pose: _costs(mesh, start[pose], truth[pose])))
    table: list[Row] = []
    for mesh, costs_of_mesh in zip(meshes, measured, strict=True):
        costs = {name: np.concatenate([one[name] for one in costs_of_mesh]) for name in costs_of_mesh[0]}
        table += [{"faces": len(mesh.faces), "method": name, **row} for name, row in summary(costs).items()]
    ours = next(iter(IMAGES))
    updates = [float(row["update_ms"]) for row in table if row["method"] == ours]
    for row in table:
        if row["method"] == ours:
            row["update_over_its_least"] = float(row["update_ms"]) / min(updates)
    for quantity in ("forward_ms", "update_ms", "step_ms"):
        run.plots.append(_plot(table, quantity))
    return table


def wavy_sphere(num_faces: int) -> Mesh:
    """Closed mesh of about num_faces faces, bounding-box diagonal 1; the shape is the same for every number."""
    rings = max(3, round(1 + np.sqrt(num_faces / 4 + 0.25)))  # 4 rings (rings - 1) faces, with twice as many sectors
    sectors = 2 * rings
    polar, azimuth = np.meshgrid(np.arange(1, rings) * np.pi / rings, np.arange(sectors) * np.pi / rings, indexing="ij")
    ball = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=2)
    ball = np.concatenate([ball.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    index = np.arange((rings - 1) * sectors).reshape(rings - 1, sectors)
    right = np.roll(index, -1, axis=1)
    a, b, c, d = (part.ravel() for part in (index[:-1], right[:-1], index[1:], right[1:]))
    top, bottom = np.full(sectors, len(ball) - 2), np.full(sectors, len(ball) - 1)
    triangles = [(a, c, d), (a, d, b), (top, index[0], right[0]), (bottom, right[-1], index[-1])]
    faces = np.concatenate([np.stack(corners, axis=1) for corners in triangles])
    return Mesh.checked(ball * (1 + BUMPS * np.sin(7 * ball[:, [1, 2, 0]])), faces).unit().mesh


def _costs(mesh: Mesh, start: np.ndarray, truth: np.ndarray) -> Errors:
    """start, truth: (7,)."""
    camera = Camera.from_fov(IMAGE_SIZE, IMAGE_SIZE, VERTICAL_FOV)
    with PyrenderDepth(camera) as pyrender:
        mask = pyrender.loaded(mesh)(matrix_from_pose(truth)) > 0
    return measure_costs([PoseCase(mesh, mask, camera, start, truth)])


def _plot(table: list[Row], quantity: str) -> Plot:
    curves = {}
    for name in IMAGES:
        points = [(float(row["faces"]), float(row[quantity])) for row in table if row["method"] == name]
        if any(y for _, y in points):
            curves[name] = ([x for x, _ in points], [y for _, y in points])
    what, _, unit = quantity.rpartition("_")
    return Plot(f"pose-faces-{what}", "faces", f"{what}, {unit}", curves, is_x_log=True, is_y_log=True)
