# SPDX-License-Identifier: Apache-2.0
"""Lighting as an inverse problem: f shades known geometry, E is the robust difference of the images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from solver_core.manifolds import Manifold
from solver_core.problem import Features, take
from solver_core.problems.lighting import features as lighting_features
from solver_core.problems.lighting.least_squares import shading_solution
from solver_core.problems.lighting.lights import Light
from solver_core.problems.lighting.lights.several import Lamps
from solver_core.problems.lighting.observation import (
    ROUNDS,
    UNIFORM_SKY,
    Arriving,
    Known,
    LightingObservation,
    LightingPrediction,
    Sky,
    black_cost,
    fit_linear,
    fit_tinted,
    robust_cost,
    tint_albedo,
    unusual_cost,
)
from solver_core.problems.lighting.surface import LitScene
from solver_core.problems.lighting.surroundings import Surroundings

MAP_SIZE = 96  # texels of a shadow map against 64 cells of a grid


@dataclass(frozen=True, eq=False)
class LightingProblem:
    """A batch of scenes of known geometry, each lit by lamps and a sky.

    kind: of the light; it says what x (B, 3) is.  observation: what strength and sky are fitted to inside f (variable
    projection), which keeps the unknown at the paper's three numbers.  strength: (B, 3) in bright levels where it is known, NaN
    elsewhere.  tinted: indexes of the objects whose albedo is multiplied by an unknown colour, which is fitted likewise.
    alone: (B,) bool, where there is no sky; None = where the strength is known.  surroundings: of the scene, which is then the
    same in the whole batch; None = no surface lights another.  sky: its parts, as they arrive at the points.  more: kinds of
    further lamps, whose numbers follow in x, (B, 3 K).
    """

    kind: Light
    scene: LitScene
    observation: LightingObservation
    strength: np.ndarray
    map_size: int = MAP_SIZE
    tinted: tuple[int, ...] = ()
    alone: np.ndarray | None = None
    surroundings: Surroundings | None = None
    sky: Sky = UNIFORM_SKY
    more: tuple[Light, ...] = ()

    @property
    def lamps(self) -> Lamps:
        return Lamps((self.kind, *self.more))

    def of(self, rows: np.ndarray) -> LightingProblem:
        """The problem of the given instances, which may repeat."""
        observation = take(self.observation, rows)
        alone = self.is_alone[rows]
        return replace(self, scene=self.scene.of(rows), observation=observation, strength=self.strength[rows], alone=alone)

    @property
    def is_alone(self) -> np.ndarray:
        return ~np.isnan(self.strength[:, 0]) if self.alone is None else self.alone

    @property
    def manifold(self) -> Manifold:
        return self.lamps.manifold

    def forward(self, x: np.ndarray, rows: np.ndarray, weight: np.ndarray | None = None) -> LightingPrediction:
        """weight: as in explain."""
        return self.explain(self.lamps.shade(self.scene.of(rows), x, self.map_size), rows, weight)

    def explain(self, shading: np.ndarray, rows: np.ndarray, weight: np.ndarray | None = None) -> LightingPrediction:
        """What of the observation lamps of this shading (B, K, P) explain, with what is linear fitted.

        weight: (B, P) of the points in that fit; None = the observation's, and less of points that are explained badly.
        """
        surface, observed, known = take(self.scene.surface, rows), take(self.observation, rows), self._known(rows)
        rounds = ROUNDS
        if weight is not None:
            observed, rounds = observed._replace(weight=weight), 1
        albedo, lamps = surface.albedo, shading[..., None]
        if self.surroundings is not None:
            lamps = self.surroundings.with_bounces(lamps, albedo[:, None])
        arriving = Arriving(lamps, self.sky)
        if self.tinted:
            is_of = surface.object_index[:, None] == np.array(self.tinted)[:, None]  # (B, M, P)
            is_of = is_of.astype(np.float32)
            linear, tint = fit_tinted(arriving, albedo, is_of, observed, known, rounds)
            albedo = tint_albedo(albedo, is_of, tint)
            lights = arriving.on(albedo)
        else:
            lights = arriving.on(albedo)
            linear = fit_linear(lights, observed, known, rounds)
            tint = np.ones((len(rows), 0, 3), np.float32)
        ambient = np.einsum("t,btc->bc", self.sky.mean, linear.sky)
        return LightingPrediction(shading, *linear, ambient, albedo, tint, lights.mixed(linear))

    def energy(self, prediction: LightingPrediction, observation: LightingObservation, rows: np.ndarray) -> np.ndarray:
        """The image energy and, where the ambient light is not known, what an unusual one costs."""
        unusual = unusual_cost(prediction, observation.weight) / black_cost(observation)
        return self.image_energy(prediction, observation) + np.where(self.is_alone[rows], 0, unusual)

    def image_energy(self, prediction: LightingPrediction, observation: LightingObservation) -> np.ndarray:
        """(B,) robust difference of the images over that to a black image: 0 is a perfect answer, 1 explains nothing."""
        return robust_cost(prediction.image - observation.image, observation.weight) / black_cost(observation)

    def _known(self, rows: np.ndarray) -> Known:
        return Known(self.strength[rows], self.is_alone[rows])

    def image_energies(self, x: np.ndarray) -> np.ndarray:
        """(N,) image energies of lights (N, 3) for the one instance of a problem."""
        rows = np.zeros(len(x), dtype=int)
        return self.image_energy(self.forward(x.astype(np.float32), rows), take(self.observation, rows))

    def features(
        self, x: np.ndarray, prediction: LightingPrediction, observation: LightingObservation, rows: np.ndarray
    ) -> Features:
        surface = take(self.scene.surface, rows)
        solution = shading_solution(self.kind, x, surface, prediction, observation)
        proposal = self.output_from_step(self.manifold.difference(x, solution), x, rows)
        energy = self.energy(prediction, observation, rows)
        is_known = ~np.isnan(self.strength[rows, 0])
        return lighting_features.features(x, proposal, energy, is_known, surface, prediction, observation)

    def step_from_output(self, output: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Outputs are velocities of the light, for every kind of step."""
        return self.kind.step_from_velocity(x, output * lighting_features.OUTPUT_SCALE)

    def output_from_step(self, step: np.ndarray, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return self.kind.velocity_from_step(x, step) / lighting_features.OUTPUT_SCALE
