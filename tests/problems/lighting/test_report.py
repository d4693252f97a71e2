# SPDX-License-Identifier: Apache-2.0
"""How sure a light is."""

import numpy as np
import pytest

from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.report import Answers, examine
from solver_core.problems.lighting.setup import LightingSetup

from .conftest import FLOOR, make_case


def report_of(case, others=(), **changes):
    """Report on the true light, beside others with the energies that they have."""
    setup = LightingSetup.checked(**case.arguments(**changes))
    problem, coarse = setup.problem(64, 96), setup.problem(32, 48)
    x = np.concatenate([setup.kind.from_camera(light, problem.scene) for light in (case.light, *others)]).astype(np.float32)
    return examine(problem, coarse, Answers(x, problem.image_energies(x)))


def test_noise_widens_the_uncertainty(sun_case, rng):
    noisy = sun_case.image + rng.normal(scale=0.1 * sun_case.image.max(), size=sun_case.image.shape)

    clear, rough = report_of(sun_case), report_of(sun_case._replace(image=np.maximum(noisy, 0)))

    assert 0 < clear.uncertainty_deg < rough.uncertainty_deg


def test_flat_surface_leaves_the_direction_open():
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0, meshes=(FLOOR,))
    pose = case.arguments()["camera_from_object"][0]

    report = report_of(case, vertices=FLOOR.vertices, faces=FLOOR.faces, camera_from_object=pose, albedo=None)

    assert report.uncertainty_deg > 30


def test_answer_as_good_takes_half_of_the_probability(sun_case):
    report = report_of(sun_case, [sun_case.light])

    np.testing.assert_allclose(report.probabilities, 0.5, atol=0.01)


def test_answer_that_explains_nothing_has_no_probability(sun_case):
    report = report_of(sun_case, [np.array([-0.6, -0.5, 0.6]) / np.linalg.norm([0.6, 0.5, 0.6])])

    assert report.probabilities[1] < 1e-3
    assert report.probabilities[0] > 0.99


def test_another_answer_as_good_is_within_the_reported_angle():
    """Two faces of a box and no shadow in view: the mirror image of a sun explains them as well."""
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0)
    setup = LightingSetup.checked(**case.arguments())
    problem, coarse = setup.problem(64, 96), setup.problem(32, 48)
    x = np.float32([case.light, case.light * [-1, 1, 1]])

    report = examine(problem, coarse, Answers(x, np.repeat(problem.image_energies(x[:1]), 2)))

    assert report.uncertainty_deg >= angle_deg(x[:1], x[1:])[0] - 1e-3


def test_distance_of_a_near_light_is_known_and_of_a_sun_is_none(point_case, sun_case):
    assert 0 < report_of(point_case).distance_uncertainty < 0.1
    assert report_of(sun_case).distance_uncertainty == 0


@pytest.mark.parametrize("scale", [1, 100])
def test_report_does_not_depend_on_the_exposure(sun_case, scale):
    np.testing.assert_allclose(
        report_of(sun_case._replace(image=scale * np.float32(1.5) * sun_case.image)).uncertainty_deg,
        report_of(sun_case._replace(image=1.5 * sun_case.image)).uncertainty_deg,
        rtol=1e-2,
    )
