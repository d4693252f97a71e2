# SPDX-License-Identifier: Apache-2.0
"""A network that gives a number for each pixel of an image, described once; torch trains it and NumPy runs it.

Convolutions shrink the image level by level, so that few pixels see all of it, and others bring it back to its size beside
what was there before (Ronneberger, Fischer and Brox 2015).  All are 3 x 3; each but the last is followed by a leaky rectifier.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np

from solver_core.network.numpy_forward import convolve, rectified
from solver_core.network.spec import checked_size


@dataclass(frozen=True)
class HourglassSpec:
    """Shape of a network.

    image_channels: of the square image, whose side is a multiple of 2 to the number of levels.  widths: channels of each
    level, the first of which has half the image's size.  last_width: channels at the image's own size, before the last layer.
    """

    image_channels: int
    widths: tuple[int, ...]
    last_width: int

    def layers(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and weight shape (3, 3, in, out) of every layer, in the order in which they are applied."""
        layers, channels = [], self.image_channels
        for level, width in enumerate(self.widths):
            layers += [(f"down{level}", (3, 3, channels, width)), (f"level{level}", (3, 3, width, width))]
            channels = width
        for level in reversed(range(len(self.widths) - 1)):
            layers.append((f"up{level}", (3, 3, channels + self.widths[level], self.widths[level])))
            channels = self.widths[level]
        layers.append(("fine", (3, 3, channels + self.image_channels, self.last_width)))
        layers.append(("last", (3, 3, self.last_width, 1)))
        return layers

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> HourglassSpec:
        """Inverse of to_json.  Raises ValueError, TypeError, KeyError or RecursionError for other text."""
        content = json.loads(text)
        content["widths"] = tuple(map(checked_size, content["widths"]))
        spec = cls(**content)
        for size in (spec.image_channels, spec.last_width):
            checked_size(size)
        if not spec.widths:
            raise ValueError("it has no levels")
        return spec


class Hourglass:
    """Such a network with its weights; call it with images (B, H, W, C) to get (B, H, W).

    weights: float32 arrays `<layer>.weight` and `<layer>.bias`, shaped as HourglassSpec.layers says.
    """

    def __init__(self, spec: HourglassSpec, weights: dict[str, np.ndarray]) -> None:
        self.spec = spec
        self.weights = weights

    def __call__(self, images: np.ndarray) -> np.ndarray:
        levels, x = [images], images
        for level in range(len(self.spec.widths)):
            x = rectified(self._layer(x, f"down{level}", 2))
            x = rectified(self._layer(x, f"level{level}"))
            levels.append(x)
        levels.pop()
        for level in reversed(range(len(levels))):
            x = np.concatenate([x.repeat(2, axis=1).repeat(2, axis=2), levels[level]], axis=3)
            x = rectified(self._layer(x, f"up{level - 1}" if level else "fine"))
        return self._layer(x, "last")[..., 0]

    def _layer(self, images: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
        return convolve(images, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], stride)
