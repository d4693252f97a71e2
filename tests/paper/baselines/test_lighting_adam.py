# SPDX-License-Identifier: Apache-2.0
"""Adam on Lambert shading, over a dome that casts no shadow on itself."""

import numpy as np
import pytest

from solver_core.mesh import Mesh
from solver_core.problems.lighting.lights import LIGHTS as KINDS
from solver_core.problems.lighting.observation import Arriving, Linear, observe
from solver_core.problems.lighting.problem import MAP_SIZE, LightingProblem
from solver_core.problems.lighting.surface import choose_pixels, lit_scene
from solver_core.render.gbuffer import join_scene, render_gbuffer
from training.paper.baselines.lighting_adam import adam, adam_from_several, lambert_descent

SIZE = 32
LIGHTS = {"sun": np.array([[0.36, 0.48, 0.8]]), "point": np.array([[0.6, 0.5, 0.9]])}
ONE = np.zeros(1, dtype=int)

both_kinds = pytest.mark.parametrize("kind", LIGHTS)


def dome() -> Mesh:
    """A shallow dome towards the camera, 2 units in front of it."""
    x, y = np.meshgrid(*[np.linspace(-0.5, 0.5, 24)] * 2)
    vertices = np.stack([x, y, -0.3 * (x**2 + y**2) - 2], axis=-1).reshape(-1, 3)
    corner = np.arange(24 * 23).reshape(23, 24)[:, :-1].ravel()
    faces = np.concatenate([corner[:, None] + offsets for offsets in ([0, 1, 25], [0, 25, 24])])
    return Mesh.checked(vertices, faces)


def dome_problem(kind: str) -> LightingProblem:
    """The dome lit from LIGHTS[kind]; its strength is known."""
    scene = join_scene([dome()], [np.eye(4)], [None])
    buffer = render_gbuffer([scene], np.array([60.0, 60.0, SIZE / 2, SIZE / 2]), SIZE, SIZE)
    lit = lit_scene([scene.mesh], buffer, [choose_pixels(buffer.mask[0], SIZE)])
    shading = KINDS[kind].shade(lit, LIGHTS[kind].astype(np.float32), MAP_SIZE)
    linear = Linear(np.ones((1, 1, 3), np.float32), np.zeros((1, 1, 3), np.float32))
    image = Arriving.straight(shading[:, None]).on(lit.surface.albedo).mixed(linear)
    observation = observe(image, lit.surface.weight)
    return LightingProblem(KINDS[kind], lit, observation, np.repeat(1 / observation.level[:, None], 3, axis=1))


@both_kinds
def test_gradient_matches_finite_differences(kind, rng):
    problem = dome_problem(kind)
    descent = lambert_descent(problem)
    x = LIGHTS[kind] + 0.2 * rng.normal(size=(1, 3))
    x /= np.linalg.norm(x)
    direction, step = rng.normal(size=(1, 3)), 1e-3  # the share of light that arrives is in float32

    gradient = descent.forward(x, ONE).gradient
    higher, lower = (
        descent.forward(problem.manifold.retract(x, sign * step * direction), ONE).value for sign in (1, -1)
    )  # fmt: skip

    np.testing.assert_allclose((gradient * direction).sum(axis=1), (higher - lower) / (2 * step), rtol=1e-3)


@both_kinds
def test_value_is_the_energy_of_the_problem(kind):
    problem = dome_problem(kind)
    x = np.array([[0.0, 0.6, 0.8]], np.float32)

    value = lambert_descent(problem).forward(x, ONE).value

    np.testing.assert_allclose(value, problem.energy(problem.forward(x, ONE), problem.observation, ONE), rtol=1e-5)


@both_kinds
def test_adam_finds_the_light_from_nearby(kind):
    x0 = LIGHTS[kind].astype(np.float32) + np.float32([[-0.2, 0.1, 0.1]])
    x0 /= np.linalg.norm(x0) if kind == "sun" else 1

    solution = adam(dome_problem(kind), x0)

    np.testing.assert_allclose(solution.x, LIGHTS[kind], atol=0.02)  # the last steps of Adam are about so long


def test_adam_finds_the_sun_from_several_starts():
    solution = adam_from_several(dome_problem("sun"))

    np.testing.assert_allclose(solution.x[np.argmin(solution.energy)], LIGHTS["sun"][0], atol=0.02)
