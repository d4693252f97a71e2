# SPDX-License-Identifier: Apache-2.0
"""Each kind of light keeps its own promises, and a new one is a file and a line."""

import numpy as np
import pytest

from solver_core.command.cli import main
from solver_core.options import options_of
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.lights.sun import Sun
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import LightingOptions, solve_lighting

OBJECT = np.array([0.2, -0.1, -3.0])


@pytest.fixture(params=LIGHTS)
def kind(request):
    return LIGHTS[request.param]


@pytest.fixture
def scene(sun_case):
    return LightingSetup.checked(**sun_case.arguments()).problem(16, 96).scene


def some_x(kind, rng, count=1):
    x = kind.start + 0.2 * rng.normal(size=(count, 3))
    return kind.bounded(x)


def test_slopes_are_finite_differences_of_the_irradiance(kind, scene, rng):
    x, step = some_x(kind, rng), 1e-5 * rng.normal(size=(1, 3))

    slope = kind.slopes(scene.surface, x)[0] @ step[0]

    ahead, behind = (kind.irradiance(scene.surface, kind.manifold.retract(x, sign * step))[0] for sign in (1, -1))
    np.testing.assert_allclose(slope, (ahead - behind) / 2, atol=1e-4 * np.abs(slope).max())


def test_shading_is_the_irradiance_or_less_in_shadow(kind, scene, rng):
    x = some_x(kind, rng).astype(np.float32)

    shading, unshadowed = kind.shade(scene, x, 192)[0], kind.irradiance(scene.surface, x)[0]

    assert (shading <= unshadowed * (1 + 1e-4) + 1e-6).all()
    assert np.mean(shading >= unshadowed * (1 - 1e-4)) > 0.5


def test_shading_equation_is_fulfilled_by_the_light(kind, scene, rng):
    x = some_x(kind, rng)

    equation = kind.shading_equation(scene.surface, x, kind.irradiance(scene.surface, x))

    is_lit = kind.irradiance(scene.surface, x)[0] > 0
    np.testing.assert_allclose((scene.surface.normal[0] @ x[0])[is_lit], equation.target[0][is_lit], rtol=1e-5, atol=1e-6)


def test_conversions_come_in_pairs(kind, scene, rng):
    x, velocity = some_x(kind, rng), rng.normal(size=(1, 3))
    velocity -= 0 if kind.has_position else np.sum(velocity * x) * x
    light = kind.to_camera(x, scene)

    np.testing.assert_allclose(kind.from_camera(light, scene), x, atol=1e-6)
    np.testing.assert_allclose(kind.velocity_from_step(x, kind.step_from_velocity(x, velocity)), velocity, atol=1e-9)
    np.testing.assert_allclose(kind.at_offset(OBJECT, kind.offset_from(OBJECT, light)), light, atol=1e-9)


def test_unit_moves_are_independent_and_change_the_direction_by_a_radian(kind, rng):
    x = some_x(kind, rng)

    moves = kind.unit_moves(x)[0]

    assert np.linalg.matrix_rank(moves) == len(moves)
    moved = kind.manifold.retract(np.repeat(x, 2, axis=0), 1e-4 * moves[:2])
    cosines = kind.bounded(moved) @ kind.bounded(x)[0] / np.linalg.norm(kind.bounded(moved), axis=1) / np.linalg.norm(x)
    np.testing.assert_allclose(np.arccos(cosines), 1e-4, rtol=1e-3)


class WrappedSun(Sun):
    """A third kind: light that reaches around corners and throws no shadow."""

    name = "wrapped"
    label = "wrapped sun"
    weights = "lighting_wrapped"

    def shade(self, scene, x, map_size):
        return np.maximum(np.einsum("bpk,bk->bp", scene.surface.normal, x) + 0.5, 0).astype(np.float32) / 1.5


def test_new_kind_of_light_is_a_line(monkeypatch, sun_case, capsys):
    monkeypatch.setitem(LIGHTS, "wrapped", WrappedSun())
    (kind,) = (one for one in options_of(LightingOptions) if one.name == "kind")
    monkeypatch.setitem(kind.words.choices, "wrapped", WrappedSun.description)  # which are made of LIGHTS at import
    buffer = LightingSetup.checked(**sun_case.arguments()).buffer
    shading = np.maximum(buffer.normal[0] @ sun_case.light + 0.5, 0) / 1.5
    image = np.where(buffer.mask[0], shading, 0)[..., None] * np.ones(3)

    result = solve_lighting(**sun_case.arguments(image=image, kind="wrapped", strength=np.pi))
    with pytest.raises(SystemExit):
        main(["solve", "lighting", "--help"])

    towards = np.stack(
        [result.direction, *(other.light for other in result.alternatives)]
    )  # without a shadow, two faces have two answers
    assert (towards @ sun_case.light).max() > np.cos(np.radians(1))
    assert result.image_error < 0.01
    assert "W/m2 (wrapped sun)" in " ".join(capsys.readouterr().out.split())
