# SPDX-License-Identifier: Apache-2.0
"""solve_lighting as a user meets it; files are read in test_command."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from solver_core.distortion import distorted
from solver_core.errors import ConfigError, ObservationError, SetupError, WeightsError
from solver_core.frames import Camera
from solver_core.network.weights import load_weights, save_weights, shipped_weights
from solver_core.problems.lighting.features import INPUT_LAYOUT
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import solve_lighting
from solver_core.render.gbuffer import Texture
from solver_core.solution import Cancelled, StopReason, Verdict

from .conftest import BOX, CAMERA, FLOOR, SIZE, make_case


def solve(case, **changes):
    return solve_lighting(**case.arguments(**changes))


def direction_error_deg(result, case) -> float:
    return float(angle_deg(result.direction[None], case.light[None])[0])


def test_sun_is_recovered(sun_case):
    result = solve(sun_case)

    assert direction_error_deg(result, sun_case) < 1
    np.testing.assert_allclose(result.strength, 2.5, rtol=0.03)
    np.testing.assert_allclose(result.ambient, 0.05, atol=0.01)
    assert result.position is None
    assert result.image_error < 0.05
    assert result.uncertainty_deg < 5  # most of it is what light from other surfaces might do
    assert result.verdict is Verdict.GOOD
    assert "explains the image" in result.explanation


def test_point_light_is_recovered(point_case):
    result = solve(point_case)

    np.testing.assert_allclose(result.position, point_case.light, atol=0.05)
    np.testing.assert_allclose(result.strength, 60, rtol=0.1)
    assert result.uncertainty_deg < 5  # most of it is what light from other surfaces might do


def test_known_strength_is_kept(sun_case):
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0)

    result = solve(case, strength=2.5)

    assert direction_error_deg(result, case) < 1
    np.testing.assert_allclose(result.strength, 2.5, rtol=1e-5)
    assert not result.ambient.any()


def test_known_strength_that_the_image_contradicts_is_set_aside():
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0)

    result = solve(case, strength=1.25)

    assert direction_error_deg(result, case) < 2
    np.testing.assert_allclose(result.strength, 2.5, rtol=0.05)
    assert any("2 times as bright as the known strength" in note for note in result.report.notes)


def test_unknown_albedo_goes_into_the_strength(sun_case):
    dark = sun_case._replace(image=0.5 * sun_case.image)

    result = solve(dark, albedo=None)

    assert direction_error_deg(result, sun_case) < 1
    np.testing.assert_allclose(result.strength, 1.25, rtol=0.03)


def test_colour_of_the_light_is_recovered(sun_case):
    result = solve(sun_case._replace(image=sun_case.image * [1.0, 0.8, 0.5]))

    np.testing.assert_allclose(result.strength / result.strength[0], [1, 0.8, 0.5], rtol=0.02)


def test_result_scales_with_the_unit_of_length(point_case):
    matrix = point_case.arguments()["camera_from_object"][0].copy()
    matrix[:3, 3] *= 100
    vertices = [FLOOR.vertices * 100, BOX.vertices * 100]

    result = solve(point_case, vertices=vertices, camera_from_object=[matrix] * 2)

    np.testing.assert_allclose(result.position / 100, point_case.light, atol=0.05)
    np.testing.assert_allclose(result.strength / 1e4, 60, rtol=0.1)


def test_image_of_another_size_and_the_same_aspect_is_taken(sun_case):
    small = sun_case.image.reshape(SIZE // 2, 2, SIZE // 2, 2, 3).mean(axis=(1, 3))

    assert direction_error_deg(solve(sun_case._replace(image=small)), sun_case) < 3


def test_distortion_of_the_lens_is_taken_out_of_image_and_mask(sun_case):
    coefficients = (-0.2, 0.0, 0.0, 0.0)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    seen = np.stack([(columns.ravel() - CAMERA.cx) / CAMERA.fx, (rows.ravel() - CAMERA.cy) / CAMERA.fy], axis=1)
    points = seen.copy()
    for _ in range(20):  # the point that the lens shows there
        points += seen - distorted(points, coefficients, False)
    places = [points[:, 1] * CAMERA.fy + CAMERA.cy - 0.5, points[:, 0] * CAMERA.fx + CAMERA.cx - 0.5]
    ideal = 0.5 + 0.3 * np.sin(columns / 10) * np.cos(rows / 12)
    by_lens = map_coordinates(ideal, places, order=1, mode="nearest").reshape(ideal.shape)
    image = np.repeat(by_lens[..., None], 3, axis=2)
    arguments = sun_case.arguments(image=image, camera=replace(CAMERA, distortion=coefficients))
    mask = np.ones((SIZE, SIZE), bool)
    mask[:, : SIZE // 2] = False

    photograph = LightingSetup.checked(**arguments, mask=mask).photograph

    assert photograph.camera == CAMERA
    right = (slice(2, -2), slice(SIZE // 2 + 2, -2))
    error, before = (np.abs(found - ideal)[right].mean() for found in (photograph.image[..., 0], by_lens))
    assert error < 0.1 * before
    assert not photograph.is_usable[:, : SIZE // 2].any()
    assert photograph.is_usable[right].mean() > 0.9


def test_highlights_and_clipped_pixels_do_not_mislead(sun_case):
    image = np.minimum(sun_case.image, 1)
    image[40:46, 40:46] = 1.0

    assert direction_error_deg(solve(sun_case._replace(image=image)), sun_case) < 1.5


def test_pixels_outside_the_mask_are_not_used(sun_case):
    image, mask = sun_case.image.copy(), np.ones((SIZE, SIZE), bool)
    image[:, 75:], mask[:, 75:] = 0.9, False

    assert direction_error_deg(solve(sun_case._replace(image=image), mask=mask), sun_case) < 1.5


def test_nan_pixels_are_not_used(sun_case):
    image = sun_case.image.copy()
    image[30:50, 30:50] = np.nan  # 8 pixels of it lie beside the scene

    result = solve(sun_case._replace(image=image))

    assert direction_error_deg(result, sun_case) < 1.5
    assert "Pixels of the image that are NaN or infinite were not used: 392." in result.report.notes


@pytest.mark.parametrize(("side", "is_said"), [(20, True), (2, False)])
def test_many_pixels_below_zero_are_said(side, is_said, sun_case):
    image = sun_case.image.copy()
    image[30 : 30 + side, 30 : 30 + side] = -0.1

    notes = LightingSetup.checked(**sun_case._replace(image=image).arguments()).notes

    assert notes == ("Pixels of the image with colors below zero were taken for black there: 392.",) * is_said


def test_flat_surface_says_what_it_cannot_tell(sun_case):
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0, meshes=(FLOOR,))

    result = solve(
        case,
        vertices=FLOOR.vertices,
        faces=FLOOR.faces,
        camera_from_object=case.arguments()["camera_from_object"][0],
        albedo=None,
    )

    assert result.uncertainty_deg >= 30
    assert any("flat" in note for note in result.report.notes)


def test_distance_of_a_far_point_light_is_said_to_be_invisible():
    case = make_case("point", [20.0, -16.0, 32.0], strength=60000.0, ambient=0)

    result = solve(case)

    assert angle_deg(result.position[None] + [0, 0, 3], case.light[None] + [0, 0, 3])[0] < 3
    assert any("distance is not visible" in note for note in result.report.notes)


def test_constant_image_gives_an_honest_answer(sun_case):
    result = solve(sun_case._replace(image=np.full_like(sun_case.image, 0.4)))

    assert result.uncertainty_deg >= 30


def test_energy_never_rises_within_a_phase(sun_case):
    history = solve(sun_case).history

    assert history[0].phase == "start"
    for before, after in zip(history[:-1], history[1:], strict=True):
        assert after.phase != before.phase or after.energy <= before.energy


def test_cancelled_solve_returns_the_last_estimate(sun_case):
    def stop_when_refining(step):
        if step.phase == "refine":
            raise Cancelled

    result = solve(sun_case, on_step=stop_when_refining)

    assert result.reason is StopReason.CANCELLED
    best = min((step for step in result.history if step.phase != "start"), key=lambda step: step.energy)
    np.testing.assert_allclose(result.direction, best.light, atol=1e-6)


def test_given_start_is_where_it_starts(point_case):
    result = solve(point_case, start=point_case.light, restarts=0)

    np.testing.assert_allclose(result.history[0].light, point_case.light, atol=1e-5)
    np.testing.assert_allclose(result.position, point_case.light, atol=0.05)


def test_same_input_gives_the_same_result(sun_case):
    first, second = (solve(sun_case) for _ in range(2))

    np.testing.assert_allclose(first.direction, second.direction, atol=1e-6)


ONE = np.eye(4)
BAD_INPUTS = [
    ({"image": np.zeros((SIZE, SIZE, 3))}, ObservationError, "black"),
    ({"image": np.full((SIZE, SIZE, 3), np.nan)}, ObservationError, "every pixel"),
    ({"image": np.ones((SIZE, SIZE))}, ObservationError, "(H, W, 3)"),
    ({"image": np.ones((SIZE, SIZE, 3), np.uint8)}, ObservationError, "convert 8-bit"),
    ({"image": np.ones((SIZE, SIZE // 2, 3))}, ObservationError, "same aspect"),
    ({"image": np.ones((SIZE, SIZE, 3))}, ObservationError, "clipped white"),
    ({"mask": np.zeros((SIZE, SIZE), bool)}, ObservationError, "the mask misses it"),
    ({"mask": np.ones((SIZE, 5), bool)}, ObservationError, "same size"),
    ({"camera": "camera.json"}, SetupError, "solver_core.Camera"),
    ({"camera": Camera(SIZE, SIZE, 90.0, 90.0, 9000.0, 48.0)}, ObservationError, "does not see the mesh"),
    ({"kind": "torch"}, ConfigError, "one of sun, point"),
    ({"vertices": [np.zeros((3, 3))] * 2, "faces": [np.array([[0, 1, 2]])] * 2}, SetupError, "no area"),
    ({"camera_from_object": [ONE]}, SetupError, "one entry each"),
    ({"camera_from_object": [ONE, np.diag([2.0, 2, 2, 1])]}, SetupError, "apply the object's scale"),
    ({"albedo": [-np.ones(3), None]}, SetupError, "not negative"),
    ({"albedo": None, "strength": 2.0}, SetupError, "needs the albedo"),
    ({"strength": -1.0}, SetupError, "strength must be"),
    ({"start": np.zeros(3)}, SetupError, "start must not be zero"),
    ({"start": np.array([0, np.nan, 1])}, SetupError, "start must be finite"),
    ({"camera_from_object": [ONE, np.diag([1.0, 1, -1, 1])]}, SetupError, "must not mirror"),
    ({"image": np.full((SIZE, SIZE, 3), 1 + 1j)}, ObservationError, "complex"),
    ({"image": [[[1.0, 2.0, 3.0]], [[1.0]]]}, ObservationError, "rows of different length"),
    ({"image": np.ones((0, 0, 3))}, ObservationError, "(H, W, 3)"),
    ({"mask": np.full((SIZE, SIZE), "x")}, ObservationError, "text"),
    ({"albedo": ["red", None]}, SetupError, "text"),
    ({"normals": [[[1.0]], [[1.0], [2.0, 3.0]]]}, SetupError, "normals"),
    ({"vertices": [[[0.0, 0, 0], [1.0]], BOX.vertices]}, SetupError, "rows of three numbers"),
    ({"passes": {"albedo": np.ones((SIZE, SIZE))}}, SetupError, "as large as the image"),
    ({"passes": {"albedo": -np.ones((SIZE, SIZE, 3))}}, SetupError, "pass albedo must not be negative"),
    ({"passes": {"colour": np.ones((SIZE, SIZE, 3))}}, SetupError, "any of albedo, normal, depth"),
    ({"passes": np.ones((SIZE, SIZE, 3))}, SetupError, "got ndarray"),
    ({"steps": 2.5}, ConfigError, "steps must be a whole number"),
    ({"restarts": -1}, ConfigError, "restarts must be a whole number from 0"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD_INPUTS, ids=[words for _, _, words in BAD_INPUTS])
def test_bad_input_is_refused_with_one_sentence(sun_case, change, error, words):
    with pytest.raises(error) as caught:
        solve(sun_case, **change)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def buffer_of(case, **changes):
    return LightingSetup.checked(**case.arguments(**changes)).buffer


@pytest.mark.parametrize("is_floor_known", [False, True])
def test_albedo_of_each_mesh_is_found_with_the_light(sun_case, is_floor_known):
    paint = np.array([0.6, 0.3, 0.1])
    is_box = (buffer_of(sun_case).object_index[0] == 1)[..., None]
    painted = sun_case.image * np.where(is_box, paint, 1)

    result = solve(sun_case, image=painted, albedo=[np.ones(3) if is_floor_known else None, None])

    assert direction_error_deg(result, sun_case) < 2  # a box of unknown colour says less than a white one
    np.testing.assert_allclose(result.albedo[1], paint, rtol=0.05)
    assert np.isnan(result.albedo[0]).all() if is_floor_known else (result.albedo[0] == 1).all()


def test_known_texture_is_not_taken_for_shading(sun_case, rng):
    pattern = rng.uniform(0.2, 1, size=(8, 8, 3)).astype(np.float32)
    floor_uv = ((FLOOR.vertices[:, :2] + 1) / 2)[FLOOR.faces]
    textures = [Texture(floor_uv, pattern), Texture(np.full((len(BOX.faces), 3, 2), 0.3), pattern)]
    image = sun_case.image * buffer_of(sun_case, albedo=textures).albedo[0]

    result = solve(sun_case, image=image, albedo=textures)

    assert direction_error_deg(result, sun_case) < 1
    np.testing.assert_allclose(result.strength, 2.5, rtol=0.05)


def test_normals_of_smooth_surfaces_are_used(sun_case):
    """A flat floor whose normals say that it is a bowl, shaded as one."""
    inwards = np.concatenate([-0.3 * FLOOR.vertices[:, :2], np.ones((4, 1))], axis=1)
    normals = [inwards / np.linalg.norm(inwards, axis=1, keepdims=True), None]
    flat, smooth = buffer_of(sun_case).normal[0], buffer_of(sun_case, normals=normals).normal[0]
    cosines = [np.maximum(normal @ sun_case.light, 0)[..., None] for normal in (flat, smooth)]
    image = sun_case.image * np.divide(cosines[1], cosines[0], out=np.ones_like(cosines[0]), where=cosines[0] > 0)

    result = solve(sun_case, image=image, normals=normals)

    assert direction_error_deg(result, sun_case) < 1.5
    assert result.image_error < 0.5 * solve(sun_case, image=image).image_error


def test_passes_of_another_renderer_count_instead_of_the_meshes_own_colors(sun_case, rng):
    """The meshes are said to be white; the passes know their pattern, and a patch that shows something else."""
    buffer = buffer_of(sun_case)
    pattern = rng.uniform(0.2, 1, size=(*buffer.mask[0].shape, 3)).astype(np.float32)
    depth = -buffer.position[0, ..., 2]
    image = sun_case.image * pattern
    depth[40:60, 40:60] /= 2  # something stands before the meshes there
    image[40:60, 40:60] = 3

    result = solve(sun_case, image=image, passes={"albedo": pattern, "depth": depth})

    assert direction_error_deg(result, sun_case) < 1
    np.testing.assert_allclose(result.strength, 2.5, rtol=0.05)


def test_normals_of_passes_are_used_on_the_side_that_the_camera_sees(sun_case):
    buffer = buffer_of(sun_case)
    tilted = buffer.normal[0] + [0.2, 0, 0]

    given = buffer_of(sun_case, passes={"normal": -3 * tilted}).normal[0]

    expected = tilted / np.linalg.norm(tilted, axis=2, keepdims=True)
    np.testing.assert_allclose(given[buffer.mask[0]], expected[buffer.mask[0]], atol=1e-5)


def test_pixels_of_which_passes_say_nothing_are_not_used(sun_case):
    albedo = np.ones_like(sun_case.image)
    albedo[:50] = np.nan

    mask = buffer_of(sun_case, passes={"albedo": albedo}).mask[0]

    assert not mask[:50].any()
    assert mask[50:].any()


def test_own_weights_take_the_first_steps(sun_case, tmp_path):
    stages, info = load_weights(shipped_weights("lighting_sun"), "lighting_sun", INPUT_LAYOUT)
    still = {name: np.zeros_like(array) for name, array in stages[0].items()}  # a network that proposes no step
    save_weights(tmp_path / "still.safetensors", [still], info)

    shipped, own = (solve(sun_case, refine=False, weights=path) for path in (None, tmp_path / "still.safetensors"))

    assert max(step.damping for step in shipped.history) > 0
    assert max(step.damping for step in own.history) == 0


def test_weights_for_the_other_kind_of_light_are_refused(sun_case):
    with pytest.raises(WeightsError, match="is for lighting_point, but lighting_sun is needed"):
        solve(sun_case, weights=shipped_weights("lighting_point"))
