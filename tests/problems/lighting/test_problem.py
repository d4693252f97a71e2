# SPDX-License-Identifier: Apache-2.0
"""Forward process, energy, features and training data."""

import numpy as np
import pytest

from solver_core.errors import ConfigError
from solver_core.manifolds import UnitSphere
from solver_core.mesh import Mesh
from solver_core.mesh_library import MeshEntry
from solver_core.problem import take
from solver_core.problems.lighting.features import GRID_SIZE, NUM_CHANNELS, NUM_NUMBERS, network_spec
from solver_core.problems.lighting.least_squares import shading_solution
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.metrics import angle_deg, loss_inputs, measure
from solver_core.problems.lighting.observation import Arriving, Known, fit_linear, observe
from solver_core.problems.lighting.problem import MAP_SIZE, LightingProblem
from solver_core.problems.lighting.refine import gauss_newton_update
from solver_core.problems.lighting.sampler import LightingSampler, LightingSampling, draw_lights, make_sampler
from solver_core.problems.lighting.search import distinct_best
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.surface import choose_pixels, lit_scene
from solver_core.render.gbuffer import join_scene, render_gbuffer
from solver_core.views import canonical_view

from .conftest import BOX, make_case

ROW = np.array([0])


@pytest.fixture(params=["sun", "point"])
def samples(request):
    sampling = LightingSampling(kind=request.param, unknown_strength=0.5)
    box = BOX.unit().mesh
    return LightingSampler([MeshEntry("a", "s", "chair", box), MeshEntry("b", "s", "other", box)], sampling).draw(
        np.random.default_rng(4), 8
    )


def rows_of(samples) -> np.ndarray:
    return np.arange(len(samples.x0))


def test_same_generator_state_gives_the_same_samples():
    sampler = LightingSampler([MeshEntry("a", "s", "chair", BOX.unit().mesh)], LightingSampling(other_categories=0))
    first, second = (sampler.draw(np.random.default_rng(4), 3) for _ in range(2))

    np.testing.assert_allclose(first.x_true, second.x_true, atol=1e-6)
    np.testing.assert_allclose(first.observation.image, second.observation.image, atol=1e-6)


def test_truth_explains_the_observation(samples):
    problem, rows = samples.problem, rows_of(samples)

    energy = problem.energy(problem.forward(samples.x_true, rows), samples.observation, rows)

    assert np.median(energy) < 0.02  # what noise of 1 % leaves


def test_lights_are_drawn_on_the_cameras_half(rng):
    lights = draw_lights(rng, 2000)

    np.testing.assert_allclose(np.linalg.norm(lights, axis=1), 1)
    assert lights[:, 2].min() >= 0
    assert lights[:, 2].mean() == pytest.approx(0.5, abs=0.02)  # uniform on the half sphere


def test_canonical_view_looks_from_azimuth_and_elevation_30():
    matrix = canonical_view()

    expected = [np.cos(np.pi / 6) * np.sin(np.pi / 6), -(np.cos(np.pi / 6) ** 2), np.sin(np.pi / 6)]
    np.testing.assert_allclose(matrix[2, :3], expected)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)


def test_unknown_setting_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="'colour'"):
        make_sampler(tmp_path, "train", {"colour": 1})


def test_features_are_finite_and_of_order_one(samples):
    problem, rows = samples.problem, rows_of(samples)

    features = problem.features(samples.x0, problem.forward(samples.x0, rows), samples.observation, rows)

    assert features.image.shape == (8, GRID_SIZE, GRID_SIZE, NUM_CHANNELS)
    assert features.vector.shape == (8, NUM_NUMBERS)
    assert np.isfinite(features.vector).all()
    assert np.abs(features.image).max() <= 2
    assert network_spec({"convolutions": [[8, 2]], "hidden": [8]}).image_channels == NUM_CHANNELS


def test_target_leads_to_the_truth(samples):
    problem, rows = samples.problem, rows_of(samples)
    target = loss_inputs(problem, samples.x0, samples.x_true, rows)["target"]

    x = problem.manifold.retract(samples.x0, problem.step_from_output(target, samples.x0, rows))

    assert measure(problem, x, samples.x_true, rows)["squared"].max() < 1e-8


def test_loss_is_small_at_the_target_only():
    torch = pytest.importorskip("torch")
    from solver_core.problems.lighting.loss import MIRRORED_LIGHT, SMOOTH, LightingLoss

    class Oracle:
        """Answers the same for everything, and mirrored for what is mirrored."""

        def __init__(self, answer):
            self.answer = torch.cat([answer, answer * MIRRORED_LIGHT])

        def encode(self, image):
            return []

        def decide(self, maps, vector):
            return self.answer

    target, loss = torch.ones(2, 3), LightingLoss(None, 0.0)
    nothing = torch.zeros(2, NUM_CHANNELS, 4, 4), torch.zeros(2, NUM_NUMBERS), {"target": target}

    assert float(loss(Oracle(target), *nothing)) == pytest.approx(SMOOTH)
    assert float(loss(Oracle(0 * target), *nothing)) == pytest.approx(3**0.5, rel=1e-3)


def test_features_of_a_mirrored_scene_are_mirrored_features():
    """The signs that training flips with are those of a scene built left to right."""
    pytest.importorskip("torch")
    from solver_core.problems.lighting.loss import MIRRORED_CHANNELS, MIRRORED_LIGHT, MIRRORED_NUMBERS

    rng = np.random.default_rng(2)
    vertices = rng.normal(size=(12, 3)) * 0.3
    faces = np.arange(12).reshape(4, 3)
    light, truth = np.array([[0.3, 0.5, 0.8]], np.float32), np.array([[-0.2, 0.3, 0.9]], np.float32)
    mirror = np.array([-1.0, 1.0, 1.0])

    def seen(sign):
        mesh = Mesh.checked(vertices * sign + [0, 0, -2.7], faces)
        buffer = render_gbuffer([join_scene([mesh], [np.eye(4)], [None])], np.array([100.0, 100.0, 32, 32]), 64, 64)
        scene = lit_scene([mesh], buffer, [choose_pixels(buffer.mask[0], GRID_SIZE)])
        strength = np.ones((1, 3), np.float32)
        start, answer = (UnitSphere().retract((x * sign).astype(np.float32), np.zeros((1, 3))) for x in (light, truth))
        image = LIGHTS["sun"].shade(scene, answer, MAP_SIZE)[..., None] * scene.surface.albedo
        problem = LightingProblem(LIGHTS["sun"], scene, observe(image, scene.surface.weight), strength)
        rows = np.zeros(1, int)
        x = start.astype(np.float32)
        target = problem.output_from_step(problem.manifold.difference(x, answer), x, rows)
        return problem.features(x, problem.forward(x, rows), problem.observation, rows), target

    (image, vector), target = seen(np.ones(3))
    (mirrored_image, mirrored_vector), mirrored_target = seen(mirror)

    np.testing.assert_allclose(mirrored_target, target * MIRRORED_LIGHT.numpy(), atol=1e-5)
    np.testing.assert_allclose(mirrored_vector, vector * MIRRORED_NUMBERS.numpy(), atol=0.05)  # other pixels at the edges
    difference = np.abs(mirrored_image[:, :, ::-1] - image * MIRRORED_CHANNELS.numpy())
    assert np.median(difference[image[..., 8] > 0]) < 0.01


@pytest.mark.parametrize("ambient", [0.0, 0.3])
def test_strength_and_ambient_are_fitted_in_spite_of_highlights(rng, ambient):
    shading = rng.uniform(0, 1, (1, 500)).astype(np.float32)
    albedo = np.full((1, 500, 3), 0.5, np.float32)
    image = albedo * (2 * shading[..., None] + ambient)
    image[0, :20] += 3
    observation = observe(image, np.ones((1, 500)))

    linear = fit_linear(
        Arriving.straight(shading[None]).on(albedo), observation, Known(np.full((1, 3), np.nan), np.array([False]))
    )

    np.testing.assert_allclose(linear.strength * observation.level, 2, rtol=0.05)
    np.testing.assert_allclose(linear.sky * observation.level, ambient, atol=0.05)


def test_negative_ambient_is_not_fitted(rng):
    shading = rng.uniform(0.5, 1, (1, 500)).astype(np.float32)
    image = np.repeat((shading - 0.3)[..., None], 3, axis=2)

    linear = fit_linear(
        Arriving.straight(shading[None]).on(np.ones((1, 500, 3), np.float32)),
        observe(image, np.ones((1, 500))),
        Known(np.full((1, 3), np.nan), np.array([False])),
    )

    assert not linear.sky.any()


@pytest.fixture(scope="module")
def near_the_truth():
    """A problem with known strength, a light 4 degrees off, and the true one."""
    case = make_case("sun", [0.5, -0.4, 0.8], strength=2.5, ambient=0)
    problem = LightingSetup.checked(**case.arguments(strength=2.5)).problem(GRID_SIZE, 96)
    x_true = case.light[None].astype(np.float32)
    return problem, problem.manifold.retract(x_true, np.array([[0.05, -0.05, 0.05]])).astype(np.float32), x_true


def test_least_squares_near_the_truth_leads_there(near_the_truth):
    problem, x, x_true = near_the_truth

    moved = shading_solution(LIGHTS["sun"], x, problem.scene.surface, problem.forward(x, ROW), problem.observation)

    assert angle_deg(moved, x_true)[0] < 0.75 * angle_deg(x, x_true)[0]  # shadows are still those of x


def test_gauss_newton_near_the_truth_leads_there(near_the_truth):
    problem, x, x_true = near_the_truth

    step = gauss_newton_update(problem)(1, x, problem.forward(x, ROW), problem.observation, ROW)

    assert angle_deg(problem.manifold.retract(x, step), x_true)[0] < 0.75 * angle_deg(x, x_true)[0]


def test_batch_equals_single_rows(samples):
    problem, rows = samples.problem, rows_of(samples)

    batch = problem.forward(samples.x_true, rows)
    alone = problem.forward(samples.x_true[[5]], np.array([5]))

    np.testing.assert_allclose(take(batch, np.array([5])).image, alone.image, atol=1e-5)


def test_chosen_pixels_are_usable_and_spread_over_the_grid():
    usable = np.zeros((50, 200), bool)
    usable[10:40, 20:180] = True

    pixels = choose_pixels(usable, 32)

    assert usable[pixels.row, pixels.column].all()
    assert len(np.unique(pixels.cell)) == len(pixels.cell)
    assert np.ptp(pixels.column) > 140
    assert np.ptp(pixels.row) > 20


def test_single_usable_pixel_is_found():
    usable = np.zeros((500, 500), bool)
    usable[3, 3] = usable[490, 480] = True

    assert len(choose_pixels(usable, 8).cell) >= 1


def test_candidates_leave_no_gap_in_the_half_sphere(rng):
    candidates = LIGHTS["sun"].basis.x

    nearest = np.degrees(np.arccos(np.clip(draw_lights(rng, 500) @ candidates.T, -1, 1))).min(axis=1)

    assert nearest.max() < 15


def test_distinct_best_are_good_and_apart():
    lights = LIGHTS["sun"].basis.x
    energy = np.arange(len(lights), dtype=float)

    chosen = lights[distinct_best(lights, energy, 4, 30.0)]

    assert len(chosen) == 4
    np.testing.assert_array_equal(chosen[0], lights[0])
    assert (chosen @ chosen.T - 2 * np.eye(4)).max() < np.cos(np.radians(30))
