# SPDX-License-Identifier: Apache-2.0
"""Photographs of objects before photographs, surroundings and rooms, by Cycles.  Needs bpy.

Surroundings are the panoramas that Blender brings (CC0, of Poly Haven); photographs are those of scikit-image's data folder;
rooms are made of meshes of the library.  Objects have patterns and gloss, and are lit by panorama and sun.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import bpy
import numpy as np

from solver_core import rotations
from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.command.files import read_photo
from solver_core.command.pictures import resize
from solver_core.frames import Camera, matrix_from_pose
from solver_core.mesh import Mesh
from solver_core.problems.pose.sampler import PoseSampling, draw_poses
from solver_core.views import VERTICAL_FOV
from training.cycles import scene
from training.cycles.real_images import draw_material

CAMERA = Camera.from_fov(448, 336, VERTICAL_FOV)
SAMPLES, BOUNCES = 6, 2  # the noise is taken out afterwards
BACKGROUNDS = ("photograph", "surroundings", "room")
PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
PANORAMAS = ("city", "courtyard", "forest", "interior", "night", "studio", "sunrise", "sunset")
SIMILAR = 0.25  # share of objects that are of the background's colour
NOISE = 0.01  # of a camera, of the full range
ROOM = 4.0  # half a side, in diagonals of the mesh
EYE_LEVEL = 0.3  # of the camera above the floor, at least
NUM_OTHERS = 3  # things in a room
SUN = (1.0, 4.0)


NEAR_DEG, FAR_DEG = 10, 40
FAR_SHIFT = 0.2  # of the far start along each axis, in diagonals; of the near one as much less as its angle


class Photograph(NamedTuple):
    """image: (H, W, 3) uint8 sRGB.  truth: (7,) pose of the mesh.  starts: (7,) by how many degrees they may be off.

    background: one of BACKGROUNDS.  is_similar: whether the object is of its colour.
    """

    image: np.ndarray
    mesh: Mesh
    truth: np.ndarray
    starts: dict[int, np.ndarray]
    background: str
    is_similar: bool


def draw(rng: np.random.Generator, meshes: list[Mesh]) -> Photograph:
    """A random scene, its photograph, and starts."""
    mesh = meshes[rng.integers(len(meshes))]
    far, truth = (pose[0] for pose in draw_poses(PoseSampling(max_angle_deg=FAR_DEG, max_shift=FAR_SHIFT), rng, 1))
    starts = {NEAR_DEG: _beside(truth, rng), FAR_DEG: far}
    background, is_similar = str(rng.choice(BACKGROUNDS)), bool(rng.uniform() < SIMILAR)
    pose = matrix_from_pose(truth)
    if background == "room" and np.linalg.inv(pose)[2, 3] < mesh.vertices[:, 2].min() + EYE_LEVEL:
        background = "surroundings"  # the floor would hide the object
    made = _photograph_of(rng) if background == "photograph" else None

    made_scene = scene.new_scene(CAMERA, BOUNCES, SAMPLES)
    made_scene.cycles.use_denoising, render = True, made_scene.render
    panorama = str(rng.choice(PANORAMAS))
    colour = _set_surroundings(panorama, rng, pose)
    if background == "room":
        colour = _add_room(rng, mesh, meshes, pose)
    if made is not None:
        colour = linear_from_srgb(made.mean(axis=(0, 1)))
        render.film_transparent, render.image_settings.color_mode = True, "RGBA"
    material = draw_material(rng)
    if is_similar:
        _tint(material, colour)
    scene.add_mesh(mesh, pose, material)
    scene.add_sun(pose[:3, :3] @ _upwards(rng), rng.uniform(*SUN) * rng.uniform(0.7, 1, 3), np.radians(rng.uniform(0.5, 20)))
    radiance, alpha = scene.render_with_alpha()
    seen = alpha > 0.5 if made is not None else np.ones_like(alpha, bool)
    exposure = 0.6 / np.percentile(radiance[seen], 90)
    image = srgb_from_linear(exposure * radiance)
    if made is not None:
        image = alpha[..., None] * image + (1 - alpha[..., None]) * made
    image = image + rng.normal(scale=NOISE, size=image.shape)
    return Photograph(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8), mesh, truth, starts, background, is_similar)


def _beside(pose: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A pose up to NEAR_DEG away."""
    turn = rotations.wxyz_from_rotvec(rotations.random_rotvec(rng, 1, np.radians(NEAR_DEG)))[0]
    shift = rng.uniform(-1, 1, 3) * FAR_SHIFT * NEAR_DEG / FAR_DEG
    return np.concatenate([rotations.multiply(turn, pose[:4]), pose[4:] + shift])


def _photograph_of(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) float in [0, 1] a window of a photograph, of the camera's size."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise RuntimeError("the backgrounds are pictures of scikit-image: pip install scikit-image")
    photo = read_photo(Path(spec.origin).parent / "data" / str(rng.choice(PHOTOGRAPHS)))
    factor = max(CAMERA.height / photo.shape[0], CAMERA.width / photo.shape[1]) * rng.uniform(1, 1.4)
    photo = resize(photo, round(photo.shape[1] * factor) + 1, round(photo.shape[0] * factor) + 1)
    top, left = rng.integers(photo.shape[0] - CAMERA.height + 1), rng.integers(photo.shape[1] - CAMERA.width + 1)
    return photo[top : top + CAMERA.height, left : left + CAMERA.width] / 255


def _set_surroundings(name: str, rng: np.random.Generator, camera_from_object: np.ndarray) -> np.ndarray:
    """A panorama that stands upright as the mesh does; returns its mean colour, linear."""
    folder = Path(bpy.utils.system_resource("DATAFILES"), "studiolights", "world")
    image = bpy.data.images.load(str(folder / f"{name}.exr"))
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    nodes, links = world.node_tree.nodes, world.node_tree.links
    texture, mapping, place = (nodes.new(f"ShaderNode{kind}") for kind in ("TexEnvironment", "Mapping", "TexCoord"))
    texture.image = image
    turn = rng.uniform(0, 2 * np.pi)
    about = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    from mathutils import Matrix

    mapping.inputs["Rotation"].default_value = Matrix((about @ camera_from_object[:3, :3].T).tolist()).to_euler()
    links.new(place.outputs["Generated"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
    links.new(texture.outputs["Color"], nodes["Background"].inputs["Color"])
    pixels = np.empty(image.size[0] * image.size[1] * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    colours = pixels.reshape(-1, image.channels)[:, :3]
    level = np.median(colours.mean(axis=1))
    nodes["Background"].inputs["Strength"].default_value = 0.3 / level
    return np.clip(np.median(colours, axis=0) * 0.3 / level, 0.05, 0.8)


def _add_room(rng: np.random.Generator, mesh: Mesh, meshes: list[Mesh], camera_from_object: np.ndarray) -> np.ndarray:
    """A floor, a wall and other things behind the mesh; returns the floor's colour."""
    floor_z = mesh.vertices[:, 2].min() - 1e-3
    camera_object = np.linalg.inv(camera_from_object)[:3, 3]
    back = -camera_object * [1, 1, 0] / np.linalg.norm(camera_object[:2])
    side = np.array([-back[1], back[0], 0])
    up = np.array([0.0, 0, 1])
    at = lambda x, y, z: x * side + y * back + z * up
    wall_far = rng.uniform(0.8, 2.0)
    floor = [at(-ROOM, -ROOM, floor_z), at(ROOM, -ROOM, floor_z), at(ROOM, ROOM, floor_z), at(-ROOM, ROOM, floor_z)]
    wall = [at(-ROOM, wall_far, floor_z), at(ROOM, wall_far, floor_z), at(ROOM, wall_far, ROOM), at(-ROOM, wall_far, ROOM)]
    materials = [draw_material(rng) for _ in range(2)]
    for corners, material in zip((floor, wall), materials, strict=True):
        plane = Mesh(np.array(corners, np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32))
        scene.add_mesh(plane, camera_from_object, material)
    for _ in range(NUM_OTHERS):
        other = meshes[rng.integers(len(meshes))]
        where = at(rng.uniform(-1, 1), rng.uniform(0.7, wall_far + 0.3), 0)
        where[2] = floor_z - other.vertices[:, 2].min()
        scene.add_mesh(Mesh(other.vertices + np.float32(where), other.faces), camera_from_object, draw_material(rng))
    return np.mean([socket.default_value[:3] for socket in _colours(materials[0])], axis=0)


def _colours(material: Any) -> list[Any]:
    """The inputs of a material's nodes that hold a colour of its surface."""
    inputs = [socket for node in material.node_tree.nodes for socket in node.inputs]
    return [
        one
        for one in inputs
        if one.type == "RGBA" and not one.is_linked and one.name in ("Base Color", "Color1", "Color2", "A", "B")
    ]


def _tint(material: Any, colour: np.ndarray) -> None:
    """Gives the material's colours the hue and level of another one; they differ by as much as before."""
    sockets = _colours(material)
    own = np.mean([socket.default_value[:3] for socket in sockets], axis=0).mean()
    for socket in sockets:
        socket.default_value = (*np.clip(colour * np.mean(socket.default_value[:3]) / own, 0.02, 0.9), 1)


def _upwards(rng: np.random.Generator) -> np.ndarray:
    """(3,) a direction from above."""
    azimuth, elevation = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(20, 75))
    return np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
