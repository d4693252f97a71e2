# SPDX-License-Identifier: Apache-2.0
"""Light from all around: a sky, uniform or brighter to one side, and what shines from below."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.lights.light import across, spread
from solver_core.problems.lighting.observation import UNIFORM_SKY, Sky
from solver_core.problems.lighting.surface import LitScene

if TYPE_CHECKING:
    from solver_core.problems.lighting.surroundings import Surroundings

SKIES = {
    "auto": "Uniform where the strength of the light is not known, else none",
    "none": "No light from all around",
    "uniform": "The same from all around",
    "gradient": "Brighter to one side, evenly",
}
SAMPLES = 64  # directions: the share of the sky that is seen is off by about a hundredth
MAP = 64  # texels of a shadow map for one of them: together they are soft
HORIZON = 0.15  # sine of the height to which sky and fill pass into each other: about what the samples are apart
MEAN_SAMPLES = 2000  # directions of a mean over a half of the sphere


class SkySuns(NamedTuple):
    """What N suns all around make of P points: shading (N, P) with shadows, cosine (N, P) without."""

    shading: np.ndarray
    cosine: np.ndarray

    @classmethod
    def of(cls, scene: LitScene) -> SkySuns:
        """Of a single scene's points."""
        directions = spread(SAMPLES, lowest_z=-1.0)
        shading = LIGHTS["sun"].shade(scene.of(np.zeros(SAMPLES, int)), directions, MAP)
        return cls(shading, np.maximum(directions @ scene.surface.normal[0].T, 0))

    @property
    def openness(self) -> np.ndarray:
        """(P,) share of the light of a uniform sky that reaches the points."""
        return self.shading.sum(axis=0) / np.maximum(self.cosine.sum(axis=0), np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class SkyShape:
    """What a sky may be.  kind: a key of SKIES but auto.  has_fill: whether it is another below the horizon."""

    kind: str = "uniform"
    has_fill: bool = False

    @property
    def is_plain(self) -> bool:
        return self.kind != "gradient" and not self.has_fill

    def profiles(self, towards: np.ndarray, up: np.ndarray) -> np.ndarray:
        """(T, ...) radiance of the parts of the sky in directions (..., 3), one together; up: (3,) unit."""
        parts = np.ones((1, *towards.shape[:-1]), np.float32)
        if self.kind == "gradient":
            axes = np.concatenate([up[None], across(up[None])[0]])  # (3, 3)
            along = np.moveaxis(towards @ axes.T, -1, 0)
            parts = (1 + np.concatenate([along, -along])) / len(along) / 2
        if self.has_fill:
            above = np.clip(0.5 + 0.5 * (towards @ up) / HORIZON, 0, 1)
            parts = np.concatenate([parts * above, (1 - above)[None]])
        return parts.astype(np.float32)

    def arriving(self, scene: LitScene, suns: SkySuns | None, around: Surroundings | None, up: np.ndarray) -> Sky:
        """At the points of a single scene.

        Args:
            scene: a single one.
            suns: those of the scene, where surfaces hide the sky, None = nothing does.
            around: where surfaces light each other, None = nowhere.
            up: (3,) unit.
        """
        if suns is None and self.is_plain:
            return UNIFORM_SKY
        normal = scene.surface.normal[0]
        directions = spread(SAMPLES, lowest_z=-1.0)
        cosine = np.maximum(directions @ normal.T, 0)
        seen = cosine if suns is None else suns.shading
        profiles = self.profiles(directions, up)
        straight = profiles @ seen / np.maximum(cosine.sum(axis=0), np.finfo(np.float32).tiny)  # (T, P)
        radiance = np.minimum(straight, 1).astype(np.float32)[..., None]
        if around is not None:
            radiance = around.with_bounces(radiance, scene.surface.albedo)
        return Sky(radiance[None], profiles.mean(axis=1))


@dataclass(frozen=True, eq=False)
class FoundSky:
    """A sky that was found.  amounts: (T, 3) radiance of its parts.  up: (3,) unit, in the camera's frame."""

    shape: SkyShape
    amounts: np.ndarray
    up: np.ndarray

    def radiance(self, towards: np.ndarray) -> np.ndarray:
        """(..., 3) linear RGB from directions (..., 3) in the camera's frame."""
        return np.moveaxis(self.shape.profiles(towards, self.up), 0, -1) @ self.amounts

    @property
    def fill(self) -> np.ndarray | None:
        """(3,) radiance from below the horizon, None where it is not another."""
        return self.amounts[-1] if self.shape.has_fill else None

    @property
    def evenly(self) -> tuple[np.ndarray, np.ndarray]:
        """The sky but its fill, which changes evenly: constant (3,) + slope (3, 3) times a direction."""
        plain = FoundSky(SkyShape(self.shape.kind), self.amounts[:-1] if self.shape.has_fill else self.amounts, self.up)
        ahead, behind = plain.radiance(np.eye(3)), plain.radiance(-np.eye(3))  # (3 axes, 3 colours)
        return ((ahead + behind) / 2).mean(axis=0), (ahead - behind).T / 2

    @property
    def mean(self) -> np.ndarray:
        """(3,) radiance over all directions."""
        return self.radiance(spread(MEAN_SAMPLES, lowest_z=-1.0)).mean(axis=0)

    @property
    def above(self) -> np.ndarray:
        """(3,) mean radiance from above the horizon."""
        return self._mean(self.up)

    @property
    def below(self) -> np.ndarray:
        """(3,) mean radiance from below it."""
        return self._mean(-self.up)

    def _mean(self, axis: np.ndarray) -> np.ndarray:
        towards = spread(MEAN_SAMPLES, lowest_z=-1.0)
        return self.radiance(towards[towards @ axis > 0]).mean(axis=0)
