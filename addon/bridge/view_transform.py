# SPDX-License-Identifier: GPL-3.0-or-later
"""The view transform of a scene, such as AgX, taken out of pictures that were rendered through it.

Blender does not offer the inverse.  So a table of colors is saved through the scene's settings, and the inverse is found from
what comes out: near the grey axis a curve does it, and a few corrections do the rest.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
import numpy as np

from .image import read_file

PLAIN = {"Standard", "Raw"}  # no curve, or not meant for display
NODES = 33  # of the table along each channel
STOPS = (-9.0, 7.0)  # its darkest and brightest value, against middle grey
GREY = 0.18
ROUNDS = 12  # of correction; AgX needs about 8
SETTINGS = ("view_transform", "look", "exposure", "gamma")


def has_tone_curve(scene: bpy.types.Scene) -> bool:
    """Whether a scene's renders are saved with other colors than those of its light."""
    return scene.view_settings.view_transform not in PLAIN


class ViewTransform:
    """What a scene's color management makes of linear colors."""

    def __init__(self, scene: bpy.types.Scene) -> None:
        values = GREY * 2 ** np.linspace(*STOPS, NODES, dtype=np.float32)
        values[0] = 0
        self.table = _saved(scene, np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1))  # (N, N, N, 3)
        diagonal = np.arange(NODES)
        self.grey = np.maximum.accumulate(self.table[diagonal, diagonal, diagonal].mean(axis=1))

    def shown(self, linear: np.ndarray) -> np.ndarray:
        """(P, 3) as saved, in [0, 1], of linear colors (P, 3)."""
        place = self._node(linear)
        low = np.minimum(place.astype(int), NODES - 2)
        share = place - low
        total = np.zeros_like(linear)
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, share, 1 - share), axis=1)
            total += weight[:, None] * self.table[tuple((low + corner).T)]
        return total

    def linear(self, shown: np.ndarray) -> np.ndarray:
        """(..., 3) linear colors of saved ones, nearly; what is brighter than the table holds is cut."""
        flat = shown.reshape(-1, 3).astype(np.float32)
        wanted = self._by_curve(flat)
        found = wanted
        for _ in range(ROUNDS):
            found = np.clip(found * (wanted + 1e-4) / (self._by_curve(self.shown(found)) + 1e-4), 0, GREY * 2 ** STOPS[1])
        return found.reshape(shown.shape).astype(np.float32)

    def _by_curve(self, shown: np.ndarray) -> np.ndarray:
        """Linear values of saved ones as if each channel were that of a grey."""
        place = np.interp(shown, self.grey, np.arange(NODES))
        stops = STOPS[0] + place * (STOPS[1] - STOPS[0]) / (NODES - 1)
        first = np.minimum(place, 1)  # the darkest interval goes to black
        return np.where(place < 1, first * GREY * 2 ** (STOPS[0] + (STOPS[1] - STOPS[0]) / (NODES - 1)), GREY * 2**stops)

    def _node(self, linear: np.ndarray) -> np.ndarray:
        """Where in the table linear values are, in [0, NODES - 1]."""
        step = (STOPS[1] - STOPS[0]) / (NODES - 1)
        first = GREY * 2 ** (STOPS[0] + step)
        place = (np.log2(np.maximum(linear, first) / GREY) - STOPS[0]) / step
        return np.clip(np.where(linear < first, linear / first, place), 0, NODES - 1)


def _saved(scene: bpy.types.Scene, colors: np.ndarray) -> np.ndarray:
    """(..., 3) what a scene saves of linear colors (..., 3), in [0, 1]."""
    flat = colors.reshape(-1, 3)
    stage = bpy.data.scenes.new("deep feedback view transform")
    image = bpy.data.images.new("deep feedback colors", len(flat) // NODES, NODES, float_buffer=True)
    try:
        stage.display_settings.display_device = scene.display_settings.display_device
        for name in SETTINGS:
            setattr(stage.view_settings, name, getattr(scene.view_settings, name))
        image.pixels.foreach_set(np.concatenate([flat, np.ones((len(flat), 1))], axis=1).astype(np.float32).ravel())
        settings = stage.render.image_settings
        settings.file_format, settings.color_mode, settings.color_depth, settings.compression = "PNG", "RGB", "16", 0
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "colors.png")
            image.save_render(path, scene=stage)
            shown = read_file(path, 1, "Non-Color").rgba
        return shown[::-1, :, :3].reshape(colors.shape).astype(np.float32)
    finally:
        bpy.data.images.remove(image)
        bpy.data.scenes.remove(stage)
