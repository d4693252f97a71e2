# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's images, image sequences and movies as arrays with row 0 on top."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

import bpy
import numpy as np

from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.errors import ObservationError

from .exr import has_layers, pass_of, read_layers
from .movie import read_frame
from .png import read_bytes

LINEAR_SPACES = {"Non-Color", "Linear", "Linear Rec.709", "Raw"}
SPACES_OF_BYTES = {
    None,
    "sRGB",
    "Non-Color",
}  # in which bytes are what the screen shows; files have sRGB if nothing else is said
EXR, PNG = ".exr", ".png"
RENDER_FORMAT = {  # of a render result as it is read; the kind first, since Blender 5.0
    "media_type": "IMAGE",
    "file_format": "OPEN_EXR",
    "color_mode": "RGBA",
    "color_depth": "32",
    "exr_codec": "ZIP",
}
CUTOUT = "deep_feedback_cutout"  # marks the images that write_cutout made
ALPHA = np.float32(0)  # its weight, where colors count
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


class Picture(NamedTuple):
    """pixels: (H, W, 4) float32, row 0 on top, or (H, W, C) uint8: grey, RGB, or either with alpha, sRGB or Non-Color.

    colorspace: of the colors, as Blender calls it; float pictures are linear.  layers: (H, W, C) each, of a file that has some.
    is_of_bytes: whether the file held bytes, so that all is in [0, 1].
    """

    pixels: np.ndarray
    colorspace: str
    layers: Mapping[str, np.ndarray] = MappingProxyType({})
    is_of_bytes: bool = False

    @classmethod
    def blank(cls, width: int, height: int) -> Self:
        """A picture whose size alone counts."""
        return cls(np.broadcast_to(np.zeros(4, np.float32), (height, width, 4)), "Non-Color")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def rgba(self) -> np.ndarray:
        """(H, W, 4) float32; of bytes in [0, 1]."""
        if not self._holds_bytes:
            return self.pixels
        colors, alpha = self._split()
        rgba = np.full((*self.pixels.shape[:2], 4), 255, np.uint8)
        rgba[..., :3], rgba[..., 3] = colors, 255 if alpha is None else alpha
        return rgba / np.float32(255)

    @property
    def alpha(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]."""
        if self._holds_bytes:
            _, alpha = self._split()
            return np.ones(self.pixels.shape[:2], np.float32) if alpha is None else alpha / np.float32(255)
        return self.pixels[..., 3] if self.is_of_bytes else np.clip(self.pixels[..., 3], 0, 1)

    def window(self, rows: slice, columns: slice) -> Self:
        """A part of it."""
        layers = {name: values[rows, columns] for name, values in self.layers.items()}
        return self._replace(pixels=self.pixels[rows, columns], layers=layers)

    def linear_rgb(self) -> np.ndarray:
        """(H, W, 3) float32, light adds up.  Raises ObservationError for a space that cannot be made linear here."""
        if self.colorspace == "sRGB":
            return linear_from_srgb(self.rgba[..., :3])
        if self.colorspace in LINEAR_SPACES:
            return self.rgba[..., :3]
        raise ObservationError(
            f"The image's color space '{self.colorspace}' cannot be turned into linear light: set it to sRGB or Linear Rec.709."
        )

    def shown_rgb(self) -> np.ndarray:
        """(H, W, 3) float32 as on the screen, in [0, 1]."""
        return self._shown()[..., :3]

    def shown_bytes(self) -> np.ndarray:
        """(H, W, 3) uint8, the same."""
        if self._holds_bytes:
            return np.broadcast_to(self._split()[0], (*self.pixels.shape[:2], 3))
        return (self._shown() * 255 + 0.5).astype(np.uint8)[..., :3]

    def is_as_bright(self, luminance: float) -> np.ndarray:
        """(H, W) bool: where the colors on the screen have at least this luminance, in [0, 1]."""
        if self._holds_bytes and self.pixels.shape[2] < 3:
            return self.pixels[..., 0] >= math.ceil(255 * luminance)
        shown = self._shown()
        return shown @ np.append(LUMINANCE, ALPHA)[: shown.shape[-1]] >= luminance

    def distance(self, rgb: tuple[float, float, float]) -> np.ndarray:
        """(H, W) float32: how far the colors on the screen are from this one."""
        shown = self._shown()
        off = shown - np.append(np.float32(rgb), ALPHA)[: shown.shape[-1]]
        return np.sqrt(np.square(off, out=off) @ np.append(np.ones(3, np.float32), ALPHA)[: shown.shape[-1]])

    @property
    def _holds_bytes(self) -> bool:
        return self.pixels.dtype == np.uint8

    def _split(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Bytes of the colors (H, W, 1 or 3), and of the alpha (H, W) where there is one."""
        num_colors = 1 if self.pixels.shape[2] < 3 else 3
        return self.pixels[..., :num_colors], self.pixels[..., -1] if self.pixels.shape[2] > num_colors else None

    def _shown(self) -> np.ndarray:
        """(H, W, C) float32 as on the screen, in [0, 1]; of four channels, where that takes no time to be made of them.

        NumPy is ten times slower where pixels have gaps, as they have without the fourth.
        """
        if self._holds_bytes and self.pixels.shape[2] > 2:
            return self.pixels / np.float32(255)
        if self.colorspace == "Linear Rec.709":
            return srgb_from_linear(self.rgba[..., :3])
        return self.rgba if self.is_of_bytes else np.clip(self.rgba, 0, 1)


def read_image(image: bpy.types.Image, frame: int) -> Picture:
    """An image; of a movie the given frame, of a sequence the file with this number.  Raises ObservationError."""
    path = bpy.path.abspath(image.filepath, library=image.library)
    if image.source == "MOVIE":
        return read_movie(path, frame)
    if image.source == "SEQUENCE":
        return read_file(numbered(path, frame), frame, image.colorspace_settings.name)
    if image.source == "TILED":
        raise ObservationError(f"The image '{image.name}' consists of tiles: choose an image in one piece.")
    if image.type == "RENDER_RESULT":
        raise ObservationError("This image is the render result: choose Render Result as the source.")
    if image.source == "FILE" and Path(path).suffix.lower() == EXR:
        content = image.packed_file.data if image.packed_file else _content(path)
        if has_layers(content):
            return _layered(content)
    return _pixels(image)


def read_file(path: str, frame: int, colorspace: str | None = None) -> Picture:
    """A picture, or the frame of a movie, from a file.  Raises ObservationError."""
    if not Path(path).is_file():
        raise ObservationError(f"The image file '{path}' does not exist.")
    suffix = Path(path).suffix.lower()
    if suffix == EXR and has_layers(content := _content(path)):
        return _layered(content)
    if suffix == PNG and colorspace in SPACES_OF_BYTES and (pixels := read_bytes(_content(path))) is not None:
        return Picture(pixels, colorspace or "sRGB", is_of_bytes=True)
    try:
        image = bpy.data.images.load(path)
    except RuntimeError as error:
        raise ObservationError(f"The image file '{path}' cannot be read.") from error
    try:
        if image.source == "MOVIE":
            return read_movie(path, frame)
        if colorspace is not None:
            image.colorspace_settings.name = colorspace
        return _pixels(image)
    finally:
        bpy.data.images.remove(image)


def read_render_result(scene: bpy.types.Scene) -> Picture:
    """What was rendered last, without its passes.  Raises ObservationError."""
    result = next((image for image in bpy.data.images if image.type == "RENDER_RESULT"), None)
    settings = scene.render.image_settings
    before = {name: getattr(settings, name) for name in RENDER_FORMAT if hasattr(settings, name)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "render.exr"
        try:  # what is saved has the format of the scene that was rendered
            for name in before:
                setattr(settings, name, RENDER_FORMAT[name])
            if result is not None:
                result.save_render(str(path), scene=scene)
        except RuntimeError as error:
            raise ObservationError("Nothing is rendered yet in this scene: render it first.") from error
        finally:
            for name, value in before.items():
                setattr(settings, name, value)
        if not path.is_file():
            raise ObservationError("Nothing is rendered yet in this scene: render it first.")
        layers = read_layers(path.read_bytes())
    return Picture(_with_alpha(layers[""]), "Linear Rec.709")


def _layered(content: bytes) -> Picture:
    """A picture with layers; black where there is none that is shown."""
    layers = read_layers(content)
    shown = pass_of(layers, ("Combined",))
    if shown is None:
        height, width = next(iter(layers.values())).shape[:2]
        shown = np.zeros((height, width, 3), np.float32)
    return Picture(_with_alpha(shown), "Linear Rec.709", layers)


def _with_alpha(values: np.ndarray) -> np.ndarray:
    """(H, W, 4) of grey, RGB or RGBA (H, W, C); opaque where nothing else is said."""
    if values.shape[2] == 4:
        return values
    rgba = np.ones((*values.shape[:2], 4), np.float32)
    rgba[..., :3] = values if values.shape[2] == 3 else values[..., :1]
    return rgba


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def numbered(path: str, number: int) -> str:
    """Path of another picture of a sequence: the last digits of the file's name are its number."""
    file = Path(path)
    digits = re.search(r"(\d+)(\D*)$", file.stem)
    if digits is None:
        raise ObservationError(f"The file name '{file.name}' holds no number, so it is no image sequence.")
    stem = f"{file.stem[: digits.start()]}{number:0{len(digits[1])}d}{digits[2]}"
    return str(file.with_name(stem + file.suffix))


def is_sequence(path: str) -> bool:
    """Whether a file may be one of a sequence of pictures."""
    file = Path(path)
    return re.search(r"\d", file.stem) is not None and file.suffix.lower() not in bpy.path.extensions_movie


def read_background(camera: bpy.types.Object, frame: int) -> Picture:
    """The first background image, or movie clip, of a camera that is shown.  Raises ObservationError."""
    backgrounds = [
        one
        for one in camera.data.background_images
        if one.show_background_image and (one.image if one.source == "IMAGE" else one.clip)
    ]
    if not backgrounds:
        raise ObservationError(
            f"The camera '{camera.name}' has no background image: add one under Camera > Background Images, or choose a file."
        )
    first = backgrounds[0]
    if first.rotation or tuple(first.offset) != (0, 0) or first.scale != 1 or first.use_flip_x or first.use_flip_y:
        raise ObservationError(
            f"The background image of '{camera.name}' is moved, turned, scaled or flipped: reset it, so that it fills the view."
        )
    if first.source == "IMAGE":
        user = first.image_user
        return read_image(first.image, frame_number(frame, user.frame_start, user.frame_duration, user.frame_offset))
    return read_clip(first.clip, frame)


def read_clip(clip: bpy.types.MovieClip, frame: int) -> Picture:
    """A movie clip at a frame of the scene, from its start frame on.  Raises ObservationError."""
    path = bpy.path.abspath(clip.filepath, library=clip.library)
    if clip.source == "MOVIE":
        return read_movie(path, frame - clip.frame_start + 1 + clip.frame_offset)
    if not is_sequence(path):
        return read_file(path, frame, clip.colorspace_settings.name)
    first_number = int(re.search(r"(\d+)\D*$", Path(path).stem)[1])
    number = first_number + frame - clip.frame_start + clip.frame_offset
    return read_file(numbered(path, number), frame, clip.colorspace_settings.name)


def frame_number(frame: int, start: int, duration: int, offset: int) -> int:
    """The frame that an image user shows, as Blender counts."""
    return min(max(frame - start + 1, 1), max(duration, 1)) + offset


def _pixels(image: bpy.types.Image) -> Picture:
    width, height = image.size
    if not width or not height:
        raise ObservationError(f"The image '{image.name}' is empty: its file is missing or cannot be read.")
    values = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(values)
    rgba = _with_alpha(values.reshape(height, width, image.channels)[::-1])
    space = image.colorspace_settings.name
    return Picture(rgba, "Linear Rec.709" if image.is_float and space != "Non-Color" else space, is_of_bytes=not image.is_float)


def write_cutout(name: str, shown_rgb: np.ndarray, coverage: np.ndarray) -> bpy.types.Image:
    """An image of the file with a mask (H, W) as its alpha, packed; it takes the place of an earlier cutout of the same name.

    shown_rgb: (H, W, 3) as on the screen.
    """
    height, width = coverage.shape
    earlier = bpy.data.images.get(name)
    image = bpy.data.images.new(name, width, height, alpha=True)
    image[CUTOUT] = True
    if earlier is not None and CUTOUT in earlier:  # an undo brings images back, but not what their pixels were
        earlier.user_remap(image)
        bpy.data.images.remove(earlier)
        image.name = name
    image.pixels.foreach_set(np.dstack([shown_rgb, coverage])[::-1].astype(np.float32).ravel())
    image.update()
    image.pack()
    return image


def read_movie(path: str, frame: int) -> Picture:
    """A frame of a movie, counted from 1.  Raises ObservationError."""
    if not Path(path).is_file():
        raise ObservationError(f"The movie '{path}' does not exist.")
    return Picture(*read_frame(path, frame))
