# SPDX-License-Identifier: Apache-2.0
"""Where the light might be: with geometry and albedo known, an image is linear in its lights.

The scene is shaded by a basis of lights spread all around.  In each group of neighbours of the basis, one non-negative
fit mixes their images to the photograph's, and the mixture is a light between them.  That looks at all lights at once and
has no hollows to fall into; what the coarse grid and the shadows in between lose, the refinement finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from solver_core.problem import take
from solver_core.problems.lighting.lights import LIGHTS, Light
from solver_core.problems.lighting.non_negative import non_negative
from solver_core.problems.lighting.observation import USUAL_AMBIENT, USUAL_WEIGHT
from solver_core.problems.lighting.problem import LightingProblem

KNOWN_WEIGHT = 0.3  # of a known strength against all of the image: off by a tenth costs 0.3 percent of it
APART_DEG = 20.0  # sets of lamps that are followed differ by at least so much
FIRST = 96  # lamps that sets of several begin with: all of the suns of the basis, half of its point lights
PAIRS = 6  # of the basis, near which two mixtures are looked for
MISSED = 0.7  # of what an image leaves with a known light is left without it: then it is not in the image


class Mixtures(NamedTuple):
    """Lights x (M, 3) that groups of the basis amount to, and the share of the squared image that each leaves, left (M,)."""

    x: np.ndarray
    left: np.ndarray


class BasisImages:
    """Images of one instance of a problem by the lights of its kind's basis, or of the bases of several kinds, grey.

    kinds: that of the problem ahead; none = that alone.  shadings: (N, P) of bases, by the name of their kind, that are there
    already, from another problem at the same points.
    """

    def __init__(
        self, problem: LightingProblem, kinds: Sequence[Light] = (), shadings: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self.problem, self.kind = problem, problem.kind
        self.shadings = dict(shadings or {})
        self.first: dict[str, int] = {}  # index of the first light of a kind
        count = 0
        for kind in kinds or (problem.kind,):
            basis, rows = kind.basis, np.zeros(len(kind.basis.x), dtype=int)
            if kind.name not in self.shadings:
                shading = kind.shade(problem.scene.of(rows), basis.x, problem.map_size)
                self.shadings[kind.name] = shading * basis.strength[:, None]
            self.first[kind.name] = count
            count += len(basis.x)
        self.lights = np.concatenate([LIGHTS[name].basis.x for name in self.first])
        shading, rows = np.concatenate([self.shadings[name] for name in self.first]), np.zeros(count, dtype=int)
        albedo = problem.scene.surface.albedo[0]
        if problem.tinted:  # the albedo as the best of the basis has it
            prediction = problem.explain(shading[:, None].astype(np.float32), rows)
            best = np.argmin(problem.energy(prediction, take(problem.observation, rows), rows))
            albedo = prediction.albedo[best]
        self.albedo = albedo
        around = (problem.sky.radiance[0] * albedo).mean(axis=2)
        self.images = np.concatenate([self._of_lamps(shading), around]).astype(np.float64)  # the sky's parts are the last
        self.weight = problem.observation.weight[0].astype(np.float64)
        self.squares = (self.images * self.weight) @ self.images.T

    def mixtures(self, image: np.ndarray, strength: float | None) -> Mixtures:
        """Lights that explain an image (P,) of grey values.

        strength: of the light; None = unknown, and then there may be ambient light.
        """
        basis, sky = self.kind.basis, self.problem.sky.mean
        members, size = basis.groups, basis.groups.shape[1]
        energy = float(np.sum(self.weight * image * image))
        if strength is None or not self.problem.is_alone[0]:
            members = self._with_sky(members)
        if strength is None:
            amounts, wanted = np.append(np.full(size, -USUAL_AMBIENT), sky)[None], 0.0
            pull = USUAL_WEIGHT * self.squares[len(self.lights) :, len(self.lights) :].sum()
        else:
            amounts, wanted = np.zeros(members.shape), 1.0
            amounts[:, :size] = basis.strength[basis.groups] / max(strength, np.finfo(np.float32).eps)
            pull = KNOWN_WEIGHT * energy
        squares = self.squares[members[:, :, None], members[:, None, :]] + pull * amounts[:, :, None] * amounts[:, None, :]
        products = ((self.images * self.weight) @ image)[members] + pull * wanted * amounts
        weights, gain = non_negative(squares, products)
        left = 1 + pull * wanted / energy - gain / energy
        weights = weights[:, :size]
        is_light = weights.any(axis=1)
        mixed = np.einsum("mk,mkc->mc", weights, basis.x[members[:, :size]])[is_light]
        mixed /= weights[is_light].sum(axis=1, keepdims=True)
        return Mixtures(self.kind.bounded(mixed).astype(np.float32), left[is_light])

    def sets(self, kinds: Sequence[Light], count: int) -> np.ndarray:
        """Lamps of the basis that together explain an image best (orthogonal matching pursuit from many starts).

        Args:
            kinds: of the lamps in a set, in the order of the bases.
            count: sets that are kept for the next lamp; the first time, it is more.

        Returns:
            (N, K) indices of lights of the basis, distinct sets, the best first.
        """
        sets = self._of_kind(kinds[0])[:, None]
        sets = sets[np.sort(np.argsort(self._left_by(sets), kind="stable")[:FIRST])]
        for kind in kinds[1:]:
            lamps = self._of_kind(kind)
            sets = np.concatenate([np.repeat(sets, len(lamps), axis=0), np.tile(lamps, len(sets))[:, None]], axis=1)
            sets = np.unique(np.sort(sets, axis=1), axis=0)
            sets = sets[np.all(np.diff(sets, axis=1) > 0, axis=1)]
            sets = sets[distinct_best(self.lights[sets].reshape(len(sets), -1), self._left_by(sets), count, APART_DEG)]
        return sets

    def left_by(self, kinds: Sequence[Light]) -> float:
        """Share of the squared image that the best mixture of neighbours for each of one or two lamps, and the sky, leave."""
        groups = [kind.basis.groups + self.first[kind.name] for kind in kinds]
        if len(kinds) == 1:
            return float(self._left_by(groups[0]).min())

        def near(pair: np.ndarray) -> np.ndarray:
            """(M, K) all pairs of groups of which one is around each lamp."""
            ones, others = (of_kind[np.any(of_kind == lamp, axis=1)] for of_kind, lamp in zip(groups, pair, strict=True))
            return np.concatenate([np.repeat(ones, len(others), axis=0), np.tile(others, (len(ones), 1))], axis=1)

        return float(self._left_by(np.concatenate([near(pair) for pair in self.sets(kinds, PAIRS)])).min())

    def _of_kind(self, kind: Light) -> np.ndarray:
        """(N,) indices of its lights."""
        return self.first[kind.name] + np.arange(len(kind.basis.x))

    def _with_sky(self, members: np.ndarray) -> np.ndarray:
        """(M, K + T) the sky's parts beside lights (M, K)."""
        around = len(self.lights) + np.arange(len(self.problem.sky.mean))
        return np.concatenate([members, np.broadcast_to(around, (len(members), len(around)))], axis=1)

    def _of_lamps(self, shading: np.ndarray) -> np.ndarray:
        """(N, P) grey images by lamps of a shading (N, P)."""
        white = shading[..., None]
        if self.problem.surroundings is not None:
            white = self.problem.surroundings.with_bounces(white, self.albedo)
        return (white * self.albedo).mean(axis=2)

    def _left_by(self, sets: np.ndarray) -> np.ndarray:
        """(M,) share of the squared image that lamps (M, K) of the basis, by their index, and the sky leave."""
        image = self.problem.observation.image[0].mean(axis=1)
        members = self._with_sky(sets)
        products = ((self.images * self.weight) @ image)[members]
        _, gain = non_negative(self.squares[members[:, :, None], members[:, None, :]], products)
        return 1 - gain / float(np.sum(self.weight * image * image))

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
    """The best of many answers of which no two are alike.

    Args:
        lights: (N, 3 K) directions or positions of K lamps each, in any order.
        energy: (N,) the smaller, the better.
        count: how many at most.
        angle_deg: by which a lamp of the one differs at least from all of the other, degrees.

    Returns:
        Indices of lights, the best first.
    """
    towards = lights.reshape(len(lights), -1, 3)
    towards = towards / np.linalg.norm(towards, axis=2, keepdims=True)
    chosen: list[int] = []
    for row in np.argsort(energy, kind="stable"):
        if len(chosen) == count:
            break
        nearness = np.max(towards[row] @ towards[chosen].transpose(0, 2, 1), axis=2)  # (chosen, K)
        if np.all(nearness.min(axis=1) < np.cos(np.radians(angle_deg))):
            chosen.append(int(row))
    return np.array(chosen, dtype=int)
