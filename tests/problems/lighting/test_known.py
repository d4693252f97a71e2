# SPDX-License-Identifier: Apache-2.0
"""Lights that are known and stay, beside the one that is looked for."""

import json

import numpy as np
import pytest

from solver_core.errors import SetupError
from solver_core.problems.lighting.known import KnownLight, environment_suns
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.sky import SkySuns
from solver_core.problems.lighting.solve import solve_lighting
from solver_core.solution import Verdict

from .conftest import FLOOR, camera_from_world, make_case
from .test_command import files, solve  # noqa: F401  (files is a fixture)

SUN = [0.5, -0.4, 0.8]
AREA = {"kind": "area", "strength": 1, "position": [0, 0, 1], "aim": [0, 0, -1]}
LAMP = [-0.7, -0.5, 0.9]  # beside the box, on the other side


@pytest.fixture(scope="module")
def lamp():
    """The point light that stays, as a case of its own."""
    return make_case("point", LAMP, strength=60.0, ambient=0)


def known_of(lamp) -> dict:
    return {"kind": "point", "position": lamp.light, "strength": 60.0, "name": "Lamp"}


def error_deg(result, case) -> float:
    return float(angle_deg(result.direction[None], case.light[None])[0])


def test_a_known_light_is_taken_off_the_image(sun_case, lamp):
    both = sun_case._replace(image=sun_case.image + lamp.image)

    forgotten = solve_lighting(**both.arguments())
    result = solve_lighting(**both.arguments(known=[known_of(lamp)]))

    assert error_deg(result, sun_case) < 2
    np.testing.assert_allclose(result.strength, 2.5, rtol=0.05)
    assert result.verdict is Verdict.GOOD
    assert [light.name for light in result.known] == ["Lamp"]
    assert error_deg(forgotten, sun_case) > 2 * error_deg(result, sun_case)


def test_a_known_light_that_the_image_does_not_show_is_set_aside(sun_case, lamp):
    alone = solve_lighting(**sun_case.arguments())

    result = solve_lighting(**sun_case.arguments(known=[known_of(lamp)]))

    np.testing.assert_allclose(result.direction, alone.direction, atol=1e-6)
    assert result.known == ()
    assert any("does not show the known light Lamp" in note for note in result.report.notes)


def test_a_known_sky_is_no_part_of_the_ambient_light():
    case = make_case("sun", SUN, strength=2.5, ambient=0.3, meshes=(FLOOR,))
    arguments = case.arguments(vertices=FLOOR.vertices, faces=FLOOR.faces, camera_from_object=camera_from_world())
    arguments |= {"albedo": np.ones(3), "known": [{"kind": "sky", "strength": 0.3}]}

    setup = LightingSetup.checked(**arguments)

    problem = setup.problem(64, 96)
    left = problem.observation.image[0].mean() * problem.observation.level[0]
    assert left == pytest.approx(2.5 / np.pi * SUN[2] / np.linalg.norm(SUN), rel=0.02)


def test_an_environment_of_one_colour_is_a_sky(sun_case):
    scene = LightingSetup.checked(**sun_case.arguments()).problem(32, 48).scene
    sky = KnownLight.checked({"kind": "sky", "strength": [0.2, 0.3, 0.5]})
    around = KnownLight.checked({"kind": "environment", "strength": 1, "image": np.full((32, 64, 3), [0.2, 0.3, 0.5])})

    np.testing.assert_allclose(around.radiance(scene, 48), sky.radiance(scene, 48), atol=0.05)


@pytest.mark.parametrize(
    ("row", "column", "direction"), [(16, 32, (0, 0, -1)), (16, 48, (1, 0, 0)), (0, 5, (0, 1, 0)), (16, 0, (0, 0, 1))]
)
def test_a_bright_spot_of_an_environment_is_a_sun(row, column, direction):
    image = np.full((33, 65, 3), 1e-6)
    image[row, column] = 100

    suns = environment_suns(image)

    brightest = int(np.argmax(suns.irradiance[:, 0]))
    assert suns.directions[brightest] @ direction > np.cos(np.radians(4))
    solid_angle = 2 * np.pi / 65 * -np.diff(np.sin((0.5 - np.array([row, row + 1]) / 33) * np.pi))[0]
    assert suns.irradiance[brightest, 0] == pytest.approx(100 * solid_angle, rel=0.01)


def test_a_sky_reaches_the_foot_of_a_box_less_than_the_open_floor(sun_case):
    scene = LightingSetup.checked(**sun_case.arguments()).problem(64, 96).scene

    share = SkySuns.of(scene).openness

    surface = scene.surface
    is_floor = surface.object_index[0] == 0
    from_box = np.linalg.norm(surface.position[0] - surface.position[0][~is_floor].mean(axis=0), axis=1)
    near, far = from_box < 0.25, from_box > 0.4
    assert share[is_floor & far].mean() > 0.95
    assert share[is_floor & near].mean() < 0.9
    assert share.min() >= 0
    assert share.max() < 1.02  # what a lookup beside a shadow map's texel adds


def test_a_wide_sun_is_as_bright_as_a_narrow_one_with_softer_edges(sun_case):
    problem = LightingSetup.checked(**sun_case.arguments()).problem(64, 192)
    narrow, wide = (
        KnownLight.checked({"kind": "sun", "direction": sun_case.light, "strength": 2, "angle_deg": angle}) for angle in (0, 20)
    )

    sharp, soft = (light.radiance(problem.scene, 192)[:, 0] for light in (narrow, wide))

    assert np.median(soft) == pytest.approx(np.median(sharp), rel=0.02)
    between = lambda values: np.mean((values > 0.1 * values.max()) & (values < 0.4 * values.max()))
    assert between(soft) > 2 * between(sharp)


def test_a_spot_lights_its_cone_only(sun_case, lamp):
    problem = LightingSetup.checked(**sun_case.arguments()).problem(64, 96)
    aim = problem.scene.centre[0] - lamp.light
    place = {"position": lamp.light, "strength": 60.0}
    point = KnownLight.checked({"kind": "point", **place}).radiance(problem.scene, 96)
    spot = KnownLight.checked({"kind": "spot", "aim": aim, "cone_deg": 40, **place}).radiance(problem.scene, 96)

    points = problem.scene.centre[0] + problem.scene.scale[0] * problem.scene.surface.position[0]
    angle = angle_deg(points - lamp.light, np.broadcast_to(aim, points.shape))
    np.testing.assert_allclose(spot[angle < 19], point[angle < 19], rtol=1e-5)
    assert not spot[angle > 21].any()


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ("lamp", "must be a list"),
        ([{"kind": "torch"}], "must have the key kind"),
        ([{"kind": "sun", "strength": 1}], "needs the key direction"),
        ([{"kind": "sun", "strength": 1, "direction": [0, 0, 0]}], "must not be zero"),
        ([{"kind": "sun", "strength": 1, "direction": [0, 0, 1], "angle_deg": 400}], "between 0 and 180, got 400"),
        ([{"kind": "sun", "strength": -1, "direction": [0, 0, 1]}], "must not be negative"),
        ([{"kind": "sun", "strength": True, "direction": [0, 0, 1]}], "one number or three (RGB), got true or false"),
        ([{"kind": "sun", "strength": 1e300, "direction": [0, 0, 1]}], "or above 1e+12"),
        ([{"kind": "sun", "strength": 1, "direction": [0, 0, 1], "name": 5}], "name of a known sun must be text, got 5"),
        ([AREA | {"sides": [[1e-9, 0, 0], [3, 0, 0]]}], "sides of a known area must span it"),
        ([AREA | {"sides": np.zeros((2, 3))}], "sides of a known area must span it"),
        ([{"kind": "environment", "strength": 1, "image": np.full((4, 8, 3), 1e30)}], "at most 1e+12"),
        ([{"kind": "sky", "strength": 1, "aim": [0, 0, 1]}], "unknown key 'aim'"),
        ([{"kind": "point", "strength": 1, "position": [0, np.nan, 1]}], "finite"),
        ([{"kind": "environment", "strength": 1}], "needs the key image"),
        ([{"kind": "environment", "strength": 1, "image": np.ones((4, 8))}], "must be (H, W, 3)"),
        ([{"kind": "environment", "strength": 1, "image": -np.ones((4, 8, 3))}], "not negative"),
    ],
)
def test_bad_known_lights_are_refused_with_one_sentence(sun_case, known, words):
    with pytest.raises(SetupError) as caught:
        solve_lighting(**sun_case.arguments(known=known))

    assert words in str(caught.value)


@pytest.mark.parametrize("length", [1e-300, 1e300])
def test_the_length_of_a_direction_does_not_matter(length):
    light = KnownLight.checked({"kind": "sun", "strength": 1, "direction": [0, 3 * length, 4 * length]})

    np.testing.assert_allclose(light.values["direction"], [0, 0.6, 0.8])


def test_known_lights_need_the_albedo(sun_case):
    with pytest.raises(SetupError, match="need the albedo"):
        solve_lighting(**sun_case.arguments(albedo=None, known=[{"kind": "sky", "strength": 0.1}]))


def test_the_command_reads_known_lights(files, capsys):  # noqa: F811
    lights = [{"kind": "sky", "strength": [0.01, 0.01, 0.02]}]
    (files / "known.json").write_text(json.dumps(lights))

    code = solve(files, "--albedo", "1", "1", "1", "--known-lights", str(files / "known.json"))

    assert code == 0
    assert json.loads(capsys.readouterr().out)["known_lights"] == ["sky"]
