# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from solver_core import rotations

IDENTITY = np.array([1.0, 0, 0, 0])
TOLERANCE = 1e-9  # float64, a few chained rotations

components = arrays(np.float64, 4, elements=st.floats(-1, 1))
quaternions = components.filter(lambda q: np.linalg.norm(q) > 0.1).map(rotations.normalized)
vectors = arrays(np.float64, 3, elements=st.floats(-100, 100))
rotvecs_within_half_turn = arrays(np.float64, 3, elements=st.floats(-1.8, 1.8))  # 1.8 sqrt(3) < pi


def assert_same_rotation(a: np.ndarray, b: np.ndarray, atol: float = TOLERANCE) -> None:
    np.testing.assert_allclose(rotations.matrix_from_wxyz(a), rotations.matrix_from_wxyz(b), atol=atol)


def scipy_rotation(wxyz: np.ndarray) -> Rotation:
    return Rotation.from_quat(np.roll(wxyz, -1, axis=-1))


@given(quaternions, quaternions, quaternions)
def test_multiply_is_associative(a, b, c):
    left = rotations.multiply(rotations.multiply(a, b), c)
    right = rotations.multiply(a, rotations.multiply(b, c))

    np.testing.assert_allclose(left, right, atol=TOLERANCE)


@given(quaternions)
def test_multiply_by_identity_changes_nothing(q):
    np.testing.assert_allclose(rotations.multiply(q, IDENTITY), q, atol=TOLERANCE)
    np.testing.assert_allclose(rotations.multiply(IDENTITY, q), q, atol=TOLERANCE)


@given(quaternions)
def test_multiply_by_inverse_gives_identity(q):
    np.testing.assert_allclose(rotations.multiply(q, rotations.inverse(q)), IDENTITY, atol=TOLERANCE)


@given(quaternions, quaternions, vectors)
def test_multiply_rotates_by_the_right_factor_first(a, b, vector):
    at_once = rotations.rotate(rotations.multiply(a, b), vector)
    one_by_one = rotations.rotate(a, rotations.rotate(b, vector))

    np.testing.assert_allclose(at_once, one_by_one, atol=1e-7)  # vectors up to 173 long


@given(quaternions, vectors)
def test_rotate_agrees_with_the_matrix(q, vector):
    np.testing.assert_allclose(rotations.rotate(q, vector), rotations.matrix_from_wxyz(q) @ vector, atol=1e-7)


@given(rotvecs_within_half_turn)
def test_rotvec_round_trip_returns_it_within_half_a_turn(rotvec):
    np.testing.assert_allclose(rotations.rotvec_from_wxyz(rotations.wxyz_from_rotvec(rotvec)), rotvec, atol=1e-7)


@given(quaternions)
def test_quaternion_round_trip_over_rotvec_returns_the_rotation(q):
    assert_same_rotation(rotations.wxyz_from_rotvec(rotations.rotvec_from_wxyz(q)), q)


@given(quaternions)
def test_quaternion_round_trip_over_matrix_returns_the_rotation(q):
    assert_same_rotation(rotations.wxyz_from_matrix(rotations.matrix_from_wxyz(q)), q)


@pytest.mark.parametrize("axis", range(3))
def test_matrix_round_trip_holds_for_half_turns(axis):
    half_turn = -np.eye(3)
    half_turn[axis, axis] = 1

    np.testing.assert_allclose(rotations.matrix_from_wxyz(rotations.wxyz_from_matrix(half_turn)), half_turn, atol=1e-12)


@given(quaternions)
def test_conversions_agree_with_scipy(q):
    reference = scipy_rotation(q)

    np.testing.assert_allclose(rotations.matrix_from_wxyz(q), reference.as_matrix(), atol=TOLERANCE)
    from_scipy = rotations.wxyz_from_rotvec(reference.as_rotvec())
    assert_same_rotation(from_scipy, q)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 0.9e-4, 1e-4, 1.1e-4, 1e-2])
def test_small_rotvecs_survive_in_float32(angle):
    rotvec = np.array([angle, 0, 0], dtype=np.float32)

    back = rotations.rotvec_from_wxyz(rotations.wxyz_from_rotvec(rotvec))

    assert back.dtype == np.float32
    np.testing.assert_allclose(back, rotvec, rtol=1e-5)


def test_angle_between_ignores_the_sign_of_a_quaternion(rng):
    a, b = rotations.random_wxyz(rng, 2, 50)

    np.testing.assert_allclose(rotations.angle_between(a, b), rotations.angle_between(a, -b), atol=1e-12)


def test_angle_between_is_the_angle_of_the_rotation(rng):
    a = rotations.random_wxyz(rng, 50)
    rotvec = rotations.random_rotvec(rng, 50, max_angle=3.0)

    b = rotations.multiply(rotations.wxyz_from_rotvec(rotvec), a)

    np.testing.assert_allclose(rotations.angle_between(a, b), np.linalg.norm(rotvec, axis=1), atol=1e-7)


def test_random_rotations_have_the_angles_of_the_uniform_distribution(rng):
    angles = rotations.angle_between(IDENTITY, rotations.random_wxyz(rng, 20_000))

    # Density (1 - cos a) / pi on [0, pi]: mean pi / 2 + 2 / pi; standard error of this many samples 0.005.
    assert np.mean(angles) == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.02)


def test_batch_axes_are_kept(rng):
    wxyz = rotations.random_wxyz(rng, 2, 3)

    assert rotations.matrix_from_wxyz(wxyz).shape == (2, 3, 3, 3)
    assert rotations.wxyz_from_matrix(rotations.matrix_from_wxyz(wxyz)).shape == (2, 3, 4)
    assert rotations.rotvec_from_wxyz(wxyz).shape == (2, 3, 3)
