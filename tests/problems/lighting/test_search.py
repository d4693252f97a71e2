# SPDX-License-Identifier: Apache-2.0
"""The look at all lights at once."""

import numpy as np
import pytest

from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.lights.light import half_sphere, triangles
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.non_negative import non_negative
from solver_core.problems.lighting.sampler import draw_lights
from solver_core.problems.lighting.search import BasisImages
from solver_core.problems.lighting.setup import LightingSetup

from .conftest import make_case

SUNS = (LIGHTS["sun"],) * 2


def looked_at(case, strength=None):
    """Mixtures of a case on a coarse grid, and its x."""
    setup = LightingSetup.checked(**case.arguments(strength=strength))
    problem = setup.problem(32, 48)
    known = None if strength is None else float(problem.strength.mean())
    found = BasisImages(problem).mixtures(problem.observation.image[0].mean(axis=1), known)
    return found, setup.kind.from_camera(case.light, problem.scene)


@pytest.mark.parametrize("is_known", [True, False])
def test_best_mixture_is_nearer_to_the_sun_than_the_basis_is_dense(is_known):
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0 if is_known else 0.05)

    found, x = looked_at(case, 2.5 if is_known else None)

    basis = LIGHTS["sun"].basis.x
    nearest = angle_deg(basis, x).min()
    error = angle_deg(found.x[[np.argmin(found.left)]], x)[0]
    assert error < nearest
    assert error < 5


def test_best_mixture_is_near_the_point_light(point_case):
    found, x = looked_at(point_case)

    assert np.linalg.norm(found.x[np.argmin(found.left)] - x) < 0.3 * np.linalg.norm(x)


def test_known_strength_tells_mixtures_apart(sun_case):
    """With a strength three times too large every light leaves much of the image."""
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0)

    right, wrong = (looked_at(case, strength)[0].left.min() for strength in (2.5, 7.5))

    assert wrong > 3 * right


def test_two_suns_leave_less_than_one_only_where_there_are_two(sun_case):
    other = make_case("sun", [-0.7, -0.5, 0.4], strength=1.2, ambient=0)
    both = sun_case._replace(image=sun_case.image + other.image)

    (one, of_one), (two, of_two) = (
        [BasisImages(LightingSetup.checked(**case.arguments()).problem(32, 48)).left_by(suns) for suns in (SUNS[:1], SUNS)]
        for case in (sun_case, both)
    )

    assert of_one > 0.7 * one
    assert of_two < 0.5 * two


def test_a_look_at_all_kinds_finds_a_sun_and_a_point_light(sun_case):
    point = make_case("point", [-0.9, -0.5, 0.8], strength=40.0, ambient=0)
    both = sun_case._replace(image=sun_case.image + point.image)
    problem, kinds = LightingSetup.checked(**both.arguments()).problem(32, 48), tuple(LIGHTS.values())

    look = BasisImages(problem, kinds)

    assert look.left_by(kinds) < 0.5 * look.left_by(SUNS)
    sun, near = look.lights[look.sets(kinds, 1)[0]]
    assert angle_deg(sun[None], sun_case.light[None])[0] < 20  # the basis is 15 degrees wide
    assert angle_deg(near[None], LIGHTS["point"].from_camera(point.light, problem.scene))[0] < 25


def test_triangles_cover_the_half_sphere(rng):
    directions = half_sphere(96)
    corners = directions[triangles(directions)].astype(float)  # (M, 3, 3)

    for light in draw_lights(rng, 200):
        weights = np.linalg.solve(corners.transpose(0, 2, 1), np.broadcast_to(light, (len(corners), 3))[..., None])
        assert (weights.min(axis=(1, 2)) > -1e-6).any()


@pytest.mark.parametrize("kind", LIGHTS)
def test_groups_of_the_basis_are_neighbours(kind):
    basis = LIGHTS[kind].basis
    towards = basis.x / np.linalg.norm(basis.x, axis=1, keepdims=True)
    members = towards[basis.groups]

    cosines = np.einsum("mic,mjc->mij", members, members)
    assert cosines.min() > np.cos(np.radians(50))
    assert len(np.unique(basis.groups)) == len(basis.x)


def test_non_negative_solutions_fulfil_their_conditions(rng):
    matrix = rng.normal(size=(50, 20, 4))
    squares = np.einsum("mpi,mpj->mij", matrix, matrix)
    products = np.einsum("mpi,mp->mi", matrix, rng.normal(size=(50, 20)))

    solution, gain = non_negative(squares, products)

    slope = np.einsum("mij,mj->mi", squares, solution) - products
    assert (solution >= 0).all()
    assert (slope[solution == 0] > -1e-4).all()
    np.testing.assert_allclose(slope[solution > 0], 0, atol=1e-3)  # the ridge of 1e-6
    np.testing.assert_allclose(gain, np.einsum("mi,mi->m", solution, products), rtol=1e-6)
