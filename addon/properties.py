# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the three solves, in the scene as `scene.deep_feedback`.

What a solve can be repeated with from the redo panel is in a class of options, which its operator shares.
"""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE

from . import options, results
from .bridge.camera import FLAT_LENSES
from .bridge.light import is_solved_light, lights_of
from .solves.armature_task import ArmatureOptions, BoneTarget
from .solves.image_source import ImageSource, MaskKey
from .solves.lighting import LightingTaskOptions
from .solves.pose import PoseTaskOptions


class FrameRange:
    use_range: BoolProperty(
        name="Frame Range",
        description="Solves every frame of a range and inserts keyframes, instead of solving the current frame only",
        default=False,
    )
    frame_start: IntProperty(name="Start", description="First frame that is solved", default=1)
    frame_end: IntProperty(name="End", description="Last frame that is solved", default=24)

    @property
    def frames(self) -> dict[str, int | None]:
        """frame_start and frame_end of a task."""
        start, end = (self.frame_start, self.frame_end) if self.use_range else (None, None)
        return {"frame_start": start, "frame_end": end}


class PoseProperties(FrameRange, options.mixin(MaskKey, PoseTaskOptions)):
    backwards: BoolProperty(
        name="Backwards",
        description="Solves a range from its end to its start: each frame starts from the one after it",
        default=False,
    )
    as_animated: BoolProperty(
        name="Start as Animated",
        description="Starts each frame of a range where its animation has it, instead of where the frame before ended",
        default=False,
    )
    color: FloatVectorProperty(
        name="Background",
        description="Color of the background that is removed",
        default=(0.0, 1.0, 0.0),
        min=0.0,
        max=1.0,
        subtype="COLOR_GAMMA",
    )

    @property
    def mask(self) -> MaskKey:
        return options.read(MaskKey, self, color=tuple(self.color))


class LightingProperties(options.mixin(LightingTaskOptions)):
    pass


class ArmatureProperties(FrameRange, options.mixin(ArmatureOptions)):
    pass


def _has_flat_lens(_: object, thing: bpy.types.Object) -> bool:
    return thing.type == "CAMERA" and thing.data.type in FLAT_LENSES


def _is_perspective(_: object, thing: bpy.types.Object) -> bool:
    return thing.type == "CAMERA" and thing.data.type == "PERSP"


def _is_light(_: object, thing: bpy.types.Object) -> bool:
    return is_solved_light(thing)


def _is_armature(_: object, thing: bpy.types.Object) -> bool:
    return thing.type == "ARMATURE"


class DEEP_FEEDBACK_PG_image(bpy.types.PropertyGroup):
    """A choice between what holds pictures."""

    source: EnumProperty(
        name="Source",
        description="Where the picture comes from",
        items=[
            ("IMAGE", "Image", "An image of this file"),
            ("BACKGROUND", "Camera Background", "The first background image or movie clip of the camera"),
            ("CLIP", "Movie Clip", "A movie clip of this file"),
            ("MASK", "Blender Mask", "A mask of this file, whose splines are drawn in the image or clip editor"),
            ("FILE", "File", "An image file, image sequence or movie on disk"),
            ("RENDER", "Render Result", "What was rendered last in this scene, without its passes"),
        ],
    )
    image: PointerProperty(type=bpy.types.Image, name="Image", description="The picture that is looked at")
    clip: PointerProperty(type=bpy.types.MovieClip, name="Movie Clip", description="The movie clip that is looked at")
    mask: PointerProperty(
        type=bpy.types.Mask,
        name="Blender Mask",
        description="The mask that is looked at, at every frame as it is animated; its feather counts as partly covered",
    )
    file: StringProperty(
        name="File",
        description="Path of the picture; // at its beginning stands for the folder of the blend file",
        subtype="FILE_PATH",
        options=options.RELATIVE_PATHS,
    )

    frame_offset: IntProperty(
        name="Frame Offset",
        description="Added to the frame of the scene to get the number of the picture in a sequence, or the frame of a movie",
        default=0,
    )

    @property
    def chosen(self) -> ImageSource:
        if self.source == "IMAGE":
            return ImageSource(image=self.image.name if self.image else "", frame_offset=self.frame_offset)
        if self.source == "FILE":
            return ImageSource(file=self.file, frame_offset=self.frame_offset)
        if self.source == "CLIP":
            return ImageSource(clip=self.clip.name if self.clip else "")
        if self.source == "MASK":
            return ImageSource(mask=self.mask.name if self.mask else "")
        if self.source == "RENDER":
            return ImageSource(use_render=True)
        return ImageSource(use_background=True)

    @property
    def may_move(self) -> bool:
        """Whether the picture may be another one at other frames, by an offset of its own."""
        if self.source == "IMAGE":
            return self.image is not None and self.image.source in {"SEQUENCE", "MOVIE"}
        return self.source == "FILE" and bool(self.file)


class DEEP_FEEDBACK_PG_recorded(bpy.types.PropertyGroup):
    """An object that a result names, whatever it is called since; name: what it was called then."""

    thing: PointerProperty(type=bpy.types.Object, name="Object", description="An object that the result is about")


class DEEP_FEEDBACK_PG_pose(PoseProperties, bpy.types.PropertyGroup):
    object: PointerProperty(
        type=bpy.types.Object,
        name="Object",
        description="The object whose outline is fitted; the active object if this is empty",
    )
    camera: PointerProperty(
        type=bpy.types.Object,
        name="Camera",
        description="The camera that took the picture; the scene's camera if this is empty",
        poll=_has_flat_lens,
    )
    silhouette: PointerProperty(type=DEEP_FEEDBACK_PG_image)
    show_mask: BoolProperty(
        name="Show Mask", description="Shows in the camera view which pixels count as the object", default=False
    )
    step: results.step_property("pose")
    record: results.record_property()
    recorded: CollectionProperty(type=DEEP_FEEDBACK_PG_recorded)


def _redraw(_: object, __: bpy.types.Context) -> None:
    results.redraw()


class DEEP_FEEDBACK_PG_object(bpy.types.PropertyGroup):
    is_known_light: BoolProperty(
        name="Known Light",
        description="Counts this light as known when another is solved: the picture shows its light as well",
        default=True,
        override={"LIBRARY_OVERRIDABLE"},
    )


class DEEP_FEEDBACK_PG_lighting(LightingProperties, bpy.types.PropertyGroup):
    image: PointerProperty(type=DEEP_FEEDBACK_PG_image)
    camera: PointerProperty(
        type=bpy.types.Object,
        name="Camera",
        description="The camera that took the picture; the scene's camera if this is empty",
        poll=_is_perspective,
    )
    geometry: EnumProperty(
        name="Geometry",
        description="The objects that the picture shows",
        items=[
            ("VISIBLE", "Visible", "All visible objects are lit and cast shadows"),
            ("SELECTED", "Selected", "Only the selected objects are lit and cast shadows"),
        ],
    )
    lamp: PointerProperty(
        type=bpy.types.Object,
        name="Light",
        description="The Sun or Point light that is set; a new one is added if this is empty",
        poll=_is_light,
    )
    use_mask: BoolProperty(
        name="Mask", description="Looks only at the pixels that a second picture shows brighter than half", default=False
    )
    mask: PointerProperty(type=DEEP_FEEDBACK_PG_image)
    comparison: EnumProperty(
        name="Compare",
        description="What lies over the camera's view: the picture, the scene in the light that was found, or their difference",
        items=[
            ("OFF", "", "The viewport shows the scene alone", "PANEL_CLOSE", 0),
            ("PHOTO", "Picture", "The picture as it was compared, darker where it was not used", "NONE", 1),
            ("RELIT", "Relit", "What was found: the surfaces in its light and in that which is known", "NONE", 2),
            (
                "DIFFERENCE",
                "Difference",
                "Orange where the picture is brighter than what was found, cyan where it is darker",
                "NONE",
                3,
            ),
        ],
        options={"SKIP_SAVE"},
        update=_redraw,
    )
    active_light: IntProperty(name="Light", description="The light of the list that is marked", default=0, min=0)
    step: results.step_property("lighting")
    record: results.record_property()
    recorded: CollectionProperty(type=DEEP_FEEDBACK_PG_recorded)

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the other lights that do not count as known."""
        others = [light for light in lights_of(self.id_data) if light != self.lamp]
        return tuple(light.name for light in others if not light.deep_feedback.is_known_light)


def _target_names(_: object, context: bpy.types.Context, __: str) -> list[str]:
    """What may be chosen as a target; the markers of a file have to be typed."""
    settings = context.scene.deep_feedback.armature
    if settings.source == "COLLECTION" and settings.collection is not None:
        return [thing.name for thing in settings.collection.all_objects]
    if settings.source == "ARMATURE" and settings.target_armature is not None:
        return settings.target_armature.data.bones.keys()
    return []


def _bone_names(_: object, context: bpy.types.Context, __: str) -> list[str]:
    """Bones of the armature, and the tails of those without children."""
    armature = context.scene.deep_feedback.armature.armature or context.view_layer.objects.active
    if armature is None or armature.type != "ARMATURE":
        return []
    return [
        name for bone in armature.data.bones for name in ([bone.name] if bone.children else [bone.name, bone.name + END_SITE])
    ]


def _plain(name: str, label: str, description: str) -> object:
    """A name without the list of suggestions, whose button would leave no room in a row."""

    def write(line: bpy.types.PropertyGroup, value: str) -> None:
        setattr(line, name, value)

    return StringProperty(name=label, description=description, get=lambda line: getattr(line, name), set=write)


class DEEP_FEEDBACK_PG_bone(bpy.types.PropertyGroup):
    """One line of the bone map."""

    target_text: _plain("target", "Target", "The target's name; double click to edit it")
    bone_text: _plain("bone", "Bone", "The bone's name; double click to edit it")

    target: StringProperty(
        name="Target",
        description="The empty, bone or marker that the bone's head follows",
        search=_target_names,
        search_options={"SUGGESTION"},
    )
    bone: StringProperty(
        name="Bone",
        description="The bone whose head follows the target; with _end after its name, the bone's tail",
        search=_bone_names,
        search_options={"SUGGESTION"},
    )
    weight: FloatProperty(
        name="Weight",
        description="How much this target counts beside the others; 0 leaves it out",
        default=1.0,
        min=0.0,
        soft_max=1.0,
    )


class DEEP_FEEDBACK_PG_armature(ArmatureProperties, bpy.types.PropertyGroup):
    armature: PointerProperty(
        type=bpy.types.Object,
        name="Armature",
        description="The armature that is posed; the active object if this is empty",
        poll=_is_armature,
    )
    source: EnumProperty(
        name="Targets",
        description="Where the positions of the joints come from",
        items=[
            ("COLLECTION", "Collection", "The objects of a collection, one for each joint"),
            ("ARMATURE", "Armature", "The bones of another armature"),
            ("FILE", "File", "A motion or named positions from a file: BVH, CSV, TRC, C3D, npz or JSON"),
        ],
    )
    collection: PointerProperty(
        type=bpy.types.Collection, name="Collection", description="The objects whose positions the bones follow"
    )
    target_armature: PointerProperty(
        type=bpy.types.Object,
        name="Armature",
        description="The armature whose bones are followed",
        poll=_is_armature,
    )
    file: StringProperty(
        name="File",
        description="Path of a file with positions, BVH or CSV; // at its beginning stands for the folder of the blend file",
        subtype="FILE_PATH",
        options=options.RELATIVE_PATHS,
    )
    up: EnumProperty(
        name="Up",
        description="The axis that points up in the file",
        items=[
            ("AUTO", "As Stated", "The axis that the file names, else Y as in most motion capture"),
            *((axis, axis, f"{axis} points up") for axis in ("X", "-X", "Y", "-Y", "Z", "-Z")),
        ],
    )
    unit: EnumProperty(
        name="Unit",
        description="The unit of the positions in the file",
        items=[
            ("AUTO", "As Stated", "The unit that the file names, else found by the size of what it shows"),
            ("m", "Meters", "The positions are in meters"),
            ("cm", "Centimeters", "The positions are in centimeters"),
            ("mm", "Millimeters", "The positions are in millimeters"),
            ("in", "Inches", "The positions are in inches"),
            ("ft", "Feet", "The positions are in feet"),
        ],
    )
    use_first_frame: BoolProperty(
        name="First Frame",
        description="Sets the frame of the scene at which the file starts; off: the first frame that is solved",
        default=False,
    )
    first_frame: IntProperty(
        name="First Frame", description="Frame of the scene at which the first frame of the file plays", default=1
    )
    keep_speed: BoolProperty(
        name="Keep Speed",
        description="Plays the file at its own frame rate, between whose frames positions are blended; "
        "off: a frame of the file for each frame of the scene",
        default=False,
    )
    target_scale: FloatProperty(
        name="Scale",
        description="Scales the targets about the origin of the world before they are followed",
        default=1.0,
        min=0.0001,
        soft_min=0.01,
        soft_max=100.0,
    )
    target_offset: FloatVectorProperty(
        name="Offset",
        description="Moves the targets along the axes of the world, after they were scaled",
        size=3,
        subtype="TRANSLATION",
        unit="LENGTH",
    )
    bones: CollectionProperty(type=DEEP_FEEDBACK_PG_bone)
    active_bone: IntProperty(name="Line", description="The line of the bone map that is edited", default=0, min=0)
    step: results.step_property("armature")
    record: results.record_property()
    recorded: CollectionProperty(type=DEEP_FEEDBACK_PG_recorded)

    @property
    def bone_map(self) -> tuple[BoneTarget, ...]:
        return tuple(BoneTarget(line.target, line.bone, line.weight) for line in self.bones)


class DEEP_FEEDBACK_PG_live(bpy.types.PropertyGroup):
    show_overlay: BoolProperty(
        name="Outlines and Targets",
        description="Shows the outline or targets and how the current step and the earlier ones fit them",
        default=True,
    )
    show_energy: BoolProperty(
        name="Energy Curve", description="Shows in a corner how far off every step was; lower is better", default=True
    )
    seconds_per_step: FloatProperty(
        name="Time per Step",
        description="Least time in seconds for which a step is shown while solving; 0 is fastest",
        default=0.05,
        min=0.0,
        soft_max=1.0,
        subtype="TIME_ABSOLUTE",
        unit="TIME_ABSOLUTE",
    )


class DEEP_FEEDBACK_PG_scene(bpy.types.PropertyGroup):
    pose: PointerProperty(type=DEEP_FEEDBACK_PG_pose)
    lighting: PointerProperty(type=DEEP_FEEDBACK_PG_lighting)
    armature: PointerProperty(type=DEEP_FEEDBACK_PG_armature)
    live: PointerProperty(type=DEEP_FEEDBACK_PG_live)


CLASSES = (
    DEEP_FEEDBACK_PG_image,
    DEEP_FEEDBACK_PG_recorded,
    DEEP_FEEDBACK_PG_pose,
    DEEP_FEEDBACK_PG_object,
    DEEP_FEEDBACK_PG_lighting,
    DEEP_FEEDBACK_PG_bone,
    DEEP_FEEDBACK_PG_armature,
    DEEP_FEEDBACK_PG_live,
    DEEP_FEEDBACK_PG_scene,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.deep_feedback = PointerProperty(type=DEEP_FEEDBACK_PG_scene)
    bpy.types.Object.deep_feedback = PointerProperty(type=DEEP_FEEDBACK_PG_object, override={"LIBRARY_OVERRIDABLE"})


def unregister() -> None:
    del bpy.types.Object.deep_feedback
    del bpy.types.Scene.deep_feedback
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
