# SPDX-License-Identifier: Apache-2.0
"""Prepares the training of networks for a non-human skeleton: its body and a recipe, from its motion or limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from solver_core.errors import ConfigError
from solver_core.problems.inverse_kinematics.files.bodies import body_path, limits_path, write_body
from solver_core.problems.inverse_kinematics.files.bvh import read_bvh
from solver_core.problems.inverse_kinematics.sampler import rig_limits, rig_poses
from solver_core.problems.inverse_kinematics.skeleton.body import Body
from solver_core.writing import make_folder, refuse_overwriting, write_bytes, write_text

# Two minutes for an arm of six axes on two cores, more for a figure.
RECIPE = """\
[training]
problem = "inverse_kinematics"
name = "rig"
iterations = [1500, 800, 500]
batch_size = 256
learning_rate = 2.0e-3
later_learning_rate = 7.0e-4
weight_decay = 1.0e-5
validate_every = 500
validation_samples = 500
seed = 1
data = {data}

[network]
hidden = [256, 256, 256]
rig = {rig}

[sampling]
rig = {rig}
limits = {limits}
motions = {motions}
wandering = {wandering}
effectors = 0.3
gaps = 0.4
"""
WANDERING = 0.1  # radians about the poses of motions, which seldom hold every pose that will be asked for


def prepare_rig(rig: Path, motions: Sequence[Path], limits: Path | None, out: Path) -> Path:
    """Path of a training recipe for the rig of a BVH file; `out` then holds it, the rig's body and a copy of its limits.

    motions: BVH files with its poses; without any, and without limits, the rig's own frames are taken.
    Raises ConfigError, ObservationError or SetupError if they do not fit the rig or there are none.
    """
    own = read_bvh(rig)
    skeleton = own.skeleton
    if not motions and limits is None:
        if own.num_frames == 1:
            raise ConfigError(f"{rig} has a single frame; give --motion, BVH files with its poses, or --limits, its ranges")
        motions = [rig]
    limited = rig_limits(limits, skeleton)
    is_root_free = limited is None or skeleton.joint_of_node[skeleton.root] not in limited.joints
    body = Body.of_poses(skeleton, rig_poses(skeleton, motions, limited), is_root_free)

    weights, recipe = out / "rig.safetensors", out / "rig.toml"
    make_folder(out)
    inputs = {f"the motion {motion}": motion for motion in motions} | {"--rig": rig}
    refuse_overwriting({"the rig's body": body_path(weights), "the rig's recipe": recipe}, inputs)
    write_body(body_path(weights), body)
    if limits is not None:
        write_bytes(limits_path(weights), limits.read_bytes(), "limits")
    write_text(
        recipe,
        RECIPE.format(
            data=_toml(f"the {'motion' if motions else 'limits'} of {rig.name}"),
            rig=_toml(str(body_path(weights))),
            limits=_toml("" if limits is None else str(limits_path(weights))),
            motions=_toml([str(motion) for motion in motions]),
            wandering=WANDERING if motions else 0.0,
        ),
        "recipe",
    )
    return recipe


def _toml(value: str | list[str]) -> str:
    """A string or a list of strings in TOML, which takes JSON's as long as they are not in ASCII with surrogates."""
    return json.dumps(value, ensure_ascii=False)
