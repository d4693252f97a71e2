# SPDX-License-Identifier: Apache-2.0
"""Light that surfaces hide from each other and send to each other."""

from dataclasses import replace

import numpy as np
import pytest

from solver_core.manifolds import UnitSphere
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.sky import SkySuns
from solver_core.problems.lighting.solve import LightingOptions, LightingSession, solve_lighting
from solver_core.problems.lighting.surface import choose_pixels
from solver_core.problems.lighting.surroundings import Surroundings

ALBEDO = 0.7


def setup_of(case) -> LightingSetup:
    return LightingSetup.checked(**case.arguments(albedo=[np.full(3, ALBEDO)] * 2))


@pytest.fixture(scope="module")
def around(sun_case):
    """The problem of the box on the floor, and its surroundings."""
    setup = setup_of(sun_case)
    pixels = choose_pixels(setup.buffer.mask[0], 64)
    problem = setup.problem_at(pixels, 96)
    open_to_sky = SkySuns.of(problem.scene).openness
    return problem, Surroundings.of(problem.scene, open_to_sky, pixels, setup.buffer.mask[0], setup.photograph.camera)


def test_in_a_uniform_light_what_hides_the_sky_replaces_it(around):
    problem, surroundings = around
    open_to_sky = np.minimum(SkySuns.of(problem.scene).openness, 1)

    from_others = surroundings.transport.sum(axis=1)

    has_others = from_others > 0  # some points face no patch that is seen
    assert has_others.mean() > 0.5
    np.testing.assert_allclose((open_to_sky + from_others)[has_others], 1, atol=1e-3)  # as inside a white furnace


def test_a_box_gets_light_from_the_floor_and_the_open_floor_hardly_any(around):
    problem, surroundings = around
    surface = problem.scene.surface
    shading = problem.kind.shade(problem.scene, np.float32([[0, 0.8, 0.6]]), 96)

    added = surroundings.with_bounces(shading[..., None], surface.albedo)[0, :, 0] - shading[0]

    is_floor = surface.object_index[0] == 0
    is_side = ~is_floor & (np.abs(surface.normal[0] @ [0, np.cos(np.radians(35)), np.sin(np.radians(35))]) < 0.1)
    from_box = np.linalg.norm(surface.position[0] - surface.position[0][~is_floor].mean(axis=0), axis=1)
    assert added.min() >= 0
    assert added[is_side].mean() > 0.1
    assert added[is_floor & (from_box > 0.4)].mean() < 0.05


@pytest.fixture(scope="module")
def lit_by_itself(sun_case):
    """Arguments of a solve of a scene whose surfaces light each other."""
    setup = replace(setup_of(sun_case), has_indirect=True)
    pixels = choose_pixels(setup.buffer.mask[0], 96)
    fine = setup.problem_at(pixels, 192)
    straight = fine.kind.shade(fine.scene, sun_case.light[None].astype(np.float32), 192)
    arriving = fine.surroundings.with_bounces(straight[..., None], fine.scene.surface.albedo)
    image = np.zeros_like(sun_case.image)
    image[pixels.row, pixels.column] = (ALBEDO * (0.8 * arriving + 0.3 * fine.sky.radiance[0]))[0]
    mask = np.zeros(image.shape[:2])
    mask[pixels.row, pixels.column] = 1
    return sun_case.arguments(image=image, mask=mask, albedo=[np.full(3, ALBEDO)] * 2)


@pytest.fixture(scope="module")
def solved(lit_by_itself):
    """A session at its end."""
    session = LightingSession(LightingSetup.checked(**lit_by_itself), LightingOptions())
    session.run()
    return session


def test_a_scene_that_lights_itself_is_solved_with_its_indirect_light(sun_case, lit_by_itself, solved):
    result = solved.result()
    without = solve_lighting(**lit_by_itself, indirect=False)

    assert angle_deg(result.direction[None], sun_case.light[None])[0] < 0.5
    np.testing.assert_allclose(result.strength, 0.8 * np.pi, rtol=0.05)  # patches are others on every grid
    np.testing.assert_allclose(result.ambient, 0.3, atol=0.02)
    assert result.image_error < 0.5 * without.image_error


def test_the_interval_reaches_a_sun_without_indirect_light_that_is_as_likely(solved, monkeypatch):
    result, other = solved.result(), solved.otherwise
    turned = UnitSphere().retract(solved.best.x, np.radians([[8.0, 0, 0]])).astype(np.float32)
    off = angle_deg(turned, solved.best.x)[0]
    uncertainties = []

    for ratio in (1.0, 2.0):  # of the energies with it and without
        monkeypatch.setattr(solved, "otherwise", other._replace(x=turned, energy=np.array([ratio])))
        uncertainties.append(solved.result().uncertainty_deg)

    assert other.energy[0] > 1
    assert result.uncertainty_deg < off < uncertainties[0]
    np.testing.assert_allclose(uncertainties[1], result.uncertainty_deg, rtol=0.1)


def test_a_scene_that_does_not_is_solved_without(sun_case):
    result = solve_lighting(**sun_case.arguments())
    without = solve_lighting(**sun_case.arguments(), indirect=False)

    np.testing.assert_allclose(result.direction, without.direction, atol=1e-6)
