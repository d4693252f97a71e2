"""Makes the pose demo: a toy biplane, a photographic render of it, a hand-made-looking mask, camera and poses.

    python assets/demo/make_pose_demo.py            (needs bpy, trimesh and contourpy; two minutes)

Everything this writes is CC0.  The solver sees pose_model.ply, pose_mask.png, camera.json and start.json; the
photograph is for the picture and truth.json for the test.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import bpy
import contourpy
import numpy as np
import trimesh
from mathutils import Matrix, Vector
from PIL import Image, ImageChops, ImageDraw

from solver_core import rotations
from solver_core.frames import Camera

HERE = Path(__file__).parent
WIDTH, HEIGHT = 960, 720
LENS_MM, SENSOR_MM = 62.0, 36.0  # a short telephoto, as one photographs small things
START_ROTVEC = np.radians(30) * np.array([0.36, 0.80, -0.48])  # in camera axes
START_SHIFT = np.array([-0.03, 0.02, -0.10])  # metres, a tenth of the model's length and of its distance

RED, CREAM, WOOD, DARK = range(4)


def tube(centres: np.ndarray, across: np.ndarray, up: np.ndarray, sides: int) -> tuple[np.ndarray, list[list[int]]]:
    """Closed surface through ellipses: centres (S, 3), their half axes (S, 3) each.  All parts of the toy are tubes."""
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)[None, :, None]
    rings = centres[:, None] + np.cos(angles) * across[:, None] + np.sin(angles) * up[:, None]  # (S, sides, 3)
    index = np.arange(len(centres) * sides).reshape(len(centres), sides)
    following = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], following[:-1], following[1:], index[1:]], axis=-1).reshape(-1, 4)
    return rings.reshape(-1, 3), [index[0, ::-1].tolist(), index[-1].tolist(), *quads.tolist()]


def straight(start, end, profile, across, up, sides=24):
    """Tube from start to end, its half axes scaled by the profile (S, 3)."""
    fraction, across_factor, up_factor = np.array(profile, dtype=float).T[:, :, None]
    start, end = np.array(start, dtype=float), np.array(end, dtype=float)
    return tube(start + fraction * (end - start), across_factor * np.array(across), up_factor * np.array(up), sides)


def rounded(steps: int = 7, edge: float = 0.12) -> list[tuple[float, float, float]]:
    """Profile of a plate with rounded ends: the half axes grow over the outer `edge` of the length."""
    t = np.linspace(0.02, 1, steps)
    end = [(edge * (1 - math.sqrt(1 - a * a)), 0.45 + 0.55 * a, 0.3 + 0.7 * a) for a in t]
    return end + [(1 - f, a, u) for f, a, u in reversed(end)]


def ball(steps: int = 13) -> list[tuple[float, float, float]]:
    angle = np.linspace(0.05, np.pi - 0.05, steps)
    return [(0.5 - 0.5 * math.cos(a), math.sin(a), math.sin(a)) for a in angle]


def rod(start, end, radius: float, sides: int = 12):
    """Round dowel between two points."""
    direction = np.array(end, dtype=float) - np.array(start, dtype=float)
    across = np.cross(direction, [1.0, 0.3, 0.2])
    across *= radius / np.linalg.norm(across)
    up = np.cross(direction, across)
    up *= radius / np.linalg.norm(up)
    return straight(start, end, ROD, across, up, sides)


# Profiles of `straight`: fraction of the way, and factors of the two half axes there.
ROD = [(0, 1, 1), (1, 1, 1)]
COWLING = [(0, 1, 1), (0.55, 1, 1), (0.85, 0.9, 0.9), (1, 0.7, 0.7)]
SPINNER = [(0, 1, 1), (0.4, 0.9, 0.9), (0.8, 0.55, 0.55), (1, 0.2, 0.2)]
BLADE = [(0, 0.5, 1), (0.25, 0.8, 1), (0.7, 1, 0.8), (0.93, 0.8, 0.6), (1, 0.4, 0.4)]
HALF_TYRE = [(0, 0.7, 0.7), (0.06, 0.86, 0.86), (0.2, 0.97, 0.97)]
TYRE = [*HALF_TYRE, (0.5, 1, 1), *((1 - f, a, u) for f, a, u in reversed(HALF_TYRE))]
HUB = [(0, 0.8, 0.8), (0.1, 1, 1), (0.9, 1, 1), (1, 0.8, 0.8)]
RIM = [(0, 1, 1), (0.8, 1, 1), (1, 0.9, 0.9)]
CAP = [(0, 1, 1), (0.35, 0.98, 0.98), (0.7, 0.75, 0.75), (1, 0.2, 0.2)]
FUSELAGE = [  # x, z of the centre, half width, half height
    (0.104, 0.076, 0.024, 0.025),
    (0.100, 0.076, 0.027, 0.028),
    (0.060, 0.076, 0.028, 0.031),
    (0.020, 0.077, 0.027, 0.033),
    (-0.030, 0.078, 0.023, 0.028),
    (-0.080, 0.081, 0.016, 0.020),
    (-0.130, 0.085, 0.008, 0.012),
    (-0.146, 0.086, 0.005, 0.008),
]
EAST, NORTH, TOP = np.eye(3)


def parts():
    """(material, (vertices, polygons)) of the toy in metres: nose along +x, left wing along +y, wheels on z = 0."""
    yield from body()
    yield from propeller()
    yield from wings()
    yield from tail()
    yield from wheels()
    yield from pilot()


def body():
    x, z, half_width, half_height = np.array(FUSELAGE).T[:, :, None]
    yield RED, tube(x * EAST + z * TOP, half_width * NORTH, half_height * TOP, 28)
    yield CREAM, straight((0.104, 0, 0.076), (0.130, 0, 0.076), COWLING, 0.0275 * NORTH, 0.0285 * TOP, 28)


def propeller():
    yield RED, straight((0.131, 0, 0.076), (0.158, 0, 0.076), SPINNER, 0.010 * NORTH, 0.010 * TOP, 20)
    middle, angle = np.array([0.140, 0, 0.076]), math.radians(62)
    along = math.cos(angle) * NORTH + math.sin(angle) * TOP
    for side in (-1, 1):
        chord = 0.0095 * np.cross(along, EAST) + 0.003 * side * EAST
        yield WOOD, straight(middle, middle + side * 0.066 * along, BLADE, chord, 0.0025 * EAST, 14)


def wings():
    for height, half_span, middle, half_chord in ((0.060, 0.150, 0.030, 0.030), (0.142, 0.172, 0.044, 0.032)):
        tips = (middle, -half_span, height), (middle, half_span, height)
        yield CREAM, straight(*tips, rounded(), half_chord * EAST, 0.0055 * TOP)
    for side in (-1, 1):
        for fore in (-0.015, 0.017):
            yield WOOD, rod((0.030 + fore, side * 0.112, 0.060), (0.044 + fore, side * 0.116, 0.142), 0.0032)
            yield WOOD, rod((0.034 + fore, side * 0.018, 0.096), (0.044 + fore, side * 0.030, 0.142), 0.0028)


def tail():
    yield CREAM, straight((-0.125, -0.062, 0.090), (-0.125, 0.062, 0.090), rounded(), 0.022 * EAST, 0.0035 * TOP, 20)
    yield RED, straight((-0.122, 0, 0.086), (-0.140, 0, 0.148), rounded(edge=0.3), 0.024 * EAST, 0.0035 * NORTH, 20)
    yield DARK, rod((-0.128, 0, 0.082), (-0.146, 0, 0.062), 0.0035)


def wheels():
    for side in (-1, 1):
        yield DARK, straight((0.066, side * 0.046, 0.027), (0.066, side * 0.062, 0.027), TYRE, 0.027 * EAST, 0.027 * TOP, 32)
        yield RED, straight((0.066, side * 0.044, 0.027), (0.066, side * 0.065, 0.027), HUB, 0.015 * EAST, 0.015 * TOP)
        yield WOOD, rod((0.066, side * 0.047, 0.027), (0.056, side * 0.012, 0.056), 0.0040)
    yield WOOD, rod((0.066, -0.05, 0.027), (0.066, 0.05, 0.027), 0.0035)


def pilot():
    yield DARK, straight((-0.006, 0, 0.101), (-0.006, 0, 0.110), RIM, 0.022 * EAST, 0.017 * NORTH)
    yield WOOD, straight((-0.008, 0, 0.106), (-0.008, 0, 0.136), ball(), 0.015 * EAST, 0.015 * NORTH)
    yield RED, straight((-0.009, 0, 0.122), (-0.009, 0, 0.138), CAP, 0.0162 * EAST, 0.0162 * NORTH)


def build_toy(materials: list[bpy.types.Material]) -> bpy.types.Object:
    vertices: list[np.ndarray] = []
    polygons: list[list[int]] = []
    material_indices: list[int] = []
    for material, (part_vertices, part_polygons) in parts():
        offset = sum(map(len, vertices))
        vertices.append(part_vertices)
        polygons += [[offset + i for i in polygon] for polygon in part_polygons]
        material_indices += [material] * len(part_polygons)
    mesh = bpy.data.meshes.new("toy")
    mesh.from_pydata(np.concatenate(vertices).tolist(), [], polygons)
    mesh.polygons.foreach_set("material_index", material_indices)
    for material in materials:
        mesh.materials.append(material)
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=math.radians(42))
    return link(bpy.data.objects.new("toy", mesh))


def link(thing: bpy.types.Object) -> bpy.types.Object:
    bpy.context.scene.collection.objects.link(thing)
    return thing


def paint(name: str, colour, roughness: float, coat: float = 0.0) -> bpy.types.Material:
    material = bpy.data.materials.new(name)
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Coat Weight"].default_value = coat
    shader.inputs["Coat Roughness"].default_value = 0.15
    return material


def wood(name: str, dark, light, scale: float, roughness: float, planks: bool = False) -> bpy.types.Material:
    """Grain along x: noise stretched along it; with planks, seams and a tone for each board."""
    material = paint(name, light, roughness)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    position = nodes.new("ShaderNodeTexCoord").outputs["Object"]
    mapping = nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = (1.2 * scale, 14 * scale, 14 * scale)
    links.new(position, mapping.inputs["Vector"])
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 1.0
    noise.inputs["Detail"].default_value = 9
    noise.inputs["Roughness"].default_value = 0.62
    noise.inputs["Distortion"].default_value = 1.1
    links.new(mapping.outputs["Vector"], noise.inputs["Vector"])
    ramp = nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[0].color = 0.33, (*dark, 1)
    ramp.color_ramp.elements[1].position, ramp.color_ramp.elements[1].color = 0.68, (*light, 1)
    links.new(noise.outputs["Fac"], ramp.inputs["Fac"])
    colour, height = ramp.outputs["Color"], noise.outputs["Fac"]
    if planks:
        boards = nodes.new("ShaderNodeTexBrick")
        boards.inputs["Scale"].default_value = 1.0
        boards.inputs["Brick Width"].default_value = 1.35
        boards.inputs["Row Height"].default_value = 0.125
        boards.inputs["Mortar Size"].default_value = 0.0012
        boards.inputs["Mortar Smooth"].default_value = 0.3
        boards.inputs["Color1"].default_value = (1, 1, 1, 1)
        boards.inputs["Color2"].default_value = (0.62, 0.62, 0.62, 1)
        boards.inputs["Mortar"].default_value = (0.08, 0.06, 0.05, 1)
        links.new(position, boards.inputs["Vector"])
        multiply = nodes.new("ShaderNodeMix")
        multiply.data_type, multiply.blend_type = "RGBA", "MULTIPLY"
        multiply.inputs["Factor"].default_value = 1
        links.new(colour, multiply.inputs[6])
        links.new(boards.outputs["Color"], multiply.inputs[7])
        colour = multiply.outputs[2]
    bump = nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value = 0.12
    bump.inputs["Distance"].default_value = 0.002
    links.new(height, bump.inputs["Height"])
    links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    links.new(colour, shader.inputs["Base Color"])
    return material


def box(name: str, size, location, turn: float, material: bpy.types.Material, bevel: float) -> bpy.types.Object:
    corners = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([[c * s for c, s in zip(corner, size, strict=True)] for corner in corners], [], sides)
    mesh.materials.append(material)
    thing = link(bpy.data.objects.new(name, mesh))
    thing.location, thing.rotation_euler = location, (0, 0, turn)
    if bevel:
        modifier = thing.modifiers.new("bevel", "BEVEL")
        modifier.width, modifier.segments = bevel, 3
    return thing


def area_light(location, target, size: float, watts: float, colour) -> None:
    light = bpy.data.lights.new("light", "AREA")
    light.size, light.energy, light.color = size, watts, colour
    thing = link(bpy.data.objects.new("light", light))
    thing.location = location
    thing.rotation_euler = (Vector(target) - Vector(location)).to_track_quat("-Z", "Y").to_euler()


def build_scene() -> tuple[bpy.types.Object, bpy.types.Object]:
    """The toy on a table by a window, and the camera."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    birch = wood("birch", (0.42, 0.25, 0.12), (0.72, 0.50, 0.28), 9, 0.45)
    toy = build_toy(
        [
            paint("red", (0.52, 0.022, 0.014), 0.32, 0.6),
            paint("cream", (0.80, 0.68, 0.46), 0.38, 0.4),
            birch,
            paint("dark", (0.016, 0.017, 0.020), 0.5),
        ]
    )
    table = wood("table", (0.13, 0.066, 0.032), (0.36, 0.21, 0.11), 1.6, 0.42, planks=True)
    box("table", (4.0, 2.6, 0.04), (-0.6, 0.6, -0.02), math.radians(12), table, 0.004)
    wall = paint("wall", (0.30, 0.38, 0.40), 0.9)
    box("wall", (9.0, 0.1, 4.0), (-1.0, 3.2, 1.0), math.radians(28), wall, 0)
    blocks = [
        ((0.07, 0.07, 0.07), (-0.39, 0.19, 0.035), 0.5, (0.05, 0.20, 0.36)),
        ((0.07, 0.07, 0.07), (-0.32, 0.30, 0.035), 1.1, (0.74, 0.45, 0.06)),
        ((0.07, 0.07, 0.07), (-0.355, 0.245, 0.105), 0.2, (0.10, 0.30, 0.15)),
        ((0.16, 0.055, 0.055), (0.12, 0.62, 0.0275), -0.5, (0.62, 0.40, 0.22)),
    ]
    for index, (size, location, turn, colour) in enumerate(blocks):
        box(f"block{index}", size, location, turn, paint(f"block{index}", colour, 0.45, 0.3), 0.005)
    area_light((-1.3, -0.9, 1.5), (0, 0, 0), 0.6, 52, (1.0, 0.95, 0.88))
    area_light((1.6, 0.9, 0.9), (0, 0, 0.05), 0.8, 9, (0.75, 0.86, 1.0))
    world = bpy.data.worlds.new("world")
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.55, 0.62, 0.72, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.22
    bpy.context.scene.world = world

    lens = bpy.data.cameras.new("camera")
    lens.lens, lens.sensor_width, lens.sensor_fit = LENS_MM, SENSOR_MM, "HORIZONTAL"
    lens.dof.use_dof, lens.dof.aperture_fstop = True, 8.0
    camera = link(bpy.data.objects.new("camera", lens))
    camera.location = (0.52, -0.56, 0.44)
    towards = Vector((-0.012, 0.012, 0.062)) - camera.location
    camera.rotation_euler = towards.to_track_quat("-Z", "Y").to_euler()
    lens.dof.focus_distance = (Vector((0.05, -0.02, 0.08)) - camera.location).length
    bpy.context.scene.camera = camera
    bpy.context.view_layer.update()
    return toy, camera


def render_photo(path: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 64, True, 6
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.view_settings.exposure = 0.75
    scene.render.image_settings.file_format = "JPEG"
    scene.render.image_settings.quality = 90
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def render_coverage(toy: bpy.types.Object) -> np.ndarray:
    """(H, W) fraction of each pixel the toy covers: the alpha of a render with nothing else in it."""
    scene = bpy.context.scene
    for thing in scene.objects:
        thing.hide_render = thing is not toy
    scene.camera.data.dof.use_dof = False
    scene.render.film_transparent = True
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 16, False, 0
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = str(Path(folder) / "alpha.png")
        bpy.ops.render.render(write_still=True)
        return np.asarray(Image.open(scene.render.filepath))[..., 3] / 255.0


def drawn_by_hand(coverage: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Mask as someone would outline the object by clicking: a polygon, a pixel off here and there, no small holes."""
    clicks_apart_px, error_px, smallest_hole_px = 11.0, 0.9, 60
    scale = 4  # drawn larger and averaged down, so that the outline has grey levels
    mask = Image.new("1", (WIDTH * scale, HEIGHT * scale))
    for line in contourpy.contour_generator(z=np.pad(coverage, 1)).lines(0.5):
        outline = line - 0.5  # padding removed; the centre of the first pixel is at 0.5
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
        if length[-1] < smallest_hole_px:
            continue
        count = max(6, round(length[-1] / clicks_apart_px))
        at = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count * length[-1]
        clicks = np.stack([np.interp(at, length, outline[:, axis], period=length[-1]) for axis in (0, 1)], axis=-1)
        clicks += rng.normal(scale=error_px, size=clicks.shape)
        ring = Image.new("1", mask.size)
        ImageDraw.Draw(ring).polygon([tuple(click) for click in clicks * scale], fill=1)
        mask = ImageChops.logical_xor(mask, ring)
    return mask.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def write_pose(path: Path, camera_from_object: np.ndarray) -> None:
    content = {"camera_from_object": np.round(camera_from_object, 6).tolist()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    toy, camera = build_scene()
    toy.data.calc_loop_triangles()
    vertices = np.array([vertex.co for vertex in toy.data.vertices])
    faces = np.array([triangle.vertices for triangle in toy.data.loop_triangles])
    trimesh.Trimesh(vertices, faces, process=False).export(HERE / "pose_model.ply", vertex_normal=False)
    print(f"{len(vertices)} vertices, {len(faces)} faces")

    focal_px = LENS_MM / SENSOR_MM * WIDTH
    Camera(WIDTH, HEIGHT, focal_px, focal_px, WIDTH / 2, HEIGHT / 2).to_json(HERE / "camera.json")

    camera_from_object = np.array(camera.matrix_world.inverted() @ toy.matrix_world)
    write_pose(HERE / "truth.json", camera_from_object)
    centre = camera_from_object[:3, :3] @ (vertices.min(axis=0) + vertices.max(axis=0)) / 2 + camera_from_object[:3, 3]
    turn = np.array(Matrix.Identity(4))
    turn[:3, :3] = rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(START_ROTVEC))
    turn[:3, 3] = centre - turn[:3, :3] @ centre + START_SHIFT
    write_pose(HERE / "start.json", turn @ camera_from_object)

    render_photo(HERE / "pose_photo.jpg")
    drawn_by_hand(render_coverage(toy), np.random.default_rng(0)).save(HERE / "pose_mask.png")


if __name__ == "__main__":
    main()
