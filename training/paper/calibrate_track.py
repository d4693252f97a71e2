# SPDX-License-Identifier: Apache-2.0
"""Fits how sure a pose is that was followed in a shot, to shots of validation meshes, and writes what solver_core ships.

OMP_NUM_THREADS=1 python -m training.paper.calibrate_track KIND --data DATA --parts FOLDER [--samples 32] [--out FILE]

KIND: masks or photographs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.frames import matrix_from_pose, pose_from_matrix
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshPool, load_library
from solver_core.network.weights import SHIPPED
from solver_core.problems.pose.confidence import (
    FEATURES,
    FILE,
    MASK_SHOT_FILE,
    PHOTO_SHOT_FILE,
    SHOT_FEATURES,
    shipped_calibration,
)
from solver_core.problems.pose.damage import MaskDamage, damage_masks
from solver_core.problems.pose.follow import Followed, Follower
from solver_core.problems.pose.shots import MaskShot, Part, PhotoShot, Shot
from solver_core.problems.pose.solve import PoseOptions
from solver_core.problems.pose.symmetry import errors_modulo
from solver_core.problems.pose.track import USUAL_FRAMES, checked_setup
from training.paper.calibrate_pose import taken, write
from training.paper.evaluation import Errors, Run
from training.paper.tables.damaged import parts_of
from training.paper.tables.track import CAMERA, draw, frames_of

SEED = 44  # of the samples; no table's
RIDGE = 0.002  # as of masks
FRAMES = {"": 8, "bar": 26}  # of a shot
FILES = {"masks": MASK_SHOT_FILE, "photographs": PHOTO_SHOT_FILE}
KINDS = 8  # of shots: with a bar or without, slow or fast, masks as they are or damaged
DAMAGE = MaskDamage(hole=0.2, trembling=0.5, tremble=0.006, grown=0.5, growth=0.004)  # as a careful tool leaves masks
STARTS_DEG = (0.0, 0.0, 6.0, 20.0, 45.0)  # that the pose before is turned by more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=FILES)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", type=Path, required=True, help="keeps what was measured, so that a killed run goes on")
    parser.add_argument("--samples", type=int, default=32, help="shots")
    parser.add_argument("--out", type=Path, help="instead of what ships")
    args = parser.parse_args()
    render.set_num_threads(1)
    meshes = MeshPool(load_library(args.data, "val")).measured
    run = Run("track_calibration", args.data, 0, SEED, args.parts)
    errors = run.measure(args.kind, args.samples, lambda part: measured(args.kind, int(part[0]), meshes), chunk_size=1)
    errors = taken(errors, np.isfinite(errors["shot_evidence"][:, 0]))  # without first frames, which are not followed
    errors["number"] //= KINDS  # so that both halves have shots of all kinds
    about = f"fitted by training/paper/calibrate_track.py, {len(errors['number'])} followed poses of {args.samples} shots"
    slopes = shipped_calibration(FILE, FEATURES).interval[:, :2]  # as for masks
    write(errors, SHOT_FEATURES, RIDGE, about, args.out or SHIPPED / FILES[args.kind], slopes)


def measured(kind: str, row: int, meshes: list[Mesh]) -> Errors:
    """What poses were worth that were followed from about the pose in the frame before, and the evidence about them."""
    rng = np.random.default_rng([SEED, row])
    what, degrees = ("", "bar")[row % 2], (3, 10)[row // 2 % 2]
    drawn = draw(SEED, row, meshes, degrees, what)
    mesh, truth = drawn.mesh, drawn.truth[: FRAMES[what]]
    setup = checked_setup(mesh.vertices, mesh.faces, CAMERA, None, "z", None)
    shot: Shot = (MaskShot if kind == "masks" else PhotoShot)(setup, CAMERA, PoseOptions())
    follower = Follower(setup.mesh)
    poses = np.stack([setup.unit_pose(matrix_from_pose(pose)) for pose in truth])
    offsets: list[float] = []
    each = []
    for number, image in enumerate(frames_of(drawn._replace(truth=truth), kind, what, rng)):
        if kind == "masks" and row // 4 % 2 and image.any():
            image = damage_masks(image[None], DAMAGE, rng)[0][0]
        if number == 0:
            _learn_truth(shot, follower, image, poses[0])
        right: tuple[Part, Followed] | None = None
        for degrees_off in STARTS_DEG:
            axis = rng.normal(size=3)
            turn = np.radians(degrees_off) * axis / np.linalg.norm(axis)
            start = SE3().retract(poses[max(number - 1, 0)][None], np.concatenate([turn, np.zeros(3)])[None])[0]
            window = follower.window(CAMERA, start)
            assert window is not None
            part = _part(window)
            followed = follower.follow(shot.view(image, part, CAMERA.window(*window)), start)
            evidence = followed.looked.evidence
            usual = float(np.median(offsets[-USUAL_FRAMES:])) if offsets else np.nan
            found = pose_from_matrix(setup.user_matrix(followed.pose))
            same_deg, same_translation, _ = errors_modulo(follower.symmetries, found, truth[number], mesh)
            each.append(
                {
                    "evidence": np.array(evidence),
                    "shot_evidence": np.array([usual, kind == "photographs"]),
                    "same_rotation_deg": same_deg,
                    "same_translation": same_translation,
                    "parts": parts_of(follower.symmetries.nearest(found, truth[number][:4]), truth[number]),
                    "number": row,
                }
            )
            if degrees_off == 0 and right is None and same_deg < 5:
                right = part, followed
        if right is not None:
            part, followed = right
            offsets.append(followed.looked.evidence.offset)
            shot.learn(image, part, followed.reduction, followed.is_seen)
    return {name: np.array([one[name] for one in each]) for name in each[0]}


def _learn_truth(shot: Shot, follower: Follower, image: np.ndarray, pose: np.ndarray) -> None:
    """Colours of the first photograph, as the full solver would find them with the pose (7,)."""
    window = follower.window(CAMERA, pose)
    assert window is not None
    camera = CAMERA.window(*window)
    depth = render.render_depth([follower.mesh], matrix_from_pose(pose)[None], camera.intrinsics[None], *window[:1:-1])
    shot.learn(image, _part(window), 1, np.isfinite(depth[0]))


def _part(window: tuple[int, int, int, int]) -> Part:
    left, top, width, height = window
    return slice(top, top + height), slice(left, left + width)


if __name__ == "__main__":
    main()
