# SPDX-License-Identifier: Apache-2.0
"""Photographs of scenes as the tables of lights draw them."""

import numpy as np
import pytest

from solver_core.mesh import Mesh

pytest.importorskip("trimesh")

from training.cycles import outdoors

pytestmark = pytest.mark.filterwarnings("ignore:'Material.use_nodes'")

CORNERS = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.3, 0.3) for z in (-0.3, 0.3)])
MESHES = [Mesh.checked(CORNERS, outdoors.BOX_FACES)]


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(outdoors, "SAMPLES", 4)
    monkeypatch.setattr(outdoors, "CAMERA", outdoors.CAMERA.scaled(1 / 3, 64, 64))


def test_a_photograph_is_read_through_the_view_transform_that_saved_it():
    shot = outdoors.draw(np.random.default_rng(0), MESHES)

    for view_transform in ("AgX", "Filmic"):
        told, untold = (outdoors.saved(shot, view_transform, is_told) for is_told in (True, False))
        off, off_untold = (np.median(np.abs(one.image / one.exposure / shot.radiance - 1)) for one in (told, untold))
        assert off < 0.02 < 0.1 < off_untold
    plain = outdoors.saved(shot, "Standard", True)
    assert plain.exposure == pytest.approx(2**shot.stops)
    kept = plain.image.max(axis=2) < 1
    assert np.median(np.abs(plain.image / plain.exposure / shot.radiance - 1)[kept]) < 0.02


def test_colours_of_patterns_are_those_of_the_passes_and_a_fill_lamp_adds_light():
    shot = outdoors.draw(np.random.default_rng(0), MESHES, materials="patterns")
    setup = outdoors.setup_of(shot)
    alone, filled = (outdoors.draw(np.random.default_rng(0), MESHES, beside) for beside in ("nothing", "a fill lamp"))

    albedo = setup.buffer.albedo[setup.buffer.mask]
    assert len(np.unique(albedo.round(3), axis=0)) > 100  # of three matt things there are three
    assert np.isfinite(albedo).all()
    more = filled.radiance / filled.exposure - alone.radiance / alone.exposure
    assert np.percentile(more, 80) > 0.01
