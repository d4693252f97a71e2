# SPDX-License-Identifier: Apache-2.0
"""What a light is solved from, checked: the photograph, the scene before the camera, and what is known of the light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from solver_core.checks import checked_array, checked_camera, checked_numbers, checked_rigid
from solver_core.errors import ConfigError, ObservationError, SetupError, shown
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.problem import repeated
from solver_core.problems.lighting.known import KnownLight, checked_strength, known_lights
from solver_core.problems.lighting.lights import LIGHTS, Light
from solver_core.problems.lighting.observation import observe
from solver_core.problems.lighting.problem import LightingProblem
from solver_core.problems.lighting.sky import SkyShape, SkySuns
from solver_core.problems.lighting.surface import LitScene, Pixels, choose_pixels, lit_scene
from solver_core.problems.lighting.surroundings import Surroundings
from solver_core.render.gbuffer import Albedo, GBuffer, Passes, Scene, Texture, join_scene, render_gbuffer, with_passes

SAME_ASPECT = 0.01  # image and camera may differ by a rounded pixel
WHOLLY = 0.999  # of a pixel that sampling mixes from usable ones only, less what float32 rounds
CLIPPED = 0.995  # linear value from which on an image that ends at 1 counts as clipped: the last step of 8 bits
MANY_NEGATIVE = 1e-3  # of the pixels: filters of renderers leave a few that are a little below zero
ONE_OR_MORE = "a mesh, or lists of meshes with one entry each"


class Photograph(NamedTuple):
    """image: (H, W, 3) float32 linear.  is_usable: (H, W) bool, asked for and finite.  camera: of this very size.

    is_lost, is_negative: (H, W) bool, where that was asked for which is NaN or infinite, and where colours are below zero.
    """

    image: np.ndarray
    is_usable: np.ndarray
    camera: Camera
    is_lost: np.ndarray
    is_negative: np.ndarray

    def notes(self, is_seen: np.ndarray) -> tuple[str, ...]:
        """What the user should know of its pixels where the scene is (H, W) bool."""
        lost, negative = (int((is_seen & where).sum()) for where in (self.is_lost, self.is_negative))
        notes = []
        if lost:
            notes.append(f"Pixels of the image that are NaN or infinite were not used: {lost}.")
        if negative >= MANY_NEGATIVE * is_seen.sum():
            notes.append(f"Pixels of the image with colors below zero were taken for black there: {negative}.")
        return tuple(notes)


@dataclass(frozen=True, eq=False)
class LightingSetup:
    """A checked lighting problem: what the camera sees of the scene, and the part of the photograph that may be used.

    kind: of the light.  buffer: what the camera sees, its mask where the photograph may be used.  strength: (3,) as Blender
    has it, None = to be found.  start: (3,) light in the camera's frame, or None.  gauge: index of the mesh whose unknown
    albedo the strength includes, if there is one.  tinted: indices of the others whose albedo is to be found.  up: (3,) unit,
    away from the ground.  sky: what may shine from all around.  known: other lights, whose part is taken off the photograph.
    has_indirect: whether surfaces hide the sky from each other and light each other.  notes: sentences on the photograph.
    """

    kind: Light
    scene: Scene
    photograph: Photograph
    buffer: GBuffer
    strength: np.ndarray | None
    start: np.ndarray | None
    gauge: int | None
    tinted: tuple[int, ...]
    up: np.ndarray
    sky: SkyShape
    known: tuple[KnownLight, ...] = ()
    has_indirect: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def checked(
        cls,
        image: np.ndarray,
        vertices: np.ndarray | Sequence[np.ndarray],
        faces: np.ndarray | Sequence[np.ndarray],
        camera: Camera,
        camera_from_object: np.ndarray | Sequence[np.ndarray],
        kind: str = "sun",
        albedo: Albedo | Sequence[Albedo] = None,
        strength: float | np.ndarray | None = None,
        mask: np.ndarray | None = None,
        start: np.ndarray | None = None,
        normals: np.ndarray | Sequence[np.ndarray | None] | None = None,
        known: Sequence[KnownLight | Mapping[str, Any]] | None = None,
        passes: Passes | Mapping[str, Any] | None = None,
        up: np.ndarray | None = None,
    ) -> LightingSetup:
        """A setup from a user's arrays; the arguments are those of solve_lighting.

        Raises:
            ObservationError: for the image and the mask; ConfigError: for the kind; SetupError: for the rest.
        """
        light = checked_kind(kind)
        photograph = _checked_photograph(image, checked_camera(camera), mask)
        scene, is_unknown, poses = _checked_scene(vertices, faces, camera_from_object, albedo, normals)
        buffer = render_gbuffer([scene], photograph.camera.intrinsics, *photograph.image.shape[:2])
        if not buffer.mask.any():
            raise ObservationError("the camera does not see the mesh; check camera_from_object and the camera")
        pictures = _checked_passes(passes, photograph.image.shape, checked_camera(camera))
        buffer = with_passes(buffer, pictures)
        if pictures.albedo is not None:
            albedo, is_unknown = pictures.albedo, np.zeros_like(is_unknown)
        usable = buffer.mask[0] & photograph.is_usable
        if not usable.any():
            raise ObservationError("no pixel of the object can be used: the mask misses it, or all are NaN or clipped white")
        if not photograph.image[usable].any():
            raise ObservationError("the image is black wherever the object is; take one in which light falls on it")
        known_strength = _checked_strength(strength, albedo)
        others = known_lights(known)
        seen, num_pixels = np.unique(buffer.object_index[0][usable], return_counts=True)
        if others and is_unknown[seen].any():
            raise SetupError("known lights need the albedo of all that is seen as well: an image shows only their product")
        has_gauge = known_strength is None and bool(is_unknown[seen].all())
        gauge = int(seen[np.argmax(num_pixels)]) if has_gauge else None
        tinted = tuple(int(index) for index in seen if is_unknown[index] and index != gauge)
        notes = photograph.notes(buffer.mask[0])
        buffer = buffer._replace(mask=usable[None])
        start = _checked_start(start, light)
        axis = poses[0][:3, 2] if up is None else _checked_up(up)
        sky = SkyShape("uniform" if known_strength is None else "none")
        return cls(light, scene, photograph, buffer, known_strength, start, gauge, tinted, axis, sky, others, notes=notes)

    def problem(self, grid_size: int, map_size: int) -> LightingProblem:
        """The problem of one instance at a resolution: cells of its grid and texels of its shadow maps along a side."""
        return self.problem_at(choose_pixels(self.buffer.mask[0], grid_size), map_size)

    def problem_at(self, pixels: Pixels, map_size: int) -> LightingProblem:
        """The problem of one instance at chosen pixels."""
        lit = lit_scene([self.scene.mesh], self.buffer, [pixels])
        lit = lit._replace(surface=repeated(lit.surface, 1))  # so that looks at many lights take no copies
        suns = around = None
        if self.has_indirect:
            suns = SkySuns.of(lit)
            around = Surroundings.of(lit, suns.openness, pixels, self.buffer.mask[0], self.photograph.camera)
        image = self.photograph.image[pixels.row, pixels.column][None]
        for light in self.known:
            image = image - lit.surface.albedo * self._known_radiance(light, lit, around, map_size)
        observation = repeated(observe(image, lit.surface.weight), 1)
        strength = np.full((1, 3), np.nan, np.float32)
        if self.strength is not None:
            strength = (self.strength / self.strength_unit(lit) / observation.level[:, None]).astype(np.float32)
        return LightingProblem(
            *(self.kind, lit, observation, strength, map_size, self.tinted),
            alone=np.array([self.sky.kind == "none"]),
            surroundings=around,
            sky=self.sky.arriving(lit, suns, around, self.up),
        )

    def _known_radiance(self, light: KnownLight, scene: LitScene, around: Surroundings | None, map_size: int) -> np.ndarray:
        """(1, P, 3) of white points in a known light."""
        straight = light.radiance(scene, map_size)[None].astype(np.float32)
        return straight if around is None else around.with_bounces(straight, scene.surface.albedo)

    def strength_unit(self, scene: LitScene) -> np.ndarray:
        """(1, 1) strength, as Blender has it, of a light that makes albedo times shading the radiance."""
        return self.kind.strength_unit(scene.scale)[:, None]


def checked_kind(name: Any) -> Light:
    """The kind of light of a name.  Raises ConfigError."""
    if not isinstance(name, str) or name not in LIGHTS:
        raise ConfigError(f"kind must be one of {', '.join(LIGHTS)}, got {shown(name)}")
    return LIGHTS[name]


def _checked_photograph(image: Any, camera: Camera, mask: Any) -> Photograph:
    """Photograph from a user's arrays.  Raises ObservationError."""
    image = checked_array(image, "image", "(H, W, 3)", ObservationError)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ObservationError(f"image must be (H, W, 3) linear RGB, got shape {image.shape}; drop alpha, repeat grey")
    if not np.issubdtype(image.dtype, np.floating):
        raise ObservationError(f"image must be linear float, got {image.dtype}; convert 8-bit sRGB values first")
    height, width = image.shape[:2]
    if abs(width / height / (camera.width / camera.height) - 1) > SAME_ASPECT:
        raise ObservationError(
            f"image and camera must have the same aspect, got {width} x {height} pixels for a camera of "
            f"{camera.width} x {camera.height}; give the camera of this image"
        )
    is_usable = np.all(np.isfinite(image), axis=2)
    if not is_usable.any():
        raise ObservationError("every pixel of the image is NaN or infinite; render or load it again")
    is_asked = True if mask is None else _checked_mask(mask, (height, width))
    is_lost, is_negative = ~is_usable & is_asked, is_usable & (image < 0).any(axis=2) & is_asked
    is_usable &= is_asked
    image = np.maximum(np.where(is_usable[..., None], image, 0), 0).astype(np.float32)
    is_usable &= ~_is_clipped(image)
    camera = camera.scaled(width / camera.width, width, height)
    if camera.distortion:
        is_usable[[0, -1]] = is_usable[:, [0, -1]] = False  # what the lens did not see repeats the border
        is_usable = camera.undistorted(is_usable.astype(np.float32)) > WHOLLY
    lost, negative = (camera.undistorted(where.astype(np.float32)) >= 0.5 for where in (is_lost, is_negative))
    return Photograph(camera.undistorted(image), is_usable, camera.pinhole, lost, negative)


def _checked_mask(mask: Any, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: what of the image may be used.  Raises ObservationError."""
    mask = checked_array(mask, "mask", "(H, W)", ObservationError)
    if mask.shape != size:
        raise ObservationError(
            f"mask and image must have the same size, got shape {mask.shape} for an image of {size[1]} x {size[0]} pixels"
        )
    return mask.astype(np.float32) >= 0.5


def _checked_passes(passes: Any, colour_shape: tuple[int, ...], camera: Camera) -> Passes:
    """Passes as large as an image, without its lens's distortion.  Raises SetupError."""
    if passes is None:
        return Passes()
    given = passes._asdict() if isinstance(passes, Passes) else passes
    if not isinstance(given, Mapping) or (unknown := set(map(str, given)) - set(Passes._fields)):
        came = type(given).__name__ if not isinstance(given, Mapping) else shown(min(unknown))
        raise SetupError(f"passes must be a mapping with any of {', '.join(Passes._fields)}, got {came}")
    height, width, _ = colour_shape
    lens = camera.scaled(width / camera.width, width, height)
    checked = {}
    for name, values in given.items():
        if values is None:
            continue
        shape = (height, width) if name == "depth" else colour_shape
        array = checked_array(values, f"the pass {name}", "of numbers").astype(np.float32)
        if array.shape != shape:
            raise SetupError(f"the pass {name} must be {shape}, as large as the image, got shape {array.shape}")
        if name == "albedo" and (array < 0).any():
            raise SetupError("the pass albedo must not be negative; give linear RGB")
        checked[name] = lens.undistorted(array)
    return Passes(**checked)


def _checked_scene(
    vertices: Any, faces: Any, camera_from_object: Any, albedo: Any, normals: Any
) -> tuple[Scene, np.ndarray, list[np.ndarray]]:
    """Scene from one mesh or a list of them, (M,) bool whose albedo is unknown, and the M poses.  Raises SetupError."""
    is_list = isinstance(vertices, (list, tuple)) and len(vertices) > 0 and _is_matrix(vertices[0])
    many = [_as_list(value, is_list) for value in (vertices, faces, camera_from_object)]
    for value in (albedo, normals):
        many.append(_as_list(value, is_list) if value is not None else [None] * len(many[0]))
    if len({len(entries) for entries in many}) != 1:
        raise SetupError(
            f"vertices, faces, camera_from_object, albedo and normals must be {ONE_OR_MORE}, got "
            f"{', '.join(str(len(entries)) for entries in many)} entries"
        )
    many_vertices, many_faces, poses, albedos, many_normals = many
    meshes = [Mesh.checked(v, f) for v, f in zip(many_vertices, many_faces, strict=True)]
    poses = [checked_rigid(pose, "camera_from_object") for pose in poses]
    albedos = [_checked_albedo(colour) for colour in albedos]
    many_normals = [None if one is None else checked_array(one, "normals", "(V, 3) or (F, 3, 3)") for one in many_normals]
    scene = join_scene(meshes, poses, albedos, many_normals)
    corners = scene.mesh.vertices[scene.mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not areas.any():
        raise SetupError("the mesh has no area; its faces must span a surface that light can fall on")
    return scene, np.array([colour is None for colour in albedos]), poses


def _checked_albedo(albedo: Any) -> Albedo:
    """Linear RGB as join_scene takes it, or None where it is to be found.  Raises SetupError."""
    if albedo is None:
        return None
    values = checked_array(albedo.image if isinstance(albedo, Texture) else albedo, "albedo", "of linear RGB").astype(
        np.float32
    )
    if not np.isfinite(values).all() or values.min(initial=0) < 0:
        raise SetupError("albedo must be finite and not negative; give linear RGB, such as 0.8, 0.8, 0.8")
    return albedo._replace(image=values) if isinstance(albedo, Texture) else values


def _checked_strength(strength: Any, albedo: object) -> np.ndarray | None:
    """(3,) known strength as Blender has it, or None if it is to be found.  Raises SetupError."""
    if strength is None:
        return None
    if albedo is None:
        raise SetupError("a known strength needs the albedo as well: an image shows only their product")
    return checked_strength(strength, "strength")


def _checked_start(start: Any, kind: Light) -> np.ndarray | None:
    """(3,) unit direction, or position, to start from.  Raises SetupError."""
    if start is None:
        return None
    start = checked_numbers(start, "start", (3,))
    if not (kind.has_position or start.any()):
        raise SetupError(f"start must not be zero; give the {kind.meaning} in the camera's frame")
    return start if kind.has_position else start / np.linalg.norm(start)


def _checked_up(up: Any) -> np.ndarray:
    """(3,) unit.  Raises SetupError."""
    up = checked_numbers(up, "up", (3,))
    if not up.any():
        raise SetupError("up must not be zero; give the direction away from the ground in the camera's frame")
    up = up / np.abs(up).max()  # first, so that squares neither vanish nor overflow
    return up / np.linalg.norm(up)


def _is_matrix(value: Any) -> bool:
    """Whether a value has two axes, or rows of different length."""
    try:
        return np.ndim(value) == 2
    except ValueError:
        return True


def _as_list(value: Any, is_list: bool) -> list[Any]:
    is_sequence = isinstance(value, (list, tuple)) or getattr(value, "shape", ()) != ()
    return list(value) if is_list and is_sequence else [value]


def _is_clipped(image: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels at the end of an 8 or 16 bit image's range.  Brighter ones show that there is no such end."""
    if image.max() > 1:
        return np.zeros(image.shape[:2], dtype=bool)
    return np.any(image >= CLIPPED, axis=2)
