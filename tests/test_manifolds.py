# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver_core.manifolds import SE3, AddedPose, Euclidean, Manifold, Product, SO3Power, UnitSphere

MANIFOLDS = [Euclidean(3), UnitSphere(), Product((UnitSphere(), Euclidean(3))), SE3(), AddedPose(), SO3Power(5)]
FREE_MANIFOLDS = [Euclidean(3), SE3(), SO3Power(5)]  # on the sphere a part of the step changes nothing
COUNT = 4

seeds = st.integers(0, 2**32 - 1)
sizes = st.floats(0, 1.8)  # of a step's components: rotations stay under half a turn

on_every_manifold = pytest.mark.parametrize("manifold", MANIFOLDS, ids=repr)


def random_step(manifold: Manifold, rng: np.random.Generator, size: float) -> np.ndarray:
    return rng.uniform(-size, size, (COUNT, manifold.dim))


def assert_same_point(manifold: Manifold, x: np.ndarray, y: np.ndarray, atol: float = 1e-7) -> None:
    np.testing.assert_allclose(manifold.distance(x, y), 0, atol=atol)


@on_every_manifold
@given(seed=seeds)
def test_retract_by_nothing_stays(manifold, seed):
    x = manifold.random(np.random.default_rng(seed), COUNT)

    assert_same_point(manifold, manifold.retract(x, np.zeros((COUNT, manifold.dim))), x)


@on_every_manifold
@given(seed=seeds)
def test_retract_by_the_difference_arrives(manifold, seed):
    rng = np.random.default_rng(seed)
    x, y = manifold.random(rng, COUNT), manifold.random(rng, COUNT)

    assert_same_point(manifold, manifold.retract(x, manifold.difference(x, y)), y)


@pytest.mark.parametrize("manifold", FREE_MANIFOLDS, ids=repr)
@given(seed=seeds, size=sizes)
def test_difference_after_retract_returns_the_step(manifold, seed, size):
    rng = np.random.default_rng(seed)
    x, step = manifold.random(rng, COUNT), random_step(manifold, rng, size)

    np.testing.assert_allclose(manifold.difference(x, manifold.retract(x, step)), step, atol=1e-7)


@given(seed=seeds, size=sizes)
def test_difference_on_the_sphere_is_perpendicular_and_shortest(seed, size):
    manifold, rng = UnitSphere(), np.random.default_rng(seed)
    x, step = manifold.random(rng, COUNT), random_step(manifold, rng, size)

    difference = manifold.difference(x, manifold.retract(x, step))

    np.testing.assert_allclose(np.sum(difference * x, axis=1), 0, atol=1e-7)
    assert (np.linalg.norm(difference, axis=1) <= np.linalg.norm(step, axis=1) + 1e-7).all()


@on_every_manifold
@given(seed=seeds)
def test_distance_is_a_metric(manifold, seed):
    rng = np.random.default_rng(seed)
    x, y, z = (manifold.random(rng, COUNT) for _ in range(3))

    np.testing.assert_allclose(manifold.distance(x, x), 0, atol=1e-7)
    np.testing.assert_allclose(manifold.distance(x, y), manifold.distance(y, x), atol=1e-7)
    assert (manifold.distance(x, z) <= manifold.distance(x, y) + manifold.distance(y, z) + 1e-7).all()
    assert manifold.distance(x, y).shape == (COUNT,)


@on_every_manifold
@given(seed=seeds, size=st.floats(0, 20))
def test_retract_stays_in_the_space_however_long_the_step(manifold, seed, size):
    rng = np.random.default_rng(seed)

    x = manifold.retract(manifold.random(rng, COUNT), random_step(manifold, rng, size))

    assert np.isfinite(x).all()
    if not isinstance(manifold, Euclidean):
        unit = x[..., : {SE3: 4, AddedPose: 4, Product: 3}.get(type(manifold))]
        np.testing.assert_allclose(np.linalg.norm(unit, axis=-1), 1, atol=1e-12)
    if isinstance(manifold, SE3):
        assert (x[:, 6] < 0).all()


@on_every_manifold
def test_float32_is_kept_and_agrees_with_float64(manifold, rng):
    x, y = manifold.random(rng, COUNT), manifold.random(rng, COUNT)
    step = random_step(manifold, rng, 0.5)
    x32, y32, step32 = (array.astype(np.float32) for array in (x, y, step))

    assert manifold.retract(x32, step32).dtype == np.float32
    assert manifold.difference(x32, y32).dtype == np.float32
    np.testing.assert_allclose(manifold.retract(x32, step32), manifold.retract(x, step), atol=2e-5)  # depths up to 16
    np.testing.assert_allclose(manifold.distance(x32, y32), manifold.distance(x, y), atol=1e-4)  # float32 angles


@on_every_manifold
def test_random_repeats_for_the_same_generator(manifold):
    first, second = (manifold.random(np.random.default_rng(7), COUNT) for _ in range(2))

    np.testing.assert_allclose(first, second, atol=1e-12)


def test_difference_reaches_the_opposite_direction():
    x = np.concatenate([np.eye(3), -np.eye(3)])

    step = UnitSphere().difference(x, -x)

    np.testing.assert_allclose(np.linalg.norm(step, axis=1), np.pi)
    np.testing.assert_allclose(UnitSphere().retract(x, step), -x, atol=1e-12)


class TestSE3Step:
    """What each of the six numbers does, at a pose computed by hand."""

    pose = np.array([[1.0, 0, 0, 0, 1, 2, -4]])

    def retract(self, *step: float) -> np.ndarray:
        return SE3().retract(self.pose, np.array([step]))

    def test_rotation_turns_about_the_object_in_camera_axes(self):
        half = np.sqrt(0.5)
        turned_before = np.array([[half, half, 0, 0, 1, 2, -4]])

        turned = SE3().retract(turned_before, np.array([[0, 0, np.pi / 2, 0, 0, 0]]))

        np.testing.assert_allclose(turned, [[0.5, 0.5, 0.5, 0.5, 1, 2, -4]], atol=1e-12)  # z after x, not x after z

    def test_shift_moves_the_image_of_the_origin(self):
        np.testing.assert_allclose(self.retract(0, 0, 0, 0.25, -0.5, 0), [[1, 0, 0, 0, 2, 0, -4]], atol=1e-12)

    def test_log_depth_moves_along_the_ray(self):
        np.testing.assert_allclose(self.retract(0, 0, 0, 0, 0, np.log(2)), [[1, 0, 0, 0, 2, 4, -8]], atol=1e-12)

    def test_difference_does_not_depend_on_the_unit_of_length(self, rng):
        x, y = SE3().random(rng, COUNT), SE3().random(rng, COUNT)
        in_millimetres = np.array([1, 1, 1, 1, 1000, 1000, 1000])

        np.testing.assert_allclose(SE3().difference(x * in_millimetres, y * in_millimetres), SE3().difference(x, y), atol=1e-9)


def test_so3_power_turns_each_rotation_about_its_own_axes():
    half = np.sqrt(0.5)
    x = np.array([[[half, half, 0, 0], [1, 0, 0, 0]]])

    turned = SO3Power(2).retract(x, np.array([[0, 0, np.pi / 2, 0, 0, 0]]))

    np.testing.assert_allclose(turned, [[[0.5, 0.5, -0.5, 0.5], [1, 0, 0, 0]]], atol=1e-12)  # x after z
