# SPDX-License-Identifier: Apache-2.0
"""Photographs of objects on the ground in sun and sky, by Cycles with bounces: more than our shading knows.  Needs bpy.

A mesh of the library stands between boxes; base colours are known, the light is not.  Materials may have patterns and gloss:
then colours and normals are those of Cycles' passes, as the extension takes them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import bpy
import numpy as np

from addon.bridge.view_transform import ViewTransform
from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.render.gbuffer import Passes
from solver_core.views import VERTICAL_FOV, view_matrices
from training.cycles import scene
from training.cycles.real_images import draw_material

CAMERA = Camera.from_fov(192, 192, VERTICAL_FOV)
SAMPLES = 24
GROUND = 3.0  # half a side, in diagonals of the mesh
NUM_BOXES = 2
VIEW_DEG, SUN_DEG = (15, 50), (15, 75)  # elevations
DISC_DEG = (0.5, 30)
WITH_SKY, SKY = 0.7, (0.05, 0.4)  # share of the scenes, and radiance, where the sun alone makes about 0.95
BOUNCES = (2, 4)
BESIDE = ("nothing", "a second sun", "a sky brighter to one side", "a fill lamp")  # what may shine beside the sun
MATERIALS = ("matt, of one colour", "patterns", "patterns and gloss")
SECOND, APART_DEG = (0.3, 0.8), 40.0  # strength of a second sun against the first, and how far it is from that at least
UNEVEN = (0.5, 1.0)  # by how much of its mean a sky is brighter on one side of the horizon
# A weak square lamp: what it brings to the middle against the sun, how far it is from there and its side, in diagonals.
FILL, FILL_FAR, FILL_SIDE = (0.1, 0.3), (1.5, 2.5), (0.3, 1.0)
LINEAR, PLAIN, STOPS = "linear", "Standard", (-1.0, 1.0)
EXPOSED, BRIGHT_PERCENTILE = 0.7, 98  # some highlights clip
BOX_FACES = np.array(
    [
        *([0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1]),
        *([2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]),
    ]
)


class Outdoors(NamedTuple):
    """image: (H, W, 3) linear, as 8 bits of sRGB keep it.  direction: (3,) towards the sun in the camera's frame.

    strength: (3,) W/m2 at the image's exposure.  angle_deg: across its disc.  sky: (3,) mean radiance, likewise.  bounces: of
    light.  second: (3,) towards a second, weaker sun, or None.  radiance: (H, W, 3) at that exposure, of exposure times what
    Cycles rendered.  passes: of the surfaces where their colours are not the albedos, or None.  stops: by which it is
    brighter where it is saved in another way.
    """

    image: np.ndarray
    meshes: list[Mesh]
    albedos: list[np.ndarray]
    pose: np.ndarray
    direction: np.ndarray
    strength: np.ndarray
    angle_deg: float
    sky: np.ndarray
    bounces: int
    second: np.ndarray | None
    radiance: np.ndarray
    exposure: float
    passes: Passes | None
    stops: float


class Saved(NamedTuple):
    """image: (H, W, 3) linear, as it is read.  exposure: of that image, over the one of the scene's own."""

    image: np.ndarray
    exposure: float


def draw(rng: np.random.Generator, meshes: list[Mesh], beside: str = BESIDE[0], materials: str = MATERIALS[0]) -> Outdoors:
    """A random scene and its photograph.

    beside: what shines beside the sun and a sky, one of BESIDE.  materials: one of MATERIALS.
    """
    mesh = meshes[rng.integers(len(meshes))]
    lowest = mesh.vertices[:, 2].min()
    things = [mesh, *(_box(rng, lowest) for _ in range(NUM_BOXES)), _ground(lowest)]
    albedos = [rng.uniform(0.2, 0.8) * rng.uniform(0.4, 1, 3) for _ in things[:-1]]
    albedos.append(rng.uniform(0.2, 0.7) * rng.uniform(0.8, 1, 3))
    pose = view_matrices(rng.uniform(0, 2 * np.pi, 1), np.radians(rng.uniform(*VIEW_DEG, 1)))[0]
    world = _towards(rng)
    angle_deg = float(np.exp(rng.uniform(*np.log(DISC_DEG))))
    strength = 3 * rng.uniform([1, 0.8, 0.6], 1)
    sky = (rng.uniform() < WITH_SKY) * rng.uniform(*SKY) * rng.uniform([0.4, 0.6, 1], 1)
    bounces = int(rng.choice(BOUNCES))
    direction, second = pose[:3, :3] @ world, None

    scene.new_scene(CAMERA, bounces, SAMPLES)
    for thing, albedo in zip(things, albedos, strict=True):
        scene.add_mesh(thing, pose, scene.matt(albedo) if materials == MATERIALS[0] else _patterned(rng, materials))
    scene.add_sun(direction, strength, np.radians(angle_deg))
    if beside == BESIDE[1]:
        other = _towards(rng)
        while other @ world > np.cos(np.radians(APART_DEG)):
            other = _towards(rng)
        second = pose[:3, :3] @ other
        scene.add_sun(second, rng.uniform(*SECOND) * strength[::-1], np.radians(angle_deg))
    if beside == BESIDE[2]:
        sky = rng.uniform(*SKY) * rng.uniform([0.4, 0.6, 1], 1)
        azimuth = rng.uniform(0, 2 * np.pi)
        along = pose[:3, :3] @ [np.cos(azimuth), np.sin(azimuth), 0]
        scene.set_sky(sky, rng.uniform(*UNEVEN) * np.outer(sky, along))
    else:
        scene.set_ambient(sky)
    if beside == BESIDE[3]:
        away = rng.uniform(*FILL_FAR)
        watts = rng.uniform(*FILL) * np.pi * away**2 * strength.mean() * rng.uniform(0.6, 1, 3)
        middle = pose[:3, 3]
        scene.add_area_light(middle + pose[:3, :3] @ (away * _towards(rng)), middle, watts, rng.uniform(*FILL_SIDE))
    passes = None if materials == MATERIALS[0] else scene.render_passes(CAMERA)
    radiance = scene.render_linear()
    exposure = EXPOSED / np.percentile(radiance, BRIGHT_PERCENTILE)
    radiance = exposure * radiance
    image = linear_from_srgb(np.round(255 * srgb_from_linear(radiance)) / 255)
    lights = direction, exposure * strength, angle_deg, exposure * sky, bounces, second
    return Outdoors(image, things, albedos, pose, *lights, radiance, exposure, passes, rng.uniform(*STOPS))


def saved(shot: Outdoors, view_transform: str, is_told: bool) -> Saved:
    """The photograph of the scene that was drawn last as Blender saves it, darker or brighter.

    view_transform: of Blender, or LINEAR.  is_told: whether it is taken out as the extension does it; else it is read as sRGB.
    """
    if view_transform == LINEAR:
        return Saved(2**shot.stops * shot.radiance, 2**shot.stops)
    shown = scene.seen_through(view_transform, float(np.log2(shot.exposure)) + shot.stops)
    if is_told and view_transform != PLAIN:
        return Saved(ViewTransform(bpy.context.scene).linear(shown), 1 / shot.exposure)
    return Saved(linear_from_srgb(shown), 2**shot.stops)


def _patterned(rng: np.random.Generator, materials: str) -> Any:
    """A random material of Blender's."""
    material = draw_material(rng)
    return scene.without_gloss(material) if materials == MATERIALS[1] else material


def _towards(rng: np.random.Generator) -> np.ndarray:
    """(3,) towards a random sun, z up."""
    elevation, azimuth = np.radians(rng.uniform(*SUN_DEG)), rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])


def _box(rng: np.random.Generator, lowest: float) -> Mesh:
    """A box beside the middle, standing on the ground."""
    size, turn = rng.uniform(0.1, 0.4, 3), rng.uniform(0, 2 * np.pi)
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)]) * size
    across = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    around, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 0.7)
    return Mesh.checked(corners @ across.T + [far * np.cos(around), far * np.sin(around), lowest], BOX_FACES)


def _ground(lowest: float) -> Mesh:
    corners = np.array(
        [[-GROUND, -GROUND, lowest], [GROUND, -GROUND, lowest], [GROUND, GROUND, lowest], [-GROUND, GROUND, lowest]]
    )
    return Mesh.checked(corners, np.array([[0, 1, 2], [0, 2, 3]]))


def setup_of(scene: Outdoors, image: np.ndarray | None = None) -> LightingSetup:
    """What a solve gets of a scene: all but the light.  image: (H, W, 3) linear, in place of the scene's own."""
    return LightingSetup.checked(
        scene.image if image is None else image,
        [mesh.vertices for mesh in scene.meshes],
        [mesh.faces for mesh in scene.meshes],
        CAMERA,
        [scene.pose] * len(scene.meshes),
        albedo=scene.albedos,
        passes=scene.passes,
    )
