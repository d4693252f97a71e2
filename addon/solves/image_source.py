# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a picture comes from and how it becomes a silhouette."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import bpy
import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.options import Options, option

from ..bridge import image as images
from ..bridge.camera import render_size
from ..bridge.image import Picture
from ..bridge.mask import read_mask
from ..bridge.matte import Mark, cryptomatte, object_index
from ..bridge.scene import evaluate

PASSES = {"CRYPTOMATTE": cryptomatte, "INDEX": object_index}  # keys that look at passes of a render


@dataclass(frozen=True)
class ImageSource:
    """Exactly one of an image of the file, a path (// allowed), the camera's first background image or movie clip, a mask of
    the file, whose splines are drawn in the image or clip editor, a movie clip of the file, and what was rendered last.

    frame_offset: added to the scene's frame to get the number of a picture of a sequence, or the frame of a movie; a background
    has its own.
    """

    image: str = ""
    file: str = ""
    use_background: bool = False
    mask: str = ""
    clip: str = ""
    use_render: bool = False
    frame_offset: int = 0

    def read(self, scene: bpy.types.Scene, camera: bpy.types.Object | None, frame: int, is_range: bool) -> Picture:
        """The picture at a frame; a numbered file is a sequence if there is a range or offset.  Raises ObservationError."""
        chosen = [self.image, self.file, self.mask, self.clip, self.use_background, self.use_render]
        if sum(map(bool, chosen)) != 1:
            raise ObservationError(
                "Choose one image: from this file, from the disk, the camera's background, a mask, a movie clip or the render "
                "result."
            )
        if self.use_render:
            if is_range:
                raise ObservationError("The render result shows one frame: choose the files of a sequence for a range.")
            return images.read_render_result(scene)
        if self.use_background:
            if camera is None:
                raise SetupError("The scene has no camera whose background image could be used: choose a camera.")
            return images.read_background(camera, frame)
        if self.image:
            image = bpy.data.images.get(self.image)
            if image is None:
                raise ObservationError(f"There is no image '{self.image}' in this file.")
            return images.read_image(image, frame + self.frame_offset)
        if self.mask:
            mask = bpy.data.masks.get(self.mask)
            if mask is None:
                raise ObservationError(f"There is no mask '{self.mask}' in this file.")
            return read_mask(mask, evaluate(scene), *render_size(scene))
        if self.clip:
            clip = bpy.data.movieclips.get(self.clip)
            if clip is None:
                raise ObservationError(f"There is no movie clip '{self.clip}' in this file.")
            return images.read_clip(clip, frame)
        path = bpy.path.abspath(self.file)
        if (is_range or self.frame_offset) and images.is_sequence(path):
            path = images.numbered(path, frame + self.frame_offset)
        return images.read_file(path, frame + self.frame_offset)


@dataclass(frozen=True)
class MaskKey(Options):
    """What of a picture is the object.  color: of the background, as shown on the screen."""

    key: str = option(
        "ALPHA",
        "Key",
        "What tells the object from the background in the image",
        choices={
            "ALPHA": "The object is where the image is opaque",
            "LUMINANCE": "The object is where the image is brighter than the threshold",
            "COLOR": "The object is where the image does not have the background's color",
            "CRYPTOMATTE": "The object is where a file with layers has it in its pass Cryptomatte Object",
            "INDEX": "The object is where a file with layers has its Pass Index in its pass Object Index",
        },
    )
    threshold: float = option(
        0.5, "Threshold", "Alpha or brightness above which a pixel belongs to the object", minimum=0, maximum=1
    )
    tolerance: float = option(
        0.2, "Tolerance", "How far a pixel's color may be from the background's and still be background", minimum=0, maximum=1
    )
    invert: bool = option(False, "Invert", "Swaps object and background of the mask")
    color: tuple[float, float, float] = (0.0, 1.0, 0.0)

    def coverage(self, picture: Picture, marks: Collection[Mark] = ()) -> np.ndarray:
        """(H, W) float32: fraction of each pixel that the object covers; or bool, of keys that take whole pixels.

        marks: of the object's parts, for the passes of renders.  Raises ObservationError.
        """
        if self.key in PASSES:
            if not picture.layers:
                raise ObservationError(
                    "The image has no layers, and of a render result Blender gives scripts none: save it as OpenEXR MultiLayer "
                    "(Image > Save As in the image editor), and choose that file."
                )
            covered = PASSES[self.key](picture.layers, marks)
        elif self.key == "ALPHA":
            covered = picture.alpha
            if covered.min() == 1:
                raise ObservationError(
                    "The image has no transparent pixel: solve it with From Photo, make its mask with Mask from Photo, or "
                    "choose luminance or a color for the silhouette."
                )
            if self.threshold != 0.5:
                covered = np.interp(covered, (0, self.threshold, 1), (0, 0.5, 1))
        elif self.key == "LUMINANCE":
            covered = picture.is_as_bright(self.threshold)
        else:
            covered = picture.distance(self.color) > self.tolerance
        if covered.dtype == bool:
            return ~covered if self.invert else covered
        covered = covered.astype(np.float32, copy=False)
        return 1 - covered if self.invert else covered
