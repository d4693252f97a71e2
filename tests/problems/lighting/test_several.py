# SPDX-License-Identifier: Apache-2.0
"""Several unknown lamps at once, in pictures that were drawn without the solver."""

import numpy as np
import pytest

from solver_core.errors import SetupError
from solver_core.manifolds import UnitSphere
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.lights.several import Lamps
from solver_core.problems.lighting.lights.sun import disc
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.solve import solve_lighting
from solver_core.solution import Cancelled, Verdict

from .conftest import make_case

QUICK = {"steps": 0, "restarts": 1, "indirect": False}  # for pictures that no start can be wrong for


def together(*cases):
    """All lamps of the cases in one picture."""
    return cases[0]._replace(image=np.sum([case.image for case in cases], axis=0))


@pytest.fixture(scope="module")
def left_case():
    """A weaker sun from the other side."""
    return make_case("sun", [-0.7, -0.5, 0.4], strength=1.2, ambient=0)


def test_two_suns_are_found_with_their_intervals(sun_case, left_case):
    result = solve_lighting(**together(sun_case, left_case).arguments(), lamps=2)

    assert len(result.lamps) == 2
    for lamp, case, strength in zip(result.lamps, (sun_case, left_case), (2.5, 1.2), strict=True):
        assert angle_deg(lamp.direction[None], case.light[None])[0] < min(1, lamp.uncertainty_deg)
        np.testing.assert_allclose(lamp.strength, strength, rtol=0.08)
        assert lamp.verdict is Verdict.GOOD
    np.testing.assert_allclose(result.direction, result.lamps[0].direction)
    np.testing.assert_allclose(result.ambient, 0.05, atol=0.02)


def test_two_point_lights_are_found():
    first = make_case("point", [0.7, -0.6, 1.1], strength=60.0, ambient=0.05)
    second = make_case("point", [-0.9, -0.3, 0.7], strength=30.0, ambient=0)

    result = solve_lighting(**together(first, second).arguments(), lamps=2)

    found = np.array([lamp.position for lamp in result.lamps])
    for case in (first, second):
        assert np.linalg.norm(found - case.light, axis=1).min() < 0.1


def test_a_second_lamp_that_the_image_does_not_show_is_not_counted(sun_case):
    one = solve_lighting(**sun_case.arguments())

    result = solve_lighting(**sun_case.arguments(), lamps=2)

    assert len(result.lamps) == 1
    assert any("One lamp explains the image as well as two" in note for note in result.report.notes)
    np.testing.assert_allclose(result.direction, one.direction, atol=1e-6)


def test_a_lamp_that_was_not_looked_for_is_noticed(sun_case, left_case):
    with_two, with_one = (solve_lighting(**case.arguments()) for case in (together(sun_case, left_case), sun_case))

    assert len(with_two.lamps) == 1
    assert any("Two suns explain the image much better than one: look for two (lamps=2)" in n for n in with_two.report.notes)
    assert with_two.verdict is not Verdict.GOOD
    assert angle_deg(with_two.direction[None], sun_case.light[None])[0] < with_two.uncertainty_deg
    assert not any("lamps=2" in note for note in with_one.report.notes)
    assert with_one.verdict is Verdict.GOOD


@pytest.fixture(scope="module")
def mixed_case(sun_case):
    """A sun and a weaker point light from the other side."""
    point = make_case("point", [-0.9, -0.5, 0.8], strength=30.0, ambient=0.0)
    return together(sun_case, point), point


def test_a_sun_and_a_point_light_are_found_together(mixed_case, sun_case):
    both, point = mixed_case
    steps = []

    result = solve_lighting(**both.arguments(kind="mixed"), lamps=2, on_step=steps.append)

    found = {lamp.kind: lamp for lamp in result.lamps}
    assert [lamp.kind for lamp in result.lamps] == ["sun", "point"]  # the sun brings most of the light
    assert angle_deg(found["sun"].direction[None], sun_case.light[None])[0] < found["sun"].uncertainty_deg < 5
    np.testing.assert_allclose(found["point"].position, point.light, atol=0.05)
    np.testing.assert_allclose(found["sun"].strength, 2.5, rtol=0.08)  # W/m2
    np.testing.assert_allclose(found["point"].strength, 30, rtol=0.08)  # W
    assert all(lamp.verdict is Verdict.GOOD for lamp in result.lamps)
    assert {step.kind for step in steps} == {"sun", "point"}


def test_a_point_light_on_the_side_of_the_sun_is_told_from_it(sun_case):
    point = make_case("point", [0.7, -0.6, 1.1], strength=30.0, ambient=0)

    result = solve_lighting(**together(sun_case, point).arguments(kind="mixed"), lamps=2, **QUICK)

    found = {lamp.kind: lamp for lamp in result.lamps}
    assert angle_deg(found["sun"].direction[None], sun_case.light[None])[0] < found["sun"].uncertainty_deg
    np.testing.assert_allclose(found["point"].position, point.light, atol=0.05)


def test_a_point_light_beside_the_sun_is_noticed_where_suns_were_asked_for(mixed_case):
    result = solve_lighting(**mixed_case[0].arguments())

    said = "A sun and a point light explain the image much better than one sun: look for both (kind=mixed, lamps=2)"
    assert any(said in note for note in result.report.notes)
    assert result.verdict is not Verdict.GOOD


@pytest.mark.parametrize("kind", ["sun", "point"])
def test_a_single_lamp_of_unknown_kind_is_what_explains_the_image(kind, sun_case, point_case):
    case = {"sun": sun_case, "point": point_case}[kind]

    result = solve_lighting(**case.arguments(kind="mixed"))

    assert [lamp.kind for lamp in result.lamps] == [kind]
    np.testing.assert_allclose(result.light, case.light, atol=0.05)


def test_lamps_of_unknown_kind_have_no_known_strength(sun_case):
    with pytest.raises(SetupError, match="choose the kind"):
        solve_lighting(**sun_case.arguments(kind="mixed", strength=2.5))


@pytest.mark.parametrize("strengths", [(2.5, 1.2), (1.2, 2.5)])
def test_the_lamp_that_brings_most_light_is_the_first(strengths):
    """Both light about as much of what is seen."""
    cases = [
        make_case("sun", direction, strength, 0.02)
        for direction, strength in zip(([0.5, -0.4, 0.8], [-0.6, -0.4, 0.8]), strengths, strict=True)
    ]

    result = solve_lighting(**together(*cases).arguments(), lamps=2, **QUICK)

    strongest = cases[int(np.argmax(strengths))].light
    assert angle_deg(result.direction[None], strongest[None])[0] < 3
    assert result.lamps[0].strength.mean() > result.lamps[1].strength.mean()


@pytest.fixture(scope="module")
def near_case(sun_case):
    """Two suns as strong, 17 degrees apart."""
    return together(sun_case, make_case("sun", [0.55, -0.1, 0.8], 2.5, 0.0))


def test_a_second_sun_near_the_first_is_noticed(near_case, sun_case):
    result = solve_lighting(**near_case.arguments(), **QUICK)

    said = "Two suns explain the image much better than one: look for two (lamps=2), or for one that is wide (size=True), "
    assert any(said in note for note in result.report.notes)
    assert result.verdict is not Verdict.GOOD
    assert angle_deg(result.direction[None], sun_case.light[None])[0] < result.uncertainty_deg


def test_a_wide_sun_may_be_two_near_each_other(sun_case):
    suns = [make_case("sun", direction, 2.5 / 12, 0.05 / 12) for direction in disc(np.array([0.5, -0.4, 0.8]) / 1.0247, 14, 12)]

    result = solve_lighting(**together(*suns).arguments(), **QUICK)

    said = [note for note in result.report.notes if note.startswith("Shadows are as soft as those of a sun")]
    assert said
    assert "or of two suns near each other (lamps=2)" in said[0]
    assert angle_deg(result.direction[None], sun_case.light[None])[0] + 5 < result.uncertainty_deg  # it reaches the disc's edge
    assert result.verdict is not Verdict.BAD


def test_two_suns_near_each_other_are_found(near_case, sun_case):
    result = solve_lighting(**near_case.arguments(), lamps=2, **QUICK)

    assert len(result.lamps) == 2
    assert min(angle_deg(lamp.direction[None], sun_case.light[None])[0] for lamp in result.lamps) < 2


def test_a_solve_cancelled_while_it_tries_two_lamps_keeps_the_one(sun_case, left_case):
    shown = []

    def stop_when_in_doubt(step):
        shown.append(step.light)
        if step.phase == "doubt":
            raise Cancelled

    result = solve_lighting(**together(sun_case, left_case).arguments(), on_step=stop_when_in_doubt)

    assert result.history[-1].phase == "doubt"
    assert len(result.lamps) == 1
    np.testing.assert_allclose(result.direction, shown[-1], atol=1e-6)


def test_several_lamps_have_no_known_strength(sun_case):
    with pytest.raises(SetupError, match="of a single light"):
        solve_lighting(**sun_case.arguments(strength=2.5), lamps=2)


def test_a_move_of_one_lamp_leaves_the_others(rng):
    lamps = Lamps((LIGHTS["sun"], LIGHTS["point"]))
    x = np.concatenate([UnitSphere().random(rng, 4), rng.normal(size=(4, 3))], axis=1)

    moves = lamps.unit_moves(x)

    assert moves.shape == (4, 2 + 3, 6)
    assert not moves[:, :2, 3:].any()
    assert not moves[:, 2:, :3].any()
