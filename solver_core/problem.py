# SPDX-License-Identifier: Apache-2.0
"""The contract of an inverse problem, on one page.

Given an observation y and a forward process f, find the hidden x with y = f(x) (Ma et al. 2020, eq. 1).  One problem
object stands for a batch of B instances of the same kind: B objects, B images, B skeletons, or B starts for one of them.

Everything is an array or a NamedTuple of arrays whose first axis is the batch.  `rows` names instances of the batch:
`rows[k]` is the instance that x[k], prediction[k] and observation[k] belong to.  That lets the loop work on the
instances that still move and leave the others alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from solver_core.manifolds import Manifold

Arrays = Any  # an array, or a NamedTuple of arrays, batch first


class InverseProblem(Protocol):
    """What the loop needs: where x lives, the forward process f and the energy E.  f is never differentiated."""

    @property
    def manifold(self) -> Manifold: ...

    def forward(self, x: np.ndarray, rows: np.ndarray) -> Arrays:
        """f(x): what would be observed if x were the answer.

        Args:
            x: (B, ...) points of the manifold.
            rows: (B,) the instances that they belong to, which may repeat.

        Returns:
            Arrays whose first axis is B.
        """
        ...

    def energy(self, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        """E(f(x), y): how badly x explains the observation.

        Args:
            prediction: f(x) of B instances.
            observation: y of the same instances.
            rows: (B,) their numbers.

        Returns:
            (B,) at least 0.
        """
        ...


class Update(Protocol):
    """g_t: proposes a step (B, D) from the estimate, what the forward process makes of it, and the observation.

    Where an observation has several answers it may propose several steps (B, K, D), of which the loop takes the one that
    lowers the energy most.  `stage` counts from 0.  A network, a Gauss-Newton step and a gradient step all have this form.
    """

    def __call__(self, stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray: ...


class Features(NamedTuple):
    """What a network looks at: image (B, H, W, C) float32 or None, vector (B, K) float32."""

    image: np.ndarray | None
    vector: np.ndarray


class LearnedProblem(InverseProblem, Protocol):
    """An inverse problem that a network can be trained for: it says what the network sees and what its output means."""

    def features(self, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> Features:
        """What a network sees of estimates x (B, ...), their predictions, and the observation, of instances rows (B,)."""
        ...

    def step_from_output(self, output: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The step that a network means.

        Args:
            output: (B, D) of the network, components of order one.
            x: (B, ...) where it was asked.
            rows: (B,) the instances.

        Returns:
            (B, D) in the tangent space at x.
        """
        ...

    def output_from_step(self, step: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The inverse of step_from_output: what a network is trained to say.

        Args:
            step: (B, D) in the tangent space at x.
            x: (B, ...).
            rows: (B,) the instances.

        Returns:
            (B, D) components of order one.
        """
        ...


class Samples(NamedTuple):
    """A batch of instances whose answer is known, for training and measuring."""

    problem: LearnedProblem
    observation: Arrays
    x0: np.ndarray
    x_true: np.ndarray


class Sampler(Protocol):
    """Draws instances at random; the same generator state gives the same samples."""

    def draw(self, rng: np.random.Generator, count: int) -> Samples: ...


def take(arrays: Arrays, rows: np.ndarray | slice) -> Arrays:
    """The given rows of every array.  An array that is one instance broadcast to all stays so, without a copy."""
    if hasattr(arrays, "_make"):  # a NamedTuple
        return arrays._make(None if array is None else take(array, rows) for array in arrays)
    if arrays.ndim > 1 and arrays.strides[0] == 0:
        return repeated(arrays, len(np.arange(len(arrays))[rows]))
    return arrays[rows]


def repeated(arrays: Arrays, count: int) -> Arrays:
    """The first row of every array, seen `count` times without a copy."""
    if hasattr(arrays, "_make"):
        return arrays._make(None if array is None else repeated(array, count) for array in arrays)
    return np.broadcast_to(arrays[0], (count, *arrays.shape[1:]))


def put(arrays: Arrays, rows: np.ndarray, values: Arrays) -> Arrays:
    """A copy of every array in which the given rows hold `values`."""
    if hasattr(arrays, "_make"):
        return arrays._make(None if a is None else put(a, rows, v) for a, v in zip(arrays, values, strict=True))
    arrays = arrays.copy()
    arrays[rows] = values
    return arrays


def in_parts(update: Update, size: int) -> Update:
    """The same update, asked about at most `size` instances at a time, so that what it works with stays small."""

    def update_parts(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        parts = [slice(first, first + size) for first in range(0, len(x), size)]
        return np.concatenate([update(stage, x[p], take(prediction, p), take(observation, p), rows[p]) for p in parts])

    return update_parts
