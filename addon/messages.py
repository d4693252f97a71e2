# SPDX-License-Identifier: GPL-3.0-or-later
"""What the extension says to the artist: errors of a solve, and why a button is grey."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import bpy

from solver_core.errors import SolverError
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE
from solver_core.problems.lighting.lights import LIGHTS

from . import results
from .bridge.assembly import has_surface
from .bridge.camera import FLAT_LENSES
from .bridge.light import is_solved_light

DEPTHS_WITHOUT_ALPHA = {8, 24, 48, 96}  # bits of a pixel of an image without alpha


def report_error(operator: bpy.types.Operator, error: SolverError) -> None:
    """The one place where a SolverError becomes a message of Blender's."""
    operator.report({"ERROR"}, f"{operator.bl_label}: {error}")


def is_free(cls: type[bpy.types.Operator], obstacles: Iterator[str]) -> bool:
    """For poll: whether there is no obstacle; otherwise the first one explains the grey button."""
    obstacle = next(obstacles, None)
    if obstacle is not None:
        cls.poll_message_set(obstacle)
    return obstacle is None


def pose_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why a pose cannot be solved; only the first sentence is valid, those after it assume that it does not hold."""
    settings = context.scene.deep_feedback.pose
    yield from _busy(context, {"OBJECT"})
    thing = settings.object or context.view_layer.objects.active
    if thing is None:
        yield "Select an object, or choose one, whose outline is to be fitted."
    if not (settings.whole and any(map(has_surface, thing.children_recursive))):
        yield from _surface_obstacles(thing)
    yield from _in_scene(thing, context.scene)
    camera = settings.camera or context.scene.camera
    yield from _camera_obstacles(camera, context.scene, FLAT_LENSES)
    yield from _linked(camera if settings.move == "CAMERA" else thing)
    yield from _image_obstacles(settings.silhouette, camera, "silhouette")
    if settings.from_photo and settings.silhouette.source == "MASK":
        yield "The silhouette is a mask and no photograph: turn From Photo off."
    if lacks_mask(settings):
        yield (
            f"The image '{settings.silhouette.image.name}' has no alpha: use From Photo, make its mask, or choose the key "
            "Luminance or Color."
        )
    yield from _range_obstacles(settings)


def shot_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why there is nothing whose keyframes Solve Pose sets; see pose_obstacles."""
    settings = context.scene.deep_feedback.pose
    yield from _busy(context, {"OBJECT"})
    thing = settings.object or context.view_layer.objects.active
    if thing is None:
        yield "Select the object, or choose one, that is moved along the shot."
    yield from _in_scene(thing, context.scene)
    yield from _camera_obstacles(settings.camera or context.scene.camera, context.scene, FLAT_LENSES)
    yield from _range_obstacles(settings)


def photo_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why no mask can be made of a photograph; see pose_obstacles."""
    settings = context.scene.deep_feedback.pose
    yield from _busy(context, {"OBJECT"})
    camera = settings.camera or context.scene.camera
    yield from _camera_obstacles(camera, context.scene, FLAT_LENSES)
    yield from _image_obstacles(settings.silhouette, camera, "photograph")
    if settings.silhouette.source == "MASK":
        yield "The silhouette is a mask already: choose the photograph to make another one."


def picture_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why there is no picture whose size renders could have; see pose_obstacles."""
    settings = context.scene.deep_feedback.pose
    yield from running_obstacles()
    camera = settings.camera or context.scene.camera
    if camera is None and settings.silhouette.source == "BACKGROUND":
        yield "The scene has no camera whose background image could be used: choose a camera."
    yield from _image_obstacles(settings.silhouette, camera, "silhouette")
    if settings.silhouette.source in {"MASK", "RENDER"}:
        yield "The silhouette has the resolution of renders already."


def lacks_mask(settings: bpy.types.PropertyGroup) -> bool:
    """Whether the silhouette is a plain photograph, as far as Blender has looked at it."""
    image = settings.silhouette.image if settings.silhouette.source == "IMAGE" and not settings.from_photo else None
    return image is not None and settings.key == "ALPHA" and _is_opaque(image)


def lighting_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why lighting cannot be solved; see pose_obstacles."""
    settings = context.scene.deep_feedback.lighting
    yield from _busy(context, {"OBJECT"})
    camera = settings.camera or context.scene.camera
    yield from _camera_obstacles(camera, context.scene)
    yield from _image_obstacles(settings.image, camera, "reference picture")
    if settings.use_mask:
        yield from _image_obstacles(settings.mask, camera, "mask")
    if settings.geometry == "SELECTED":
        if not any(has_surface(thing) for thing in context.view_layer.objects.selected):
            yield "Select the objects that the picture shows."
    elif not any(has_surface(thing) and thing.visible_get() for thing in context.view_layer.objects):
        yield "Add or show the objects that the picture shows: no visible object has a surface."
    if settings.lamp is not None:
        if not is_solved_light(settings.lamp):
            yield f"'{settings.lamp.name}' must be a {' or a '.join(kind.title() for kind in LIGHTS)} light."
        yield from _in_scene(settings.lamp, context.scene)
        yield from _linked(settings.lamp)
        yield from _linked(settings.lamp.data)


def armature_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why an armature cannot be solved; see pose_obstacles."""
    settings = context.scene.deep_feedback.armature
    yield from targets_obstacles(context)
    armature = settings.armature or context.view_layer.objects.active
    yield from _linked(armature)
    for line in settings.bones:
        if not line.target:
            yield f"The bone '{line.bone}' has no target: choose one or remove the line."
        if not line.bone:
            yield f"The target '{line.target}' has no bone: choose one or remove the line."
        if line.bone.removesuffix(END_SITE) not in armature.data.bones:
            yield f"The armature '{armature.name}' has no bone '{line.bone}': choose another or remove the line."
    yield from _range_obstacles(settings)


def targets_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why an armature and its targets cannot be looked at; see pose_obstacles."""
    settings = context.scene.deep_feedback.armature
    yield from _busy(context, {"OBJECT", "POSE"})
    armature = settings.armature or context.view_layer.objects.active
    if armature is None or armature.type != "ARMATURE":
        yield "Select an armature, or choose one, that is to be posed."
    yield from _in_scene(armature, context.scene)
    if not armature.data.bones:
        yield f"The armature '{armature.name}' has no bones."
    if settings.source == "COLLECTION":
        if settings.collection is None:
            yield "Choose a collection of objects that the joints follow."
        if not settings.collection.all_objects:
            yield f"The collection '{settings.collection.name}' is empty: add an object for each joint."
    elif settings.source == "ARMATURE":
        if settings.target_armature is None:
            yield "Choose the armature whose bones are followed."
        if settings.target_armature == armature:
            yield "Choose another armature as target: it cannot follow itself."
    elif not settings.file:
        yield "Choose a file with the positions of the joints, such as BVH or CSV."
    else:
        yield from _relative(settings.file)


def running_obstacles() -> Iterator[str]:
    if results.is_running():
        yield "A solve is running; press Esc to cancel it."


def view_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why a viewport cannot show what the camera of Solve Pose sees."""
    if context.space_data is None or context.space_data.type != "VIEW_3D":
        yield "Use this in a 3D Viewport."
    if (context.scene.deep_feedback.pose.camera or context.scene.camera) is None:
        yield "The scene has no camera: add one, or choose one here."


def result_obstacles(context: bpy.types.Context, problem: str) -> Iterator[str]:
    """Why nothing can be done with a result."""
    yield from running_obstacles()
    if results.report_of(problem, context.scene) is None:
        yield "There is no result yet: solve first."


def alternatives_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why a pose has no alternatives."""
    yield from result_obstacles(context, "pose")
    if len(results.report_of("pose", context.scene)["alternatives"]) < 2:
        yield "There is no other pose that fits as well."


def range_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why no frame of a result can be looked at."""
    yield from running_obstacles()
    if all(results.report_of(problem, context.scene) is None for problem in ("pose", "armature")):
        yield "There is no result yet: solve first."


def bone_map_obstacles(context: bpy.types.Context) -> Iterator[str]:
    """Why there is no line to be removed from the bone map."""
    if not context.scene.deep_feedback.armature.bones:
        yield "The bone map is empty."


def _busy(context: bpy.types.Context, modes: set[str]) -> Iterator[str]:
    yield from running_obstacles()
    if context.mode not in modes:
        yield f"Switch to {' or '.join(mode.title() for mode in sorted(modes))} Mode first."


def _surface_obstacles(thing: bpy.types.Object) -> Iterator[str]:
    if not has_surface(thing):
        yield f"'{thing.name}' has no surface: choose a mesh."
    if thing.type == "MESH" and not thing.data.polygons and not thing.modifiers:
        yield f"The mesh of '{thing.name}' has no faces, so it has no outline."


def _camera_obstacles(
    camera: bpy.types.Object | None, scene: bpy.types.Scene, kinds: Collection[str] = ("PERSP",)
) -> Iterator[str]:
    if camera is None:
        yield "The scene has no camera: add one, or choose one here."
    if camera.type != "CAMERA":
        yield f"'{camera.name}' is not a camera: choose one."
    if camera.data.type not in kinds:
        kind = {"ORTHO": "orthographic", "PANO": "panoramic"}.get(camera.data.type, "special")
        yield f"The camera '{camera.name}' is {kind}: set its lens type to Perspective."
    yield from _in_scene(camera, scene)


def _image_obstacles(choice: bpy.types.PropertyGroup, camera: bpy.types.Object, what: str) -> Iterator[str]:
    if choice.source == "IMAGE" and choice.image is None:
        yield f"Choose an image for the {what}."
    if choice.source == "CLIP" and choice.clip is None:
        yield f"Choose a movie clip for the {what}."
    if choice.source == "MASK" and choice.mask is None:
        yield f"Choose a mask for the {what}."
    if choice.source == "FILE" and not choice.file:
        yield f"Choose a file for the {what}."
    if choice.source == "FILE":
        yield from _relative(choice.file)
    if choice.source == "BACKGROUND" and not any(
        background.clip if background.source == "MOVIE_CLIP" else background.image
        for background in camera.data.background_images
    ):
        yield f"The camera '{camera.name}' has no background image: add one in its data properties, Background Images."


def _relative(path: str) -> Iterator[str]:
    if path.startswith("//") and not bpy.data.filepath:
        yield (
            f"The path '{path}' begins at the folder of the blend file, which is not saved yet: save it, or choose the file "
            "again."
        )


def _range_obstacles(settings: bpy.types.PropertyGroup) -> Iterator[str]:
    if settings.use_range and settings.frame_end < settings.frame_start:
        yield f"The frame range ends before it begins: {settings.frame_start} to {settings.frame_end}."


def _linked(thing: bpy.types.ID) -> Iterator[str]:
    if thing.library is not None:
        yield f"'{thing.name}' is linked from another file and cannot be changed: make a library override of it."


def _in_scene(thing: bpy.types.Object, scene: bpy.types.Scene) -> Iterator[str]:
    if thing.name not in scene.objects:
        yield f"'{thing.name}' is not in this scene: choose another object."
    if scene.objects[thing.name] != thing:
        yield f"The scene has two objects '{thing.name}', one of them linked from another file: rename one."


def _is_opaque(image: bpy.types.Image) -> bool:
    return image.has_data and image.depth in DEPTHS_WITHOUT_ALPHA
