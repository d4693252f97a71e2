# SPDX-License-Identifier: Apache-2.0
"""What the solver has to know of a kind of light, on one page.

The unknown x (B, 3) is a direction or a position in camera axes, about `LitScene.centre` and in units of `LitScene.scale`.
`light` is the same for the user: in the camera's frame, a unit direction towards the light or a position in metres.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np

from solver_core.kernel.tree import cross
from solver_core.manifolds import Manifold

if TYPE_CHECKING:
    from solver_core.problems.lighting.surface import LitScene, Surface

START_DIRECTION = np.array([[0.0, 0.6, 0.8]], dtype=np.float32)  # over the camera: most lights are above, few behind
NEIGHBOURS = 6  # of a direction among evenly spread ones
LONGEST_SIDE = 2.2  # of a triangle of neighbours, in distances to the nearest neighbour
LOWEST_Z = -0.3  # how far behind the objects a light is looked for: a grazing one still lights some of what is seen


class ShadingEquation(NamedTuple):
    """Linear equations normal . x = target (B, P) for the light; variance: (B, P) of the targets, relative."""

    target: np.ndarray
    variance: np.ndarray


class Doubt(NamedTuple):
    """Another light (1, 3) that may look the same, and the sentence for the user if it does."""

    x: np.ndarray
    sentence: str


class Basis(NamedTuple):
    """Lights whose images are mixed to find others.

    x: (N, 3) spread over all that is looked at.  groups: (M, K) indices of neighbours, which together cover it.
    strength: (N,) of each, so that they light the middle of the scene alike.
    """

    x: np.ndarray
    groups: np.ndarray
    strength: np.ndarray


class Light(Protocol):
    """A kind of light."""

    name: ClassVar[str]  # in commands, jobs and Python
    label: ClassVar[str]  # in sentences
    description: ClassVar[str]  # of what is found, for choosing
    meaning: ClassVar[str]  # of `light`, in sentences
    unit: ClassVar[str]  # of its strength, as Blender has it
    has_position: ClassVar[bool]  # else x is a unit direction
    weights: ClassVar[str]  # the file of its networks, if they ship
    manifold: ClassVar[Manifold]

    @property
    def start(self) -> np.ndarray:
        """(1, 3) where the steps begin."""
        ...

    @property
    def basis(self) -> Basis:
        """Lights spread over all that a search looks at."""
        ...

    def shade(self, scene: LitScene, x: np.ndarray, map_size: int) -> np.ndarray:
        """(B, P) irradiance with cast shadows.

        map_size: texels along a side of a shadow map.
        """
        ...

    def irradiance(self, surface: Surface, x: np.ndarray) -> np.ndarray:
        """(B, P) of the surface's points by lights of strength one, shadows left out."""
        ...

    def slopes(self, surface: Surface, x: np.ndarray) -> np.ndarray:
        """(B, P, 3) derivative of the irradiance by a step of the manifold."""
        ...

    def unit_moves(self, x: np.ndarray) -> np.ndarray:
        """(B, K, 3) independent steps of one radian, or of the light's whole distance."""
        ...

    def shading_equation(self, surface: Surface, x: np.ndarray, irradiance: np.ndarray) -> ShadingEquation:
        """Equations that the light fulfils where an irradiance (B, P), over its strength, is seen; exact near x."""
        ...

    def bounded(self, solved: np.ndarray) -> np.ndarray:
        """(B, 3) the nearest that is a light, of solutions (B, 3) of the shading equation."""
        ...

    def step_from_velocity(self, x: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """(B, 3) step of the manifold that moves x by about `velocity` (B, 3)."""
        ...

    def velocity_from_step(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        """(B, 3) the inverse of step_from_velocity."""
        ...

    def doubts(self, x: np.ndarray) -> list[Doubt]:
        """What an image often leaves open about a light (1, 3)."""
        ...

    def strength_unit(self, scale: np.ndarray) -> np.ndarray:
        """(B,) strength, as Blender has it, that makes albedo times shading the radiance; scale: (B,) of the scene, metres."""
        ...

    def to_camera(self, x: np.ndarray, scene: LitScene) -> np.ndarray:
        """(B, 3) light of x (B, 3); the scene may be a single one for all."""
        ...

    def from_camera(self, light: np.ndarray, scene: LitScene) -> np.ndarray:
        """(B, 3) x of a light (B, 3) or (3,)."""
        ...

    def at_offset(self, point: np.ndarray, offset: np.ndarray) -> np.ndarray:
        """(..., 3) light that is seen from a point at an offset, both (..., 3) in the camera's frame."""
        ...

    def offset_from(self, point: np.ndarray, light: np.ndarray) -> np.ndarray:
        """(..., 3) where a light is seen from a point; of a direction, the unit vector."""
        ...


def across(x: np.ndarray) -> np.ndarray:
    """(B, 2, 3) unit vectors perpendicular to x (B, 3), any length, and to each other."""
    towards = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    helper = np.where(np.abs(towards[:, 1:2]) < 0.9, [0, 1, 0], [1, 0, 0])
    right = cross(helper, towards)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, cross(towards, right)], axis=1)


def triangles(directions: np.ndarray) -> np.ndarray:
    """(M, 3) indices of neighbouring unit directions (N, 3), evenly spread, whose triangles cover what they cover."""
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -1)
    near = np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]
    offset = directions[near] - directions[:, None]  # (N, NEIGHBOURS, 3)
    right, up = np.moveaxis(np.einsum("nkc,nac->nka", offset, across(directions)), 2, 0)
    near = np.take_along_axis(near, np.argsort(np.arctan2(up, right), axis=1), axis=1)  # around each, in turn
    first = np.repeat(np.arange(len(directions)), NEIGHBOURS)
    found = np.unique(np.sort(np.stack([first, near.ravel(), np.roll(near, -1, axis=1).ravel()], axis=1), axis=1), axis=0)
    sides = np.min([cosines[found[:, a], found[:, b]] for a, b in ((0, 1), (1, 2), (0, 2))], axis=0)
    usual = np.sort(cosines, axis=1)[:, -1].mean()
    return found[sides > np.cos(LONGEST_SIDE * np.arccos(usual))]  # at the border some reach around the others


def half_sphere(count: int) -> np.ndarray:
    """(N, 3) float32 unit directions spread over the half sphere on the camera's side and a little beyond."""
    return spread(count, LOWEST_Z)


def spread(count: int, lowest_z: float) -> np.ndarray:
    """(N, 3) float32 unit directions spread evenly over the sphere above a height."""
    index = np.arange(count) + 0.5
    z = 1 - (1 - lowest_z) * index / count
    azimuth = np.pi * (1 + np.sqrt(5)) * index  # golden angle: no two in a row
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z], axis=1).astype(np.float32)
