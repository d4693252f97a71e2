# SPDX-License-Identifier: Apache-2.0
"""Runs a network in NumPy: one matrix product a layer."""

from __future__ import annotations

import numpy as np

from solver_core.network.spec import LEAK, NetworkSpec
from solver_core.problem import Features


class NumpyNetwork:
    """An update network with its weights; call it with Features to get outputs (B, D) or proposals (B, K, D).

    weights: float32 arrays `<layer>.weight` and `<layer>.bias`, shaped as NetworkSpec.layers says.
    """

    def __init__(self, spec: NetworkSpec, weights: dict[str, np.ndarray]) -> None:
        self.spec = spec
        self.weights = weights

    def __call__(self, features: Features) -> np.ndarray:
        features = self.spec.select(features)
        parts = []
        if features.image is not None:
            x = features.image
            for index, (_, stride) in enumerate(self.spec.convolutions):
                name = f"convolution{index}"
                x = rectified(convolve(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], stride))
            parts.append(x.reshape(len(x), -1))
        if self.spec.vector_size:
            parts.append(features.vector)
        x = np.concatenate(parts, axis=1)
        for index in range(len(self.spec.hidden)):
            x = rectified(self._linear(x, f"linear{index}"))
        if self.spec.skip:
            x = np.concatenate([x, features.vector], axis=1)
        x = self._linear(x, f"linear{len(self.spec.hidden)}")
        return x if self.spec.proposals == 1 else likeliest_first(x.reshape(len(x), self.spec.proposals, -1))

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def convolve(image: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """(B, H, W, C) -> (B, ceil(H / stride), ceil(W / stride), C') by a weight (3, 3, C, C') and a bias (C')."""
    batch, height, width, channels = image.shape
    padded = np.zeros((batch, height + 2, width + 2, channels), dtype=image.dtype)
    padded[:, 1:-1, 1:-1] = image
    rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
    by_batch, by_row, by_column, by_channel = padded.strides
    patches = np.lib.stride_tricks.as_strided(  # three neighbouring pixels lie together, so one copy takes them at once
        padded,
        (batch, rows, columns, 3, 3 * channels),
        (by_batch, stride * by_row, stride * by_column, by_row, by_channel),
        writeable=False,
    )
    flat = patches.reshape(batch * rows * columns, 9 * channels)
    output = flat @ weight.reshape(9 * channels, -1) + bias
    return output.reshape(batch, rows, columns, -1)


def likeliest_first(proposals: np.ndarray) -> np.ndarray:
    """(B, K, D) sorted by the last number of each of (B, K, D + 1), the largest first."""
    order = np.argsort(-proposals[:, :, -1], axis=1, kind="stable")
    return np.take_along_axis(proposals[:, :, :-1], order[:, :, None], axis=1)


def rectified(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, LEAK * x)
