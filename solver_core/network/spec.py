# SPDX-License-Identifier: Apache-2.0
"""The layers of an update network, described once; torch trains them and NumPy runs them.

A network is an optional stack of 3 x 3 convolutions over the image, flattened and joined with the vector, followed by
fully connected layers.  Every layer but the last is followed by a leaky rectifier.  It may look at a part of the features
only, which is how a table compares what it is good to see.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from solver_core.problem import Features

LEAK = 0.1  # slope of the rectifier for negative inputs
LARGEST_SIZE = 2**16  # of what a file says; our own widest layer has 2**12 numbers


@dataclass(frozen=True)
class NetworkSpec:
    """Shape of a network.

    image_size: height and width of the square input image.  image_channels: that it looks at, 0 = no image.
    convolutions: (output channels, stride) each, 3 x 3 with one pixel of padding.  vector_size: K.
    hidden: widths of the fully connected layers.  outputs: D.  skip: the last layer sees the vector as well, so that a
    proposal among its numbers gets through at full precision.  channels, numbers: which of the features' image channels and
    vector entries it looks at; None = all.  proposals: K alternative outputs (B, K, D), each with a number that says how
    likely it is the best one, the likeliest first; 1 = plain outputs (B, D).
    """

    outputs: int
    hidden: tuple[int, ...]
    vector_size: int = 0
    image_size: int = 0
    image_channels: int = 0
    convolutions: tuple[tuple[int, int], ...] = ()
    skip: bool = False
    channels: tuple[int, ...] | None = None
    numbers: tuple[int, ...] | None = None
    proposals: int = 1

    def select(self, features: Features) -> Features:
        """The part of the features that the network looks at."""
        image, vector = features
        if image is not None and self.channels is not None:
            image = image[..., self.channels]
        if self.numbers is not None:
            vector = vector[..., self.numbers]
        return Features(image, vector)

    @property
    def flat_size(self) -> int:
        """Length of the vector that enters the fully connected layers."""
        if not self.image_channels:
            return self.vector_size
        size = self.image_size
        for _, stride in self.convolutions:
            size = (size + stride - 1) // stride
        return size * size * self.convolutions[-1][0] + self.vector_size

    @property
    def last_width(self) -> int:
        """Numbers that the last layer gives."""
        return self.outputs if self.proposals == 1 else self.proposals * (self.outputs + 1)

    @property
    def linear_widths(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers that enter and that leave each fully connected layer."""
        inner = (self.flat_size, *self.hidden)
        return (*inner[:-1], inner[-1] + self.skip * self.vector_size), (*self.hidden, self.last_width)

    def layers(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and weight shape of every layer: (3, 3, in, out) for convolutions, (in, out) for the others."""
        layers: list[tuple[str, tuple[int, ...]]] = []
        channels = self.image_channels
        for index, (out_channels, _) in enumerate(self.convolutions):
            layers.append((f"convolution{index}", (3, 3, channels, out_channels)))
            channels = out_channels
        in_widths, out_widths = self.linear_widths
        for index, shape in enumerate(zip(in_widths, out_widths, strict=True)):
            layers.append((f"linear{index}", shape))
        return layers

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> NetworkSpec:
        """Inverse of to_json.  Raises ValueError, TypeError, KeyError or RecursionError for other text."""
        content = json.loads(text)
        content["convolutions"] = tuple((checked_size(c), checked_size(s)) for c, s in content["convolutions"])
        content["hidden"] = tuple(map(checked_size, content["hidden"]))
        for key in ("channels", "numbers"):
            if content.get(key) is not None:
                content[key] = tuple(checked_size(index, 0) for index in content[key])
        spec = cls(**content)
        for size in (spec.outputs, spec.proposals):
            checked_size(size)
        for size in (spec.vector_size, spec.image_size, spec.image_channels):
            checked_size(size, 0)
        if not isinstance(spec.skip, bool) or bool(spec.image_channels) != bool(spec.convolutions) or spec.flat_size < 1:
            raise ValueError("its layers do not fit each other")
        return spec


def checked_size(value: object, least: int = 1) -> int:
    """A size of a layer, checked.  Raises ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST_SIZE:
        raise ValueError(f"sizes are whole numbers from {least} to {LARGEST_SIZE}, got {value!r}")
    return value
