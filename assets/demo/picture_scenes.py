# SPDX-License-Identifier: CC0-1.0
"""Pictures of the demo scenes before and after they were solved: pose.png, lighting.png, armature.png.

    python assets/demo/picture_scenes.py DIR            (needs bpy and Pillow)

DIR: where `python -m addon.batch assets/demo/job.json --out DIR` put the solved scenes; the pictures go there too.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import bpy
from bpy_extras.object_utils import world_to_camera_view
from PIL import Image, ImageDraw

HERE = Path(__file__).resolve().parent
WIDTH, SAMPLES, FRAME = 480, 16, 40
GREEN = (60, 220, 90)


def draw(scene_file: Path, over_photograph: bool) -> Image.Image:
    """The scene through its camera; where nothing is, and where asked for, the photograph behind the camera."""
    bpy.ops.wm.open_mainfile(filepath=str(scene_file), load_ui=False)
    scene = bpy.context.scene
    scene.frame_set(FRAME)
    if not any(thing.type == "LIGHT" for thing in scene.objects):
        add_daylight(scene)
    render = scene.render
    render.engine, scene.cycles.device, scene.cycles.samples = "CYCLES", "CPU", SAMPLES
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces = 2
    render.resolution_percentage = 100 * WIDTH // render.resolution_x
    render.film_transparent = True
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    with tempfile.TemporaryDirectory() as folder:
        render.filepath = str(Path(folder) / "scene.png")
        bpy.ops.render.render(write_still=True)
        picture = Image.open(render.filepath).convert("RGBA")
    behind = photograph(scene, picture.size) if over_photograph else Image.new("RGBA", picture.size, (70, 74, 80, 255))
    return Image.alpha_composite(behind, picture).convert("RGB")


def add_daylight(scene: bpy.types.Scene) -> None:
    """A sun over the camera's shoulder and a bright sky, in scenes that have none."""
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 2.5, (0.6, 0.2, 0.9)
    scene.collection.objects.link(sun)
    scene.world = bpy.data.worlds.new("Sky")
    scene.world.color = (0.4, 0.4, 0.4)


def photograph(scene: bpy.types.Scene, size: tuple[int, int]) -> Image.Image:
    """The packed background image of the camera."""
    image = scene.camera.data.background_images[0].image
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(image.filepath).name
        path.write_bytes(image.packed_file.data)
        return Image.open(path).convert("RGBA").resize(size)


def mark_targets(picture: Image.Image) -> None:
    """Draws the empties of the open scene as dots."""
    scene = bpy.context.scene
    brush = ImageDraw.Draw(picture)
    for target in bpy.data.collections["Targets"].objects:
        x, y, _ = world_to_camera_view(scene, scene.camera, target.matrix_world.translation)
        x, y = x * picture.width, (1 - y) * picture.height
        brush.ellipse((x - 4, y - 4, x + 4, y + 4), fill=GREEN, outline=(20, 60, 30))


def side_by_side(pictures: list[Image.Image], path: Path) -> None:
    strip = Image.new("RGB", (sum(picture.width for picture in pictures), pictures[0].height))
    for index, picture in enumerate(pictures):
        strip.paste(picture, (index * picture.width, 0))
    strip.save(path)
    print(path)


def main(folder: Path) -> None:
    side_by_side([draw(place / "pose.blend", over_photograph=True) for place in (HERE, folder)], folder / "pose.png")
    suns = [draw(place / "lighting.blend", over_photograph=False) for place in (HERE, folder)]
    side_by_side([*suns, photograph(bpy.context.scene, suns[0].size).convert("RGB")], folder / "lighting.png")
    walks = []
    for place in (HERE, folder):
        walks.append(draw(place / "armature.blend", over_photograph=False))
        mark_targets(walks[-1])
    side_by_side(walks, folder / "armature.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
