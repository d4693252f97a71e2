# SPDX-License-Identifier: Apache-2.0
"""What is fuzzed: for each, how a case is drawn and what counts as a fault."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from solver_core.camera_files import read_camera
from solver_core.command.files import MESH_SUFFIXES, read_albedo, read_mesh, read_photo, read_pose, read_radiance
from solver_core.command.masks import read_mask
from solver_core.config import TrainSettings, load_train_settings
from solver_core.errors import SetupError, SolverError
from solver_core.mesh import UnitMesh
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.weights import load_weights
from solver_core.problem import Features
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh, write_bvh
from solver_core.problems.inverse_kinematics.files.maps import read_limits, read_map
from solver_core.problems.inverse_kinematics.files.targets import read_targets
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

from . import calls, seeds
from .commands import JOBS, command_lines, read_job_file, run_command_line
from .guard import guarded, one_sentence
from .kernel import KERNEL
from .mutations import GLB, PNG, SAFETENSORS, ZIP, mutated, mutated_parts


class Target(NamedTuple):
    """cases: what is drawn.  run: what is done with a case in a folder; raises where that is a fault.

    share: how many of the inputs of a run are for it, against the others.  suffix, read: of a reader of files.  needs: the
    package without which it is left out, if any.
    """

    cases: Callable[[], st.SearchStrategy[Any]]
    run: Callable[[Any, Path], None]
    share: int = 10
    suffix: str = ""
    read: Callable[[Path], Any] = Path.read_bytes
    needs: str = ""


def reader(suffix: str, read: Callable[[Path], Any], cases: Callable[[], st.SearchStrategy[bytes]]) -> Target:
    """A reader of files: it gives something finite, or one sentence that names the file."""

    def run(content: bytes, folder: Path) -> None:
        path = folder / f"case{suffix}"
        path.write_bytes(content)
        with guarded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read(path)
            except SolverError as error:
                one_sentence(error, path)

    return Target(cases, run, suffix=suffix, read=read)


def _use_mesh(path: Path) -> None:
    surface = read_mesh(path)
    assert surface.faces.max() < len(surface.vertices)
    with contextlib.suppress(SetupError):  # a point is no surface
        assert np.isfinite(UnitMesh.checked(*surface).mesh.bounds).all()


def _use_motion(path: Path) -> None:
    motion = read_bvh(path)
    assert np.isfinite(motion.rotations).all()
    write_bvh(path.with_name("again.bvh"), motion)
    assert read_bvh(path.with_name("again.bvh"), motion.metres_per_unit).skeleton.names == motion.skeleton.names


def _use_weights(path: Path) -> None:
    stages, info = load_weights(path, "pose", "layout 1")
    spec = info.spec
    if spec.flat_size < 10_000:
        image = (
            np.zeros((1, spec.image_size, spec.image_size, spec.image_channels), np.float32) if spec.image_channels else None
        )
        network = NumpyNetwork(replace(spec, channels=None, numbers=None), stages[0])
        network(Features(image, np.zeros((1, spec.vector_size), np.float32)))


def _use_targets(path: Path) -> None:
    targets = read_targets(path)
    assert targets.positions.shape[1:] == (len(targets.names), 3)


def _use_checkpoint(content: bytes, folder: Path) -> None:
    import torch

    from solver_core.training.checkpoint import load_checkpoint
    from solver_core.training.files import CHECKPOINT
    from solver_core.training.trainer import _Run

    (folder / CHECKPOINT).write_bytes(content)
    network = torch.nn.Linear(3, 2)
    run = SimpleNamespace(trained=network, optimizer=torch.optim.AdamW(network.parameters()), out=folder)
    with guarded(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _Run.restore(run, load_checkpoint(folder, TrainSettings("pose", "small", (4, 2))))
        except SolverError as error:
            one_sentence(error, folder)


SKELETON = Skeleton(["hip", "left arm", "left arm_end"], [-1, 0, 1], np.array([[0.0, 0, 0], [0.3, 0, 0], [0.2, 0, 0]]))


MESHES = {
    f"mesh{suffix}": reader(suffix, _use_mesh, lambda suffix=suffix: mutated(seeds.mesh(suffix)))
    for suffix in MESH_SUFFIXES
    if suffix != ".glb"
}
MESHES["mesh.glb"] = reader(".glb", _use_mesh, lambda: mutated_parts(seeds.mesh(".glb"), GLB))
ALBEDOS = {
    "albedo.glb": reader(".glb", read_albedo, lambda: mutated_parts(seeds.mesh(".glb"), GLB)),
    "albedo.obj": reader(".obj", read_albedo, lambda: mutated(seeds.mesh(".obj"))),
    "albedo.ply": reader(".ply", read_albedo, lambda: mutated(seeds.mesh(".ply"))),
}
IMAGES = {
    "mask.png": reader(".png", read_mask, lambda: mutated_parts(seeds.image(".png"), PNG)),
    "mask.json": reader(".json", lambda path: read_mask(path, size=(40, 30)), lambda: mutated(seeds.COCO)),
    "radiance.png": reader(".png", read_radiance, lambda: mutated_parts(seeds.image(".png"), PNG)),
    "photo.jpg": reader(".jpg", read_photo, lambda: mutated(seeds.image(".jpg"))),
    "mask.tif": reader(".tif", read_mask, lambda: mutated(seeds.image(".tif"))),
    "photo.webp": reader(".webp", read_photo, lambda: mutated(seeds.image(".webp"))),
    "photo.bmp": reader(".bmp", read_photo, lambda: mutated(seeds.image(".bmp"))),
    "radiance.exr": reader(".exr", read_radiance, lambda: mutated(seeds.exr())),
}
MOTIONS = {
    "motion.bvh": reader(".bvh", _use_motion, lambda: mutated([seeds.BVH])),
    "targets.csv": reader(".csv", _use_targets, lambda: mutated([seeds.CSV, seeds.LONG_TABLE, seeds.DEEPLABCUT])),
    "targets.trc": reader(".trc", _use_targets, lambda: mutated(seeds.trc())),
    "targets.json": reader(".json", _use_targets, lambda: mutated(seeds.KEYPOINTS)),
    "targets.npy": reader(".npy", _use_targets, lambda: mutated(seeds.npy())),
    "targets.npz": reader(".npz", _use_targets, lambda: mutated_parts(seeds.npz(), ZIP)),
    "map.json": reader(".json", read_map, lambda: mutated([seeds.MAP])),
    "limits.json": reader(".json", lambda path: read_limits(path, SKELETON), lambda: mutated([seeds.LIMITS])),
}
CAMERAS = {
    "camera.json": reader(".json", read_camera, lambda: mutated([seeds.CAMERA, seeds.BOP, seeds.FSPY])),
    "camera.yaml": reader(".yaml", read_camera, lambda: mutated([seeds.OPENCV_YAML])),
    "camera.txt": reader(".txt", read_camera, lambda: mutated([seeds.COLMAP, seeds.MATRIX])),
    "camera.npz": reader(".npz", read_camera, lambda: mutated_parts(seeds.npz(), ZIP)),
    "camera.npy": reader(".npy", read_camera, lambda: mutated(seeds.npy())),
    "camera.jpg": reader(".jpg", read_camera, lambda: mutated(seeds.image(".jpg"))),
    "pose.json": reader(".json", read_pose, lambda: mutated([seeds.POSE])),
}
SETTINGS = {
    "recipe.toml": reader(".toml", load_train_settings, lambda: mutated([seeds.RECIPE])),
    "weights": reader(".safetensors", _use_weights, lambda: mutated_parts(seeds.weights(), SAFETENSORS)),
}
CALLS = {
    name: Target(calls.cases(usual), calls.call(function, usual, check))
    for name, (function, usual, check) in calls.CALLS.items()
}
COMPILED = {name: Target(cases, run) for name, (cases, run) in KERNEL.items()}
COMMANDS = {"command": Target(command_lines, run_command_line)}
OTHERS = {  # what needs more than the command line does
    "targets.c3d": reader(".c3d", _use_targets, lambda: mutated(seeds.c3d()))._replace(needs="ezc3d"),
    "checkpoint": Target(lambda: mutated_parts(seeds.checkpoint(), ZIP), _use_checkpoint, needs="torch"),
    "job": Target(lambda: mutated(JOBS), read_job_file, needs="bpy"),
}
ALL: dict[str, Target] = MESHES | ALBEDOS | IMAGES | MOTIONS | CAMERAS | SETTINGS | CALLS | COMPILED | COMMANDS | OTHERS
TARGETS = {name: target for name, target in ALL.items() if not target.needs or find_spec(target.needs)}
