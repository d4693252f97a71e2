# SPDX-License-Identifier: Apache-2.0
"""Where the light might be: with geometry and albedo known, an image is linear in its lights.

The scene is shaded by a basis of lights spread all around.  In each group of neighbours of the basis, one non-negative
fit mixes their images to the photograph's, and the mixture is a light between them.  That looks at all lights at once and
has no hollows to fall into; what the coarse grid and the shadows in between lose, the refinement finds.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

from solver_core.problem import take
from solver_core.problems.lighting.observation import USUAL_AMBIENT, USUAL_WEIGHT, Arriving
from solver_core.problems.lighting.problem import LightingProblem

KNOWN_WEIGHT = 0.3  # of a known strength against all of the image: off by a tenth costs 0.3 percent of it
MISSED = 0.7  # of what an image leaves with a known light is left without it: then it is not in the image
RIDGE = 1e-6  # of the largest curvature: images of neighbours may be the same


class Mixtures(NamedTuple):
    """Lights x (M, 3) that groups of the basis amount to, and the share of the squared image that each leaves, left (M,)."""

    x: np.ndarray
    left: np.ndarray


class BasisImages:
    """Images of one instance of a problem by the lights of its kind's basis, grey.

    shading: (N, P) of the basis if it is there already, from another problem at the same points.
    """

    def __init__(self, problem: LightingProblem, shading: np.ndarray | None = None) -> None:
        self.problem, self.kind = problem, problem.kind
        basis = problem.kind.basis
        rows = np.zeros(len(basis.x), dtype=int)
        self.shading: np.ndarray = (
            problem.kind.shade(problem.scene.of(rows), basis.x, problem.map_size) * basis.strength[:, None]
            if shading is None
            else shading
        )
        albedo = problem.scene.surface.albedo[0]
        if problem.tinted:  # the albedo as the best of the basis has it
            prediction = problem.explain(self.shading.astype(np.float32), rows)
            best = np.argmin(problem.energy(prediction, take(problem.observation, rows), rows))
            albedo = prediction.albedo[best]
        arriving = (
            Arriving.straight(self.shading)
            if problem.surroundings is None
            else problem.surroundings.arriving(self.shading, albedo[None])
        )
        images = np.concatenate([arriving.direct * albedo, arriving.sky * albedo])  # the last is by ambient light
        self.images = images.mean(axis=2).astype(np.float64)
        self.weight = problem.observation.weight[0].astype(np.float64)
        self.squares = (self.images * self.weight) @ self.images.T

    def mixtures(self, image: np.ndarray, strength: float | None) -> Mixtures:
        """Lights that explain an image (P,) of grey values.

        strength: of the light; None = unknown, and then there may be ambient light.
        """
        basis = self.kind.basis
        members, size = basis.groups, basis.groups.shape[1]
        energy = float(np.sum(self.weight * image * image))
        if strength is None:
            members = np.concatenate([members, np.full((len(members), 1), len(basis.x))], axis=1)
            amounts, wanted = np.append(np.full(size, -USUAL_AMBIENT), 1)[None], 0.0
            pull = USUAL_WEIGHT * self.squares[-1, -1]
        else:
            amounts, wanted = basis.strength[members] / max(strength, np.finfo(np.float32).eps), 1.0
            pull = KNOWN_WEIGHT * energy
        squares = self.squares[members[:, :, None], members[:, None, :]] + pull * amounts[:, :, None] * amounts[:, None, :]
        products = ((self.images * self.weight) @ image)[members] + pull * wanted * amounts
        weights, gain = _non_negative(squares, products)
        left = 1 + pull * wanted / energy - gain / energy
        weights = weights[:, :size]
        is_light = weights.any(axis=1)
        mixed = np.einsum("mk,mkc->mc", weights, basis.x[members[:, :size]])[is_light]
        mixed /= weights[is_light].sum(axis=1, keepdims=True)
        return Mixtures(self.kind.bounded(mixed).astype(np.float32), left[is_light])

    def least_left(self, taken: np.ndarray | float = 0.0) -> float:
        """Share of the squared image that the best mixture leaves.

        taken: (P,) grey, in bright levels, what is taken off the problem's image first.
        """
        problem = self.problem
        image = problem.observation.image[0].mean(axis=1) - taken
        strength = float(problem.strength.mean()) if problem.is_alone[0] else None
        return float(self.mixtures(image, strength).left.min(initial=1.0))

    def least_rest(self, taken: np.ndarray | float = 0.0) -> float:
        """The same as a squared difference, in the image's own units."""
        image = (self.problem.observation.image[0].mean(axis=1) - taken) * self.problem.observation.level[0]
        return float(np.sum(self.weight * image * image)) * self.least_left(taken)


def contradicted(problem: LightingProblem, parts: np.ndarray) -> list[int]:
    """Known lights that are not in an image, because lights of the basis explain it much better without them.

    Args:
        problem: of one instance whose observation holds all lights.
        parts: (K, P, 3) what each known light adds to it.

    Returns:
        Indices of parts, the clearest first.
    """
    images, greys = BasisImages(problem), parts.mean(axis=2)
    missing: list[int] = []

    def rest(left_out: list[int]) -> float:
        return images.least_rest(np.delete(greys, left_out, axis=0).sum(axis=0))

    current = rest(missing)
    while len(missing) < len(parts):
        others = [index for index in range(len(parts)) if index not in missing]
        rests = [rest([*missing, index]) for index in others]
        if min(rests) >= MISSED * current:
            break
        missing.append(others[int(np.argmin(rests))])
        current = min(rests)
    return missing


def distinct_best(lights: np.ndarray, energy: np.ndarray, count: int, angle_deg: float) -> np.ndarray:
    """The best of many lights of which no two are alike.

    Args:
        lights: (N, 3) directions or positions.
        energy: (N,) the smaller, the better.
        count: how many at most.
        angle_deg: by which they differ at least, degrees.

    Returns:
        Indices of lights, the best first.
    """
    towards = lights / np.linalg.norm(lights, axis=1, keepdims=True)
    chosen: list[int] = []
    for row in np.argsort(energy, kind="stable"):
        if len(chosen) == count:
            break
        if all(towards[row] @ towards[other] < np.cos(np.radians(angle_deg)) for other in chosen):
            chosen.append(int(row))
    return np.array(chosen, dtype=int)


def _non_negative(squares: np.ndarray, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative solutions (M, K) of M small normal equations, by trying all sets of what is not zero.

    squares: (M, K, K).  products: (M, K).  Second: (M,) by how much each lowers the squared error of zeros.
    """
    num_systems, size = products.shape
    ridge = RIDGE * np.trace(squares, axis1=1, axis2=2)[:, None, None] + 1e-12
    best, gain = np.zeros((num_systems, size)), np.zeros(num_systems)
    for count in range(1, size + 1):
        for chosen in map(list, combinations(range(size), count)):
            part = squares[:, chosen][:, :, chosen] + ridge * np.eye(count)
            solution = np.linalg.solve(part, products[:, chosen, None])[..., 0]
            gained = np.sum(solution * products[:, chosen], axis=1)
            is_better = (solution >= 0).all(axis=1) & (gained > gain)
            gain[is_better] = gained[is_better]
            best[is_better] = 0
            best[np.ix_(is_better, chosen)] = solution[is_better]
    return best, gain
