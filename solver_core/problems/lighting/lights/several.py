# SPDX-License-Identifier: Apache-2.0
"""Lamps that shine at once: the numbers of one after those of the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from solver_core.manifolds import Manifold, Product
from solver_core.problems.lighting.lights.light import Light

if TYPE_CHECKING:
    from solver_core.problems.lighting.surface import LitScene

NUMBERS = 3  # of every lamp


@dataclass(frozen=True)
class Lamps:
    """K lamps, x (B, 3 K).  kinds: of each."""

    kinds: tuple[Light, ...]

    @property
    def manifold(self) -> Manifold:
        return self.kinds[0].manifold if len(self.kinds) == 1 else Product(tuple(kind.manifold for kind in self.kinds))

    def each(self, x: np.ndarray) -> list[np.ndarray]:
        """(B, 3) of every lamp."""
        return np.split(x, len(self.kinds), axis=1)

    def shade(self, scene: LitScene, x: np.ndarray, map_size: int) -> np.ndarray:
        """(B, K, P) irradiance with cast shadows; of several lamps, in a scene that is the same for all B."""
        if len(self.kinds) == 1:
            return self.kinds[0].shade(scene, x, map_size)[:, None]
        shading = []
        for kind, lamp in zip(self.kinds, self.each(x), strict=True):
            _, rows, places = np.unique(lamp, axis=0, return_index=True, return_inverse=True)  # most often only one has moved
            shading.append(kind.shade(scene.of(rows), lamp[rows], map_size)[places.reshape(-1)])
        return np.stack(shading, axis=1)

    def unit_moves(self, x: np.ndarray) -> np.ndarray:
        """(B, M, 3 K) independent steps of one radian, or of a lamp's whole distance; those of a lamp move it alone."""
        moves = []
        for index, (kind, lamp) in enumerate(zip(self.kinds, self.each(x), strict=True)):
            of_lamp = kind.unit_moves(lamp)
            before, after = NUMBERS * index, NUMBERS * (len(self.kinds) - 1 - index)
            moves.append(np.pad(of_lamp, ((0, 0), (0, 0), (before, after))))
        return np.concatenate(moves, axis=1)
