# SPDX-License-Identifier: Apache-2.0
"""The classical way to a light: least squares on the shading equation over the pixels that are lit.

Where a point is lit, its brightness is linear in the direction of a sun times its strength, and nearly linear in the
position of a point light.  Which points are lit is taken from the render at the current estimate; so it iterates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from solver_core.problems.lighting.observation import LightingObservation, LightingPrediction, robust_weight
from solver_core.problems.lighting.surface import Surface

if TYPE_CHECKING:
    from solver_core.problems.lighting.lights import Light

RIDGE = 1e-3  # of the largest curvature: keeps what the lit points do not determine where it is


def shading_solution(
    kind: Light, x: np.ndarray, surface: Surface, prediction: LightingPrediction, observation: LightingObservation
) -> np.ndarray:
    """The light that explains the points lit by an estimate.

    Robust: points that the estimate explains badly count less.

    Args:
        kind: of the light.
        x: (B, 3) estimates.
        surface: the points that are compared.
        prediction: f(x).
        observation: y.

    Returns:
        (B, 3); x itself where it lights nothing.
    """
    albedo = np.maximum(prediction.albedo.mean(axis=2), 1e-3)  # black surfaces say nothing; 1e-3 keeps them finite
    strength = np.maximum(prediction.strength[:, 0].mean(axis=1), np.finfo(np.float32).eps)[:, None]
    irradiance = (observation.image.mean(axis=2) / albedo - prediction.ambient.mean(axis=1)[:, None]) / strength  # (B, P)
    weight = observation.weight * robust_weight(prediction.image - observation.image) * albedo**2
    weight = np.where(prediction.shading[:, 0] > 0, weight, 0)
    equation = kind.shading_equation(surface, x, irradiance)
    solved = _weighted_least_squares(surface.normal, equation.target, weight / equation.variance, x)
    return kind.bounded(solved).astype(np.float32)


def _weighted_least_squares(normals: np.ndarray, target: np.ndarray, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(B, 3) solutions of normals . solution = target, drawn towards x; normals: (B, P, 3), the others (B, P)."""
    weighted = normals * weight[..., None]
    curvature = np.einsum("bpi,bpj->bij", weighted, normals).astype(np.float64)
    slope = np.einsum("bpi,bp->bi", weighted, target)
    ridge = RIDGE * np.trace(curvature, axis1=1, axis2=2)[:, None] + 1e-12  # some of it where nothing is lit at all
    solution = np.linalg.solve(curvature + ridge[..., None] * np.eye(3), (slope + ridge * x)[..., None])
    return solution[..., 0]
