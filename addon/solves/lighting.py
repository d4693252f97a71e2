# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Lighting: turns or moves a light until the shading and shadows of the scene are those of an image."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import bpy
import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera
from solver_core.images import block_mean
from solver_core.options import option
from solver_core.problems.lighting.disc import SunSize
from solver_core.problems.lighting.drawing import LightingCanvas
from solver_core.problems.lighting.known import KnownLight
from solver_core.problems.lighting.lights import LIGHTS, MIXED, Light, kinds_of
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.setup import LightingSetup
from solver_core.problems.lighting.solve import LightingOptions, LightingSession, LightingSolution, unexplained
from solver_core.render.gbuffer import Passes, Texture
from solver_core.solution import Judgement

from ..bridge.assembly import try_move
from ..bridge.camera import camera_of_image, read_camera, read_camera_pose
from ..bridge.holds import animation_holds, holds
from ..bridge.image import Picture
from ..bridge.light import (
    FIRST_MARK,
    aim,
    check_light,
    energy_and_color,
    evaluated_strength,
    is_as_made,
    is_of_solve,
    lights_of,
    make_single_user,
    new_light,
    read_known_lights,
    read_light_pose,
    read_strength,
    read_world,
    remove_as_made,
    remove_light,
    set_strength,
    share_again,
    staying_as_made,
    write_strength,
)
from ..bridge.material import glossy_materials, shining_materials, surface_albedo, unread_materials
from ..bridge.mesh import Surface, read_surfaces
from ..bridge.passes import Render, cycles_passes
from ..bridge.scene import Handle, as_played, evaluate, find_by_uid, find_object, rendered_objects, require_editable
from ..bridge.sky import find_sky, remove_sky, write_sky
from ..bridge.transform import AT_ORIGIN, Placement, place, read_channels, read_placement, write_channels
from ..bridge.view_transform import ViewTransform, has_tone_curve
from ..options import as_in_panel
from .found import FoundLight, FurtherLight, matrix, vector
from .image_source import ImageSource
from .measured import judge_gap
from .solve import BEFORE_UNKNOWN, Step, mean_milliseconds

MAX_SIZE = 1024  # pixels of the longer side that are used: the solve looks at some 128 cells along a side
DISTANCE_TOLERANCE, ANGLE_TOLERANCE_DEG, STRENGTH_TOLERANCE = 1e-3, 0.1, 0.01  # metres, degrees, share: scene against solve
COMPARED_SIZE = 320  # pixels of the longer side of the relit picture in the viewport: more take seconds
OPAQUE = 0.99  # alpha of a pixel that shows the scene and nothing else


@dataclass(frozen=True)
class LightingTaskOptions(LightingOptions):
    """What a user may choose about a solve in Blender."""

    use_base_color: bool = option(
        True,
        "Use Base Colors",
        "Takes the base colors of the materials as the color of the surfaces; "
        "otherwise the strength of the light includes the brightness of the surfaces",
    )
    passes: str = option(
        "AUTO",
        "Passes of Cycles",
        "Whether Cycles renders the colors and normals of the surfaces, which takes any material, or nodes are read",
        choices={
            "AUTO": "Renders them if there are materials whose nodes are not read, or that are not matt; needs Use Base Colors",
            "ALWAYS": "Renders them, with bumps, and leaves out what mirrors, shines or is seen through; needs Use Base Colors",
            "NEVER": "Reads nodes, and fits the colors of materials whose nodes are not read",
        },
    )
    view_transform: str = option(
        "AUTO",
        "View Transform",
        "Whether the picture is a render with this scene's view transform, such as AgX, which is then taken out",
        choices={
            "AUTO": "Takes the scene's view transform out if the picture is explained better without it",
            "NONE": "The picture is a photograph, or was rendered with Standard",
            "SCENE": "The picture was rendered with this scene's view transform, exposure and look",
        },
    )
    use_other_lights: bool = option(
        True,
        "Count Other Lights",
        "Takes the other lights and the world as known: the picture shows their light as well; needs Use Base Colors",
    )
    use_world: bool = option(
        True,
        "Count World",
        "Takes the light of the world as known, too; off: the picture does not show it; needs Count Other Lights",
    )
    set_world: bool = option(
        False, "Set World", "Shows the sky that was found in the world, in a node group of its own beside what counts there"
    )


@dataclass(frozen=True)
class LightingTask:
    """objects: what is seen and casts shadows, empty = all that is visible.  light: "" = a new one.  mask: pixels to use.

    ignored: other lights that do not count as known, because the picture does not show them.
    """

    image: ImageSource
    camera: str
    objects: tuple[str, ...] = ()
    light: str = ""
    mask: ImageSource | None = None
    ignored: tuple[str, ...] = ()
    options: LightingTaskOptions = field(default_factory=LightingTaskOptions)

    @property
    def kind(self) -> Light:
        """The one that is looked for first."""
        return kinds_of(self.options.kind)[0]


class LightAnswer(NamedTuple):
    """light_world: (3,) unit direction towards the sun, or position.  strength: (3,) in Blender's units, None on the way."""

    kind: Light
    light_world: np.ndarray
    strength: np.ndarray | None


class _Inputs(NamedTuple):
    """Arguments of LightingSetup.checked, vertices and normals in the camera's frame, and where the camera is.

    rendered: the image, (H, W, 3) linear, if it was rendered with the scene's view transform, where that is worth a thought.
    """

    image: np.ndarray
    rendered: np.ndarray | None
    vertices: list[np.ndarray]
    faces: list[np.ndarray]
    camera: Camera
    albedo: list[Texture | np.ndarray | None] | None
    normals: list[np.ndarray]
    mask: np.ndarray
    start: np.ndarray | None
    world_from_camera: np.ndarray
    known: list[KnownLight]
    passes: Passes | None

    def checked(self, kind: str) -> LightingSetup:
        here = [np.eye(4)] * len(self.vertices)
        return LightingSetup.checked(
            self.image,
            self.vertices,
            self.faces,
            self.camera,
            here,
            kind,
            albedo=self.albedo,
            mask=self.mask,
            start=self.start,
            normals=self.normals,
            known=self.known,
            passes=self.passes,
            up=self.world_from_camera[2, :3],
        )

    def bounds(self) -> tuple[np.ndarray, float]:
        """Centre (3,) in the world and radius of what is there."""
        low = np.min([vertices.min(axis=0) for vertices in self.vertices], axis=0)
        high = np.max([vertices.max(axis=0) for vertices in self.vertices], axis=0)
        return self.to_world((low + high) / 2), float(np.linalg.norm(high - low)) / 2

    def to_world(self, point_camera: np.ndarray) -> np.ndarray:
        return self.world_from_camera[:3, :3] @ point_camera + self.world_from_camera[:3, 3]


class _Light(NamedTuple):
    """A light as it was.

    data: the uid of its data-block; single: that of the copy which took its place, because others have the first as well.
    """

    placement: Placement
    world_from_light: np.ndarray
    channels: dict[str, tuple[float, ...]]
    strength: dict[str, Any]
    data: int
    single: int | None = None

    @classmethod
    def of(cls, scene: bpy.types.Scene, light: bpy.types.Object) -> Self:
        depsgraph = evaluate(scene)
        return cls(
            read_placement(depsgraph, light),
            read_light_pose(depsgraph, light),
            read_channels(light),
            read_strength(light),
            light.data.session_uid,
        )

    def put_back(self, light: bpy.types.Object) -> None:
        with staying_as_made(light):
            write_channels(light, self.channels)
            shared = find_by_uid(bpy.data.lights, self.data)
            if shared is not None and light.data.session_uid == self.single:
                share_again(light, shared)
            else:
                write_strength(light, self.strength)


@dataclass(eq=False)
class LightingSolve:
    """See solves/solve.py.  A new light appears with the first step that is shown."""

    scene: Handle
    task: LightingTask
    parts: tuple[int, ...]
    handle: Handle | None  # of the light, None while a new one is not there
    before: _Light | None = None  # None for a new one
    inputs: _Inputs | None = None
    solution: LightingSolution | None = None
    setup: LightingSetup | None = None  # that of the solution
    moved_deg: float = 0.0
    has_kept: bool = False
    doubts: list[str] = field(default_factory=list)  # sentences on how the scene was read
    judgement: Judgement | None = None
    found_light: FoundLight | None = None
    further: tuple[Handle, ...] = ()  # the other lights that were found
    single_user: str = ""  # a sentence, where the light was shared with other objects
    sky_world: int | None = None  # uid of the world in which the sky that was found is shown
    reused: _Light | None = None  # the new light of an earlier solve, which is used again, as that left it
    outdated: tuple[Handle, ...] = ()  # other lights of earlier solves, until those of this one are there
    outdated_sky: int | None = None
    moved_earlier: tuple[
        tuple[Handle, _Light | None], ...
    ] = ()  # lights before earlier solves, the first solve last; None = new
    is_before_known: bool = True  # False: it replaces what a chosen light got beside it before the file was opened

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: LightingTask) -> Self:
        find_object(scene, task.camera, "camera")
        for name in task.objects:
            find_object(scene, name, "object")
        for name in task.ignored:
            find_object(scene, name, "light")
        if task.options.set_world and task.options.sky != "none" and scene.world is not None:
            require_editable(scene.world)
        handle, before = None, None
        if task.light:
            if task.options.kind == MIXED:
                raise SetupError(f"'{task.light}' stays what it is: choose its kind, or no light for mixed ones.")
            light = find_object(scene, task.light, "light")
            check_light(light, task.kind.name)
            handle = Handle.of(light)
            try_move(scene, (handle,), (), ())
            before = _Light.of(scene, light)
        solve = cls(Handle.of(scene), task, (scene.frame_current,), handle, before)
        solve._replace_made(scene)
        return solve

    def _replace_made(self, scene: bpy.types.Scene) -> None:
        """Finds what earlier solves made, in this session or before the file was opened, and nobody has changed since.

        It does not count as known and gives way to what is found.  Of solves of another chosen light all lights stay.
        """
        made = [light for light in lights_of(scene) if is_as_made(light)]
        if self.handle is not None:
            self.outdated = tuple(Handle.of(light) for light in made if light.get(FIRST_MARK) == self.light)
            self.is_before_known = not self.outdated
            return
        chosen = {light.name for light in lights_of(scene) if not is_of_solve(light)}
        made = [light for light in made if light.get(FIRST_MARK) not in chosen]
        kind = self.task.options.kind.upper()  # of mixed ones none is used again
        again = next((light for light in made if light.data.type == kind and FIRST_MARK not in light), None)
        if again is not None:
            self.handle, self.reused = Handle.of(again), _Light.of(scene, again)
        self.outdated = tuple(Handle.of(light) for light in made if light != again)
        self.outdated_sky = find_sky(scene)
        self.is_before_known = bool(made) or self.outdated_sky is None  # else the sky may be of a chosen light

    def go_on_from(self, earlier: LightingSolve) -> None:
        """Takes the place of an earlier solve of this session, if that was of the same light, or of a new one as this is.

        Its sky gives way as well, and Reset goes back to before it.
        """
        is_same = self.before is not None and earlier.handle is not None and self.handle.uid == earlier.handle.uid
        if not is_same and self.before is not None:
            return
        if not is_same and earlier.before is not None:
            self.outdated_sky, self.is_before_known = None, True
            return
        if earlier.sky_world is not None:
            self.outdated_sky = earlier.sky_world
        self.moved_earlier, self.is_before_known = earlier.moved_earlier, earlier.is_before_known
        if is_same:
            scene = self.scene.require_scene()
            self.outdated = tuple(one for one in earlier.further if one.find(scene) and is_as_made(one.find(scene)))
            self.moved_earlier = ((earlier.handle, earlier.before), *self.moved_earlier)

    @property
    def light(self) -> str:
        """The name of the light, "" while a new one is not there."""
        return "" if self.handle is None else self.handle.name

    def read(self, part: int) -> Iterator[Render]:
        scene, task = self.scene.require_scene(), self.task
        camera = find_object(scene, task.camera, "camera")
        depsgraph = evaluate(scene)
        world_from_camera = read_camera_pose(depsgraph, camera)
        chosen = read_surfaces(depsgraph, lambda owner: _is_chosen(owner, task.objects), with_shading=True)
        surfaces = [surface for _, surface in chosen]
        if not surfaces:
            raise SetupError("No visible object with faces is there to be lit: show one, or choose others.")
        picture = task.image.read(scene, camera, part, is_range=False)
        is_render = picture.colorspace == "sRGB" and self._may_be_render(scene)
        view = camera_of_image(read_camera(scene, depsgraph, camera), *picture.size)
        mask = picture.alpha >= OPAQUE
        if task.mask is not None:
            mask = mask & _usable(task.mask.read(scene, camera, part, is_range=False), picture.size)
        factor = math.ceil(max(picture.size) / MAX_SIZE)
        rotation, position = world_from_camera[:3, :3], world_from_camera[:3, 3]
        view = view.scaled(1 / factor, view.width // factor, view.height // factor)
        rendered = ViewTransform(scene).linear(_shrunk(picture.shown_rgb(), factor)) if is_render else None
        start = self._start(world_from_camera)
        known = yield from self._known(scene, depsgraph, world_from_camera)
        passes = yield from self._passes(surfaces, view)
        must_be_known = bool(known) and passes is None
        self.inputs = _Inputs(
            _shrunk(picture.linear_rgb(), factor),
            rendered,
            [(surface.vertices_world - position) @ rotation for surface in surfaces],
            [surface.faces for surface in surfaces],
            view,
            self._albedos(surfaces, part, must_be_known) if task.options.use_base_color and passes is None else None,
            [surface.shading.corner_normal_world @ rotation for surface in surfaces],
            _shrunk(mask, factor) >= OPAQUE,
            start,
            world_from_camera,
            known,
            passes,
        )

    def steps(self) -> Iterator[Step]:
        task, inputs, part = self.task, self.inputs, self.parts[0]
        session = LightingSession(self._setup(), task.options)
        centre, radius = inputs.bounds()

        def show(
            phase: str, found: list[tuple[Light, np.ndarray]], energy: float, seconds: float, strength: np.ndarray | None
        ) -> Step:
            """found: kinds, and lights in the camera's frame."""
            index = len(session.history) - (strength is None)
            lights = [(kind, self._light_world(kind, light)) for kind, light in found]
            answer = LightAnswer(*lights[0], strength)
            places = [light if kind.has_position else centre + 2 * radius * light for kind, light in lights]
            return Step(
                part,
                index,
                max(index, session.expected_steps),
                phase,
                energy,
                f"{1 - energy:.1%} explained",
                answer,
                seconds,
                world_lines=np.float32([[place, centre] for place in places]),
                world_points=np.float32(places),
            )

        for step in session:
            yield show(step.phase, [(LIGHTS[step.kind], step.light)], step.energy, step.seconds, None)
        self.solution, self.setup = session.result(), session.setup
        first, last = session.history[0], session.history[-1]
        found = [(LIGHTS[lamp.kind], lamp.light) for lamp in self.solution.lamps]
        moved = (
            kind.offset_from(session.problem.scene.centre, light[None])
            for kind, light in ((LIGHTS[first.kind], first.light), found[0])
        )
        self.moved_deg = float(angle_deg(*moved)[0])
        yield show("result", found, last.energy, self.solution.seconds, self.solution.strength)

    def apply(self, step: Step) -> None:
        self._write(step.answer)

    def keep(self) -> bool:
        kind = self._kind
        self._write(LightAnswer(kind, self._light_world(kind, self.solution.light), self.solution.strength))
        scene = self.scene.require_scene()
        for one in self.outdated:
            _put_back(one.find(scene), None)
        if self.outdated_sky is not None:
            remove_sky(scene, self.outdated_sky)
        self.outdated, self.outdated_sky = (), None
        self._write_further()
        if self.task.options.set_world and self.solution.sky is not None:
            is_counted = any(light.kind in ("sky", "environment") for light in self.solution.known)
            self.sky_world = write_sky(scene, self.solution.sky, self.inputs.world_from_camera, is_counted)
        self.has_kept = True
        return True

    def skip(self, error: ObservationError) -> bool:
        return False

    def finish(self, end: str = "") -> Iterator[None]:
        scene = self.scene.require_scene()
        light = self.handle.require(scene)
        with as_played(scene, scene.frame_current, [light]):
            depsgraph = evaluate(scene)
            world_from_light, strength = read_light_pose(depsgraph, light), evaluated_strength(depsgraph, light)
            gap = self._gap(world_from_light, strength, scene)
            self.found_light = self._found(scene, world_from_light, strength)
        yield
        self.judgement = Judgement(self.solution.verdict, self.solution.explanation)
        if gap:
            causes = [*animation_holds(light), *animation_holds(light.data), *holds(light)]
            self.judgement = judge_gap(self.solution.verdict, gap, causes)

    def _gap(self, world_from_light: np.ndarray, strength: np.ndarray, scene: bpy.types.Scene) -> str:
        """What the light is in the scene, where that is not what was solved, as the end of a sentence."""
        solved, share = (
            self._light_world(self._kind, self.solution.light),
            strength.max() / max(self.solution.strength.max(), 1e-12),
        )
        if self._kind.has_position:
            distance = np.linalg.norm(world_from_light[:3, 3] - solved) * scene.unit_settings.scale_length
            if distance > DISTANCE_TOLERANCE:
                return f"the light is {100 * distance:.1f} cm from where it was solved to be"
        elif (angle := float(angle_deg(world_from_light[None, :3, 2], solved[None])[0])) > ANGLE_TOLERANCE_DEG:
            return f"the light comes from {angle:.1f} degrees beside where it was solved to come from"
        return f"the light is {share:.0%} as strong as was solved" if abs(share - 1) > STRENGTH_TOLERANCE else ""

    def restore(self) -> None:
        self._take_back(self.before or self.reused)

    def reset(self) -> list[str]:
        """Leaves the scene as it was before the first of the solves that this one follows."""
        if not self.is_before_known:
            raise SetupError(BEFORE_UNKNOWN)
        stay = self._take_back(self.before)
        scene = self.scene.find_scene()
        stay += [_put_back(handle.find(scene), before) for handle, before in self.moved_earlier]
        return list(dict.fromkeys(filter(None, stay)))

    def _take_back(self, before: _Light | None) -> list[str]:
        """Takes out what this solve made; see _put_back.  before: its light, None = it is removed, too."""
        scene = self.scene.find_scene()
        if scene is None:
            return []
        made = [(one, None) for one in self.further]
        if self.handle is not None:
            made.append((self.handle, before))
        stay = [_put_back(one.find(scene), it_was) for one, it_was in made]
        if self.sky_world is not None:
            stay.append(remove_sky(scene, self.sky_world))
        return stay

    def report(self) -> dict[str, Any]:
        solution, steps = self.solution, len(self.solution.history)
        energy, color = energy_and_color(solution.strength)
        return {
            "verdict": self.judgement.verdict.value,
            "explanation": self.judgement.explanation,
            "reason": solution.reason.value,
            "seconds": solution.seconds,
            "steps": steps,
            "ms_per_step": mean_milliseconds(solution.seconds, steps),
            "angle_moved_deg": self.moved_deg,
            "strength": solution.strength.tolist(),
            "energy": energy,
            "color": list(color),
            "ambient": solution.ambient.tolist(),
            "further_lamps": [one.name for one in self.further],
            "uncertainty_deg": solution.uncertainty_deg,
            "image_error": solution.image_error,
            "sentences": self._sentences(),
            "lamp": self.light,  # the key that scripts of users know
        }

    def found(self) -> FoundLight:
        return self.found_light

    def _found(self, scene: bpy.types.Scene, world_from_light: np.ndarray, strength: np.ndarray) -> FoundLight:
        """The answer, for a light at a rigid (4, 4) with a strength (3,)."""
        kind, world_from_camera = self._kind, self.inputs.world_from_camera
        camera_from_light = np.linalg.solve(world_from_camera, world_from_light)
        column = 3 if kind.has_position else 2
        columns = vector(world_from_light[:3, column]), vector(camera_from_light[:3, column])
        nothing, sky = (None, None), self.solution.sky
        return FoundLight(
            "opengl",
            scene.unit_settings.scale_length,
            self.light,
            kind.name,
            self.task.camera,
            *(nothing if kind.has_position else columns),
            *(columns if kind.has_position else nothing),
            vector(strength),
            kind.unit,
            vector(self.solution.ambient),
            *(nothing if sky is None else (vector(sky.above), vector(sky.below))),
            float(self.solution.uncertainty_deg),
            matrix(world_from_camera),
            tuple(self._found_further()),
        )

    def _found_further(self) -> Iterator[FurtherLight]:
        for one, lamp in zip(self.further, self.solution.lamps[1:], strict=False):  # none before they are kept
            kind = LIGHTS[lamp.kind]
            place = vector(self._light_world(kind, lamp.light))
            places = (None, place) if kind.has_position else (place, None)
            strength = vector(lamp.strength), kind.unit
            yield FurtherLight(one.name, kind.name, *places, *strength, float(lamp.uncertainty_deg), lamp.verdict.value)

    def step_at(self, step: Step, frame: int) -> Step | None:
        return None

    def compared(self, what: str) -> np.ndarray:
        """(H, W, 4) uint8 of the camera's view, row 0 on top, transparent where nothing was compared.

        what: "PHOTO", "RELIT" or "DIFFERENCE", orange where the photograph is brighter and cyan where it is darker.
        """
        canvas = self._canvas
        if what == "PHOTO":
            picture = canvas.photograph()
            return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
        draw = {"RELIT": canvas.relit, "DIFFERENCE": canvas.difference}[what]
        lamps = self.solution.lamps
        drawn = draw(np.array([lamp.light for lamp in lamps]), [LIGHTS[lamp.kind] for lamp in lamps])
        return np.dstack([drawn, np.uint8(255) * canvas.is_lit])

    @functools.cached_property
    def _canvas(self) -> LightingCanvas:
        return LightingCanvas.of(self.setup, COMPARED_SIZE)

    def _start(self, world_from_camera: np.ndarray) -> np.ndarray | None:
        """(3,) where the light is, in the camera's frame; None for a new one."""
        if self.before is None:
            return None
        camera_from_light = np.linalg.solve(world_from_camera, self.before.world_from_light)
        return camera_from_light[:3, 3] if self.task.kind.has_position else camera_from_light[:3, 2]

    def _passes(self, surfaces: list[Surface], view: Camera) -> Generator[Render, None, Passes | None]:
        """Passes of Cycles, None where they are not wanted or cannot be had."""
        options, shadings = self.task.options, [surface.shading for surface in surfaces]
        is_needed = options.passes == "ALWAYS" or any(
            kind(shadings) for kind in (unread_materials, glossy_materials, shining_materials)
        )
        if not options.use_base_color or options.passes == "NEVER" or not is_needed:
            return None
        scene = self.scene.require_scene()
        camera = find_object(scene, self.task.camera, "camera")
        try:
            passes = yield from cycles_passes(scene, evaluate(scene), camera, (view.width, view.height))
        except SetupError as error:
            self.doubts.append(f"{error} So nodes were read.")
            return None
        self.doubts.append("Colors and normals of the surfaces were rendered by Cycles.")
        for names, what in ((glossy_materials(shadings), "mirror or are seen through"), (shining_materials(shadings), "shine")):
            if names:
                self.doubts.append(f"Where materials {what}, the picture was left out: {', '.join(names)}.")
        return passes

    def _albedos(self, surfaces: list[Surface], frame: int, must_be_known: bool) -> list[Texture | np.ndarray | None]:
        """The base colors of surfaces; None, to be found, where they are not read, or Blender's viewport colors."""
        if shining := shining_materials(surface.shading for surface in surfaces):
            self.doubts.append(f"Materials that shine by themselves are not counted as lights: {', '.join(shining)}.")
        unread = [unread_materials([surface.shading]) for surface in surfaces]
        names = sorted({name for surface_names in unread for name in surface_names})
        if names:
            instead = "so the colors of the viewport were used" if must_be_known else "so they were fitted to the picture"
            self.doubts.append(f"Nodes that are not read make the base colors of {', '.join(names)}, {instead}.")
        return [
            None if surface_names and not must_be_known else surface_albedo(surface.shading, frame)
            for surface, surface_names in zip(surfaces, unread, strict=True)
        ]

    def _may_be_render(self, scene: bpy.types.Scene) -> bool:
        choice = self.task.options.view_transform
        return choice == "SCENE" or (choice == "AUTO" and has_tone_curve(scene))

    def _setup(self) -> LightingSetup:
        """What is solved, with the image read in the way that explains it better if there are two."""
        inputs, kind = self.inputs, self.task.kind.name
        if inputs.rendered is None:
            return inputs.checked(kind)
        rendered = inputs._replace(image=inputs.rendered).checked(kind)
        if self.task.options.view_transform == "AUTO":
            plain = inputs.checked(kind)
            if unexplained(plain) < unexplained(rendered):
                return plain
            self.doubts.append("The picture was taken for a render with this scene's view transform, which was taken out.")
        return rendered

    def _known(
        self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, world_from_camera: np.ndarray
    ) -> Generator[Render, None, list[KnownLight]]:
        """The other lights, in the camera's frame."""
        options = self.task.options
        is_counting = options.use_other_lights and options.use_base_color
        self._say_left_out(scene, rendered_objects(depsgraph.view_layer), is_counting)
        if not is_counting:
            return []
        lights = read_known_lights(depsgraph, world_from_camera, self._solved(scene) | set(self.task.ignored))
        try:
            if options.use_world:
                is_replaced = self.outdated_sky is not None or (options.set_world and options.sky != "none")
                lights += yield from read_world(scene.world, world_from_camera, without_sky=is_replaced)
        except SetupError as error:
            self.doubts.append(f"{error} So the world's light was not counted.")
        return lights

    def _solved(self, scene: bpy.types.Scene) -> set[str]:
        """The names of the light and of the outdated ones."""
        lights = (one.find(scene) for one in (self.handle, *self.outdated) if one is not None)
        return {light.name for light in lights if light is not None}

    def _say_left_out(self, scene: bpy.types.Scene, rendered: Collection[bpy.types.Object], is_counting: bool) -> None:
        """Names the other lights that do not count as known, and the one that is solved if renders do not show it."""
        if self.before is not None and self.handle.require(scene) not in rendered:
            self.doubts.append(f"'{self.light}', which is solved, is hidden in renders: show it there, or they lack its light.")
        solved = self._solved(scene)
        others = [light for light in lights_of(scene) if light.name not in solved]
        shining = [light.name for light in others if light in rendered]
        left_out = [name for name in shining if not is_counting or name in self.task.ignored]
        if left_out:
            self.doubts.append(
                f"Lights that were not counted, though renders show them: {', '.join(left_out)}. Where the picture shows them "
                "as well, count them; else hide them in renders."
            )
        counted = [light for light in others if light in rendered and light.name not in left_out]
        if ours := [light.name for light in counted if is_of_solve(light)]:
            self.doubts.append(
                f"Lights of earlier solves that stayed count as known: {', '.join(ours)}. Choose one as the light to solve it "
                "again; untick those that the picture does not show."
            )
        if hidden := [light.name for light in others if light not in rendered]:
            self.doubts.append(f"Lights that are hidden in renders were not counted: {', '.join(hidden)}.")

    def _sentences(self) -> list[str]:
        """What the user should know of the result."""
        sentences = [as_in_panel(note, LightingTaskOptions) for note in self.solution.report.notes] + self.doubts
        if self.single_user:
            sentences.append(self.single_user)
        if not self.task.options.use_base_color:
            sentences.append("The strength includes the brightness of the surfaces, because base colors were not used.")
        for one, lamp in zip(self.further, self.solution.lamps[1:], strict=False):
            sentences.append(f"{one.name} was found as well, within {lamp.uncertainty_deg:.1f} degrees.")
        if self.sky_world is not None:
            sentences.append("The sky that was found shines in the world, as the node group Solved Sky.")
        if (size := self.solution.size) is not None:
            alike = f"from {size.low_deg:.1f} to {size.high_deg:.1f} it would look much the same"
            sentences.append(f"The sun is {size.angle_deg:.1f} degrees across; {alike}.")
        if counted := [light.name for light in self.solution.known]:
            are = "light counts" if len(counted) == 1 else "lights count"
            sentences.append(f"{len(counted)} other {are} as known: {', '.join(counted)}.")
        return sentences

    @property
    def _kind(self) -> Light:
        """Of the light that was found."""
        return LIGHTS[self.solution.lamps[0].kind]

    def _light_world(self, kind: Light, light_camera: np.ndarray) -> np.ndarray:
        """(3,) direction or position in the world."""
        if kind.has_position:
            return self.inputs.to_world(light_camera)
        return self.inputs.world_from_camera[:3, :3] @ light_camera

    def _write(self, answer: LightAnswer) -> None:
        scene = self.scene.require_scene()
        if self.before is None:
            there = None if self.handle is None else self.handle.find(scene)
            if there is not None and there.data.type != answer.kind.name.upper():  # it turned out to be of another kind
                remove_light(there)
                there = None
            if there is None:
                self.handle = Handle.of(new_light(scene, answer.kind.name))
        light = self.handle.require(scene)
        world_from_light = None if self.before is None else self.before.world_from_light
        placement = AT_ORIGIN if self.before is None else self.before.placement
        with staying_as_made(light):
            place(light, placement, self._moved(answer.kind, world_from_light, answer.light_world))
            if answer.strength is not None:
                self._own_data(light)
                _shine(light, answer.strength, self.solution.size)

    def _own_data(self, light: bpy.types.Object) -> None:
        """Lets no other object change with the light."""
        others = make_single_user(light)
        if not others:
            return
        self.single_user = (
            f"'{self.light}' has a light of its own now, so that what shared it stays as it was: {', '.join(others)}."
        )
        single = light.data.session_uid
        self.before = self.before and self.before._replace(single=single)
        self.reused = self.reused and self.reused._replace(single=single)

    def _write_further(self) -> None:
        """New lights for all lamps but the first."""
        scene, handles = self.scene.require_scene(), []
        for number, lamp in enumerate(self.solution.lamps[1:], 2):
            kind = LIGHTS[lamp.kind]
            light = new_light(scene, kind.name)
            with staying_as_made(light):
                light.name = f"{self.light if kind is self._kind else light.name} {number}"
                place(light, AT_ORIGIN, self._moved(kind, None, self._light_world(kind, lamp.light)))
                _shine(light, lamp.strength, lamp.size)
            light[FIRST_MARK] = self.light
            handles.append(Handle.of(light))
        self.further = tuple(handles)

    def _moved(self, kind: Light, world_from_light: np.ndarray | None, light_world: np.ndarray) -> np.ndarray:
        """(4, 4) a light, None = a new one, brought to a position or turned to a direction (3,)."""
        moved = np.eye(4) if world_from_light is None else world_from_light.copy()
        if kind.has_position:
            moved[:3, 3] = light_world
            return moved
        moved = aim(moved, light_world)
        if world_from_light is None:  # where a sun stands has no effect, but it should be found easily
            centre, radius = self.inputs.bounds()
            moved[:3, 3] = centre + 2 * radius * light_world
        return moved


def _shine(light: bpy.types.Object, strength: np.ndarray, size: SunSize | None) -> None:
    set_strength(light, strength)
    if size is not None:
        light.data.angle = math.radians(size.angle_deg)


def _put_back(light: bpy.types.Object | None, before: _Light | None) -> str:
    """Makes a light as it was before, None = removes it unless the user made it his own: its name if it stays so, else ""."""
    if light is None:
        return ""
    if before is None:
        name = light.name
        return "" if remove_as_made(light) else name
    before.put_back(light)
    return ""


def _is_chosen(thing: bpy.types.Object, names: tuple[str, ...]) -> bool:
    """Whether an object takes part: by its name or, where none are given, because it is rendered."""
    return thing.name in names if names else not thing.hide_render


def _usable(picture: Picture, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool of a mask: what is opaque or, if all is, what is bright.  Raises ObservationError."""
    if picture.size != size:
        raise ObservationError(
            f"The mask has {picture.size[0]} x {picture.size[1]} pixels and the image {size[0]} x {size[1]}: use equal sizes."
        )
    return picture.alpha >= 0.5 if picture.alpha.min() < 1 else picture.is_as_bright(0.5)


def _shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """(H // factor, W // factor, ...) means of squares of pixels; what is left at the right and below is cut."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    return block_mean(image[None, : height * factor, : width * factor], factor)[0]
