# SPDX-License-Identifier: Apache-2.0
"""The same shading and shadows as pyrender, which draws the images of every reported number."""

import numpy as np
import pytest

from solver_core.frames import Camera
from solver_core.render.gbuffer import join_scene, render_gbuffer
from solver_core.render.shading import point_light_shading, sun_shading
from training.paper.pyrender_shading import PyrenderLambert

trimesh = pytest.importorskip("trimesh")

pytestmark = [pytest.mark.egl, pytest.mark.filterwarnings("ignore:tostring:DeprecationWarning")]  # PyOpenGL's own
CAMERA = Camera.from_fov(256, 256, np.radians(30))
DISTANCE = 2.732
NEAR_EDGE_PX = 2  # pyrender averages four samples a pixel, and its shadows end softly


@pytest.fixture(scope="module")
def pyrender():
    try:
        renderer = PyrenderLambert(CAMERA)
    except Exception as error:  # PyOpenGL raises what its platform raises
        pytest.skip(f"pyrender or EGL is missing: {error!r}")
    with renderer:
        yield renderer


@pytest.fixture(scope="module")
def scene():
    """Ball and ring over a plate, tilted towards the camera."""
    from solver_core.mesh import Mesh

    parts = [
        trimesh.creation.icosphere(subdivisions=3, radius=0.15).apply_translation([0.1, 0, 0.2]),
        trimesh.creation.torus(0.15, 0.03).apply_translation([-0.2, 0.1, 0.1]),
        trimesh.creation.box((0.8, 0.6, 0.02)),
    ]
    joined = trimesh.util.concatenate(parts)
    angle = -np.radians(50)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[2, 3] = -DISTANCE
    return join_scene([Mesh.checked(joined.vertices, joined.faces)], [matrix], [None])


def away_from_edges(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels around which the image has no step."""
    steps = np.hypot(*np.gradient(image)) > 0.05
    near = np.zeros_like(steps)
    for rows in range(-NEAR_EDGE_PX, NEAR_EDGE_PX + 1):
        for columns in range(-NEAR_EDGE_PX, NEAR_EDGE_PX + 1):
            near |= np.roll(steps, (rows, columns), (0, 1))
    return mask & ~near


@pytest.mark.parametrize("kind", ["sun", "point"])
@pytest.mark.parametrize("light", [(0.5, 0.6, 0.7), (-0.8, 0.3, 0.5), (0.0, 0.1, 1.0)])
def test_shading_agrees_with_pyrender_away_from_edges(pyrender, scene, kind, light):
    light = np.array(light) / np.linalg.norm(light)
    buffer = render_gbuffer([scene], CAMERA.intrinsics, 256, 256)
    mask = buffer.mask[0]
    points, normals = buffer.position[0][mask][None], buffer.normal[0][mask][None]
    ours = np.zeros(mask.shape)
    if kind == "sun":
        ours[mask] = sun_shading([scene.mesh], points, normals, light[None], 512)[0]
        theirs = pyrender.render_sun(scene.mesh, light, np.pi)[..., 0]
    else:
        position = light - [0, 0, DISTANCE]
        ours[mask] = 0.3 * point_light_shading([scene.mesh], points, normals, position[None], 512)[0]
        theirs = pyrender.render_point_light(scene.mesh, position, 0.3 * np.pi)[..., 0]

    difference = np.abs(ours - theirs)[away_from_edges(ours, mask)]

    assert difference.mean() < 0.02 * ours.max()
    assert np.percentile(difference, 95) < 0.04 * ours.max()
