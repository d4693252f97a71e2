# SPDX-License-Identifier: Apache-2.0
"""A found light as a picture of all that is around."""

from types import SimpleNamespace

import numpy as np
import pytest

from solver_core.command.files import read_radiance, write_radiance
from solver_core.errors import ConfigError
from solver_core.problems.lighting.environment import found_environment
from solver_core.problems.lighting.known import environment_directions
from solver_core.problems.lighting.sky import FoundSky, SkyShape

from .conftest import camera_from_world
from .test_command import files, solve  # noqa: F401  (files is a fixture)

SUN_WORLD = np.array([0.0, 0.6, 0.8])
UP = camera_from_world()[:3, 2]
STRENGTH, AMBIENT = np.array([3.0, 2.0, 1.0]), np.array([0.1, 0.2, 0.3])


def solution(angle_deg: float | None = None, position=None, sky=None) -> SimpleNamespace:
    size = None if angle_deg is None else SimpleNamespace(angle_deg=angle_deg)
    lamp = SimpleNamespace(direction=camera_from_world()[:3, :3] @ SUN_WORLD, strength=STRENGTH, size=size, position=position)
    sky = FoundSky(SkyShape(), AMBIENT[None], UP) if sky is None else sky
    return SimpleNamespace(lamps=[lamp], sky=sky)


@pytest.mark.parametrize("angle_deg", [None, 1e-3, 20.0])
def test_the_sun_of_an_environment_makes_its_strength(angle_deg):
    around = found_environment(solution(angle_deg), camera_from_world())

    height, width, _ = around.shape
    _, solid_angle = environment_directions(height, width)
    light = np.sum((around - AMBIENT) * solid_angle[:, None, None], axis=(0, 1))
    np.testing.assert_allclose(light, STRENGTH, rtol=1e-3)
    rows, columns = np.nonzero(around[..., 0] > 2 * AMBIENT[0])
    assert (rows.mean() + 0.5) / height == pytest.approx((90 - np.degrees(np.arcsin(0.8))) / 180, abs=0.01)
    assert (columns.mean() + 0.5) / width == pytest.approx(0.25, abs=0.01)  # y is in the middle of the left half


def test_a_fill_is_the_lower_half_of_an_environment():
    fill = np.array([0.9, 0.5, 0.1])

    around = found_environment(
        solution(sky=FoundSky(SkyShape(has_fill=True), np.stack([AMBIENT, fill]), UP)), camera_from_world()
    )

    np.testing.assert_allclose(around[5], np.broadcast_to(AMBIENT, around[5].shape), rtol=1e-5)
    np.testing.assert_allclose(around[-5], np.broadcast_to(fill, around[5].shape), rtol=1e-5)


def test_a_point_light_beside_a_sun_is_not_in_the_environment():
    both = SimpleNamespace(lamps=[*solution(position=np.ones(3)).lamps, *solution().lamps], sky=solution().sky)

    around = found_environment(both, camera_from_world())

    np.testing.assert_array_equal(around, found_environment(solution(), camera_from_world()))


def test_a_light_that_is_near_has_no_environment():
    with pytest.raises(ConfigError, match="solve for a sun"):
        found_environment(solution(position=np.zeros(3)), np.eye(4))


@pytest.mark.parametrize("ending", ["hdr", "exr"])
def test_radiance_is_written_as_it_is(ending, tmp_path, rng):
    if ending == "exr":
        pytest.importorskip("OpenEXR")
    radiance = np.exp(rng.uniform(-6, 9, (9, 17, 1)) + rng.uniform(0, 0.5, (9, 17, 3))).astype(np.float32)
    radiance[0, 0] = 0

    write_radiance(tmp_path / f"around.{ending}", radiance)

    if ending == "exr":
        read = read_radiance(tmp_path / "around.exr")
    else:
        header, pixels = (tmp_path / "around.hdr").read_bytes().split(b"-Y 9 +X 17\n")
        assert header.startswith(b"#?RADIANCE")
        rgbe = np.frombuffer(pixels, np.uint8).reshape(9, 17, 4).astype(float)
        read = (rgbe[..., :3] + 0.5) * 2 ** (rgbe[..., 3:] - 136) * (rgbe[..., 3:] > 0)
    np.testing.assert_allclose(read, radiance, rtol=0.01)


def test_the_command_writes_an_environment(files, capsys):  # noqa: F811
    assert solve(files, f"--environment={files / 'around.hdr'}") == 0
    assert (files / "around.hdr").stat().st_size > 1_000_000

    code = solve(files, "--kind=point", f"--environment={files / 'point.hdr'}")

    assert code == 2
    assert "use --kind sun" in capsys.readouterr().err
    assert not (files / "point.hdr").exists()
