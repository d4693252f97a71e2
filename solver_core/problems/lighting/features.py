# SPDX-License-Identifier: Apache-2.0
"""What the lighting network sees of an estimate and the observation."""

from __future__ import annotations

from typing import Any

import numpy as np

from solver_core.errors import ConfigError
from solver_core.network.spec import NetworkSpec
from solver_core.problem import Features
from solver_core.problems.lighting.observation import LightingObservation, LightingPrediction
from solver_core.problems.lighting.surface import Surface

INPUT_LAYOUT = (
    "lighting 2: observed relit difference shading normal3 relief seen; light3 proposal3 energy ambient brightness known"
)
GRID_SIZE = 64  # cells along a side of the square image the network sees
NUM_CHANNELS = 9
RELIEF = 7  # the channel that holds depth
NUM_NUMBERS = 10
# What a network may look at, for comparison: channels and numbers.  "image" is the paper's; "observation" leaves out what
# depends on the estimate, for direct regression.
INPUTS = {
    "all": (range(NUM_CHANNELS), range(NUM_NUMBERS)),
    "image": ((0, 1, 2, 8), (0, 1, 2)),
    "observation": ((0, 4, 5, 6, 7, 8), (0, 1, 2, 9)),
}
OUTPUT_SCALE = 0.5  # radians for a sun, units of the scene for a point light: a typical first residual
MAX_NUMBER = 4.0  # positions beyond this many units of the scene look alike, and so do energies
MAX_BRIGHTNESS = 2.0  # highlights are cut here, in bright levels


def network_spec(settings: dict[str, Any]) -> NetworkSpec:
    """Network for these features.

    settings: `convolutions`, a list of [channels, stride]; `hidden`, widths; `inputs`, a key of INPUTS; `depth_weight`, of
    the auxiliary task in the loss.
    """
    unknown = set(settings) - {"convolutions", "hidden", "inputs", "depth_weight"}
    if unknown:
        raise ConfigError(f"unknown key {sorted(unknown)[0]!r} in [network]; known: convolutions, hidden, inputs, depth_weight")
    inputs = settings.get("inputs", "all")
    if inputs not in INPUTS:
        raise ConfigError(f"unknown inputs {inputs!r} in [network]; known: {', '.join(INPUTS)}")
    channels, numbers = INPUTS[inputs]
    return NetworkSpec(
        outputs=3,
        hidden=tuple(settings["hidden"]),
        vector_size=len(numbers),
        image_size=GRID_SIZE,
        image_channels=len(channels),
        convolutions=tuple((channels, stride) for channels, stride in settings["convolutions"]),
        skip=True,
        channels=None if inputs == "all" else tuple(channels),
        numbers=None if inputs == "all" else tuple(numbers),
    )


def features(
    x: np.ndarray,
    proposal: np.ndarray,
    energy: np.ndarray,
    is_known: np.ndarray,
    surface: Surface,
    prediction: LightingPrediction,
    observation: LightingObservation,
) -> Features:
    """Images (B, 64, 64, 9) and numbers (B, 10), as INPUT_LAYOUT names them; all of order one.

    proposal: (B, 3) the output that stands for the step of least squares on the shading equation.  energy: (B,).
    is_known: (B,) bool, of the strength; brightness is the image's bright level over it.
    """
    observed = np.clip(observation.image.mean(axis=2), 0, MAX_BRIGHTNESS)
    relit = np.clip(prediction.image.mean(axis=2), 0, MAX_BRIGHTNESS)
    shading = prediction.shading[:, 0]
    lit = shading / np.maximum(shading.max(axis=1, keepdims=True), np.finfo(np.float32).eps)
    channels = (observed, relit, observed - relit, lit, *np.moveaxis(surface.normal, 2, 0))
    image = np.zeros((len(x), GRID_SIZE * GRID_SIZE, NUM_CHANNELS), dtype=np.float32)
    rows = np.arange(len(x))[:, None]
    for index, channel in enumerate((*channels, 2 * surface.position[..., 2], 1)):
        image[rows, surface.cell, index] = channel
    brightness = 1 / np.maximum(prediction.strength[:, 0].mean(axis=1, keepdims=True), 1 / MAX_NUMBER)
    numbers = np.concatenate(
        [
            np.clip(x, -MAX_NUMBER, MAX_NUMBER),
            np.clip(proposal, -MAX_NUMBER, MAX_NUMBER),
            np.minimum(energy, MAX_NUMBER)[:, None],
            prediction.ambient.mean(axis=1, keepdims=True),
            brightness,
            is_known[:, None],
        ],
        axis=1,
    ).astype(np.float32)
    return Features(image.reshape(len(x), GRID_SIZE, GRID_SIZE, NUM_CHANNELS), numbers)
