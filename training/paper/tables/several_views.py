# SPDX-License-Identifier: Apache-2.0
"""Several views: the same objects from one, two and three calibrated cameras, clean and partly hidden."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import render, rotations
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problems.pose.damage import BOX
from solver_core.problems.pose.sampler import PoseSampling, draw_poses
from solver_core.problems.pose.solve import PoseOptions
from solver_core.problems.pose.solve_views import solve_pose_views
from solver_core.problems.pose.symmetry import find_symmetries
from solver_core.solution import Verdict
from solver_core.views import CAMERA_DISTANCE, VERTICAL_FOV
from training.paper.evaluation import Errors, Row, Run
from training.paper.pyrender_depth import PyrenderDepth
from training.paper.tables.damaged import MIN_PIXELS, WRONG_DEG, WRONG_TRANSLATION, hidden_by
from training.paper.tables.pose_cases import load_test_meshes

TITLE = "Several views: one object before one, two and three cameras"
NUM_SAMPLES = 100  # a row
QUICK_SAMPLES = 3
SIZE = 128
VIEWS = (1, 2, 3)
TURN = np.radians((40.0, 120.0))  # of the other cameras about the object, to either side
TILT = np.radians(15.0)  # at most, up or down
OFF_CENTRE = 0.1  # of the object in the other views, diagonals
HIDDEN = 0.25


class ViewsCase(NamedTuple):
    """Masks (V, H, W) bool of views, where their cameras stand (V, 4, 4) in a world that is the first camera's frame, and the
    poses (7,) of the mesh in it.
    """

    mesh: Mesh
    masks: np.ndarray
    camera: Camera
    worlds_from_cameras: np.ndarray
    start: np.ndarray
    truth: np.ndarray


def rows(run: Run) -> list[Row]:
    """Errors of one, two and three views of the same objects."""
    render.set_num_threads(1)
    meshes, options = load_test_meshes(run.data), PoseOptions()
    table: list[Row] = []
    for number, (name, hidden) in enumerate({"clean": 0.0, f"hidden {HIDDEN:.0%} by a box": HIDDEN}.items()):
        cases = draw_views_of(meshes, hidden, np.random.default_rng([run.seed, 70, number]), run.num_samples)
        for count in VIEWS:
            errors = run.measure(
                f"{name}, {count} views",
                len(cases),
                lambda part, cases=cases, count=count: measure(cases, part, count, options),
                options,
                10,
            )
            table.append({"mask": name, "views": count, **_summary(errors)})
    return table


def draw_views_of(meshes: list[Mesh], hidden: float, rng: np.random.Generator, count: int) -> list[ViewsCase]:
    """Random samples with a share of every mask hidden; one of which too little is seen is drawn again."""
    camera = Camera.from_fov(SIZE, SIZE, VERTICAL_FOV)
    cases: list[ViewsCase] = []
    with PyrenderDepth(camera) as pyrender:
        while len(cases) < count:
            mesh = meshes[rng.integers(len(meshes))]
            start, truth = draw_poses(PoseSampling(), rng, 1)
            poses = np.concatenate([truth, *(_seen_from_beside(truth, side, rng) for side in (-1, 1))])
            matrices = matrix_from_pose(poses)
            masks = np.stack([pyrender.render_depth(mesh, matrix) > 0 for matrix in matrices])
            if hidden:
                masks = np.stack([mask & ~hidden_by(BOX, hidden)(mask, rng) if mask.any() else mask for mask in masks])
            if masks.sum(axis=(1, 2)).min() < MIN_PIXELS[SIZE]:
                continue
            worlds_from_cameras = matrices[0] @ np.linalg.inv(matrices)
            cases.append(ViewsCase(mesh, masks, camera, worlds_from_cameras, start[0], truth[0]))
    return cases


def _seen_from_beside(pose: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """(1, 7) the object at a pose (1, 7) as a camera to the left or right of it sees it."""
    up = rotations.rotate(pose[0, :4], np.array([0.0, 0.0, 1.0]))
    turn = rotations.wxyz_from_rotvec(side * rng.uniform(*TURN) * up)
    tilt = rotations.wxyz_from_rotvec(np.array([rng.uniform(-TILT, TILT), 0.0, 0.0]))
    wxyz = rotations.multiply(tilt, rotations.multiply(turn, pose[0, :4]))
    position = rng.uniform(-OFF_CENTRE, OFF_CENTRE, size=3) - [0, 0, CAMERA_DISTANCE]
    return np.concatenate([wxyz, position])[None]


def measure(cases: list[ViewsCase], part: np.ndarray, count: int, options: PoseOptions) -> Errors:
    """Errors of solves from the first views, as the first camera sees them, and what they say of themselves."""
    each = []
    for row in part:
        case = cases[row]
        solution = solve_pose_views(
            list(case.masks[:count]), case.mesh.vertices, case.mesh.faces, [case.camera] * count,
            list(case.worlds_from_cameras[:count]), matrix_from_pose(case.start),
            options=options, rng=np.random.default_rng(int(row)),
        )  # fmt: skip
        pose = find_symmetries(case.mesh).nearest(pose_from_matrix(solution.world_from_object), case.truth[:4])
        step = SE3().difference(case.truth, pose)
        depth = -case.truth[6]
        parts = np.array([np.degrees(np.linalg.norm(step[:3])), depth * np.linalg.norm(step[3:5]), depth * abs(step[5])])
        each.append(
            {
                "parts": parts,
                "interval": np.array(solution.interval),
                "is_wrong": float(parts[0] > WRONG_DEG or np.linalg.norm(pose[4:] - case.truth[4:]) > WRONG_TRANSLATION),
                "is_good": float(solution.verdict is Verdict.GOOD),
                "seconds": solution.seconds,
            }
        )
    return {name: np.array([one[name] for one in each]) for name in each[0]}


def _summary(errors: Errors) -> Row:
    wrong, good = errors["is_wrong"] > 0, errors["is_good"] > 0
    rotation, across, along = np.median(errors["parts"], axis=0)
    within = np.mean(errors["parts"] <= errors["interval"], axis=0)
    return {
        "num_samples": len(wrong),
        "rotation_median_deg": float(rotation),
        "rotation_mean_deg": float(np.mean(errors["parts"][:, 0])),
        "across_median": float(across),
        "along_median": float(along),
        "wrong_percent": float(100 * np.mean(wrong)),
        "good_percent": float(100 * np.mean(good)),
        "wrong_of_good_percent": float(100 * np.sum(wrong & good) / max(1, np.sum(good))),
        "rotation_interval_median_deg": float(np.median(errors["interval"][:, 0])),
        "along_interval_median": float(np.median(errors["interval"][:, 2])),
        **{
            f"{name}_within_percent": float(100 * share)
            for name, share in zip(("rotation", "across", "along"), within, strict=True)
        },
        "median_ms": float(1000 * np.median(errors["seconds"])),
    }
