"""Reads what users bring: meshes and their colours, masks, photographs, start poses.  The first three need the `cli` extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from solver_core.colour import linear_from_srgb
from solver_core.errors import ObservationError, SetupError
from solver_core.frames import read_json
from solver_core.mesh import Mesh
from solver_core.optional import needed_for
from solver_core.render.gbuffer import Albedo, Texture

if TYPE_CHECKING:
    from PIL import Image

MESH_SUFFIXES = (".obj", ".ply", ".glb", ".gltf", ".off", ".stl")


def read_mesh(path: str | Path) -> Mesh:
    """Triangles of a mesh file (MESH_SUFFIXES); a scene's parts are joined where they stand.

    Raises SetupError if the file cannot be read or holds no triangles.
    """
    loaded = _load_mesh(path)
    try:
        return Mesh.checked(loaded.vertices, loaded.faces)
    except SetupError as error:
        raise SetupError(f"cannot use the mesh file {path}: {error}") from error


def read_albedo(path: str | Path) -> Albedo:
    """What a mesh file says of its surface's colour: a texture, colours by vertex or face, a material's colour, or None.

    Colours by vertex or face are taken to be sRGB, as ply files have them; a material's colour is linear, as in glTF.
    Raises SetupError if the file cannot be read.
    """
    loaded = _load_mesh(path)
    visual = loaded.visual
    if visual.kind == "vertex":
        return linear_from_srgb(np.asarray(visual.vertex_colors)[:, :3] / 255)
    if visual.kind == "face":
        return linear_from_srgb(np.asarray(visual.face_colors)[:, :3] / 255)
    if visual.kind != "texture":
        return None
    material = visual.material
    image = getattr(material, "baseColorTexture", None) or getattr(material, "image", None)
    factor = getattr(material, "baseColorFactor", getattr(material, "diffuse", None))
    colour = np.ones(3, np.float32) if factor is None else np.asarray(factor, np.float32)[:3] / 255
    if image is None or visual.uv is None:
        return colour
    pixels = linear_from_srgb(np.asarray(image.convert("RGB")) / 255) * colour
    return Texture(np.asarray(visual.uv, np.float32)[loaded.faces], pixels)


def _load_mesh(path: str | Path) -> Any:
    """What trimesh makes of a file.  Raises SetupError."""
    with needed_for("reading mesh files", extra="cli"):
        import trimesh
    if Path(path).suffix.lower() not in MESH_SUFFIXES:
        raise SetupError(f"cannot read the mesh file {path}: its name must end in {', '.join(MESH_SUFFIXES)}")
    if not Path(path).is_file():
        raise SetupError(f"cannot read the mesh file {path}: there is no such file")
    try:
        return trimesh.load_mesh(path, process=False)
    except Exception as error:  # trimesh lets through whatever its parsers raise, IndexError included
        raise SetupError(f"cannot read the mesh file {path}: {error}") from error


def read_mask(path: str | Path) -> np.ndarray:
    """(H, W) float32 in [0, 1], the fraction of each pixel the object covers.

    That is the image's alpha where some of it is transparent, else its brightness: white is the object.
    Raises ObservationError if the file is no image.
    """
    image = _read_image(path, "mask")
    if image.mode.startswith("I"):  # 16 bits a pixel; pillow's own conversion to 8 would clip them
        return np.asarray(image, np.float32) / 65535
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    values = alpha if alpha.min() < 255 else np.asarray(image.convert("L"))
    return values.astype(np.float32) / 255


def read_photo(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB.  Raises ObservationError if the file is no image."""
    return np.asarray(_read_image(path, "photograph").convert("RGB"))


def read_radiance(path: str | Path, is_linear: bool = False) -> np.ndarray:
    """(H, W, 3) float32 linear RGB of a photograph or render: PNG of 8 or 16 bits, JPEG, EXR and what else pillow reads.

    EXR holds linear values; other files are taken to be sRGB unless is_linear.  Pixels that are more than half transparent
    are NaN.  Raises ObservationError if the file is no image.
    """
    if Path(path).suffix.lower() == ".exr":
        return _read_exr(path)
    values = _read_png16(path) if _is_png16(path) else np.asarray(_read_image(path, "photograph").convert("RGBA")) / 255
    values = values.astype(np.float32)
    colour, alpha = values[..., :3], values[..., 3:]
    return np.where(alpha > 0.5, colour if is_linear else linear_from_srgb(colour), np.float32(np.nan))


def read_pose(path: str | Path) -> np.ndarray:
    """(4, 4) float64 from a file holding {"camera_from_object": four rows of four numbers}; a result is such a file.

    Raises SetupError.
    """
    content = read_json(path, "pose")
    if not isinstance(content, dict) or "camera_from_object" not in content:
        came = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise SetupError(f"pose file {path} must hold the key camera_from_object; it holds {came}")
    try:
        camera_from_object = np.array(content["camera_from_object"], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SetupError(f"camera_from_object in {path} must be four rows of four numbers") from error
    if camera_from_object.shape != (4, 4):
        raise SetupError(f"camera_from_object in {path} must be (4, 4) numbers, got shape {camera_from_object.shape}")
    return camera_from_object


def _is_png16(path: str | Path) -> bool:
    """Whether a file is a PNG of 16 bits a channel in colour, which pillow would cut to 8."""
    try:
        with Path(path).open("rb") as file:
            header = file.read(26)
    except OSError:
        return False  # said by whoever reads it
    return header[:8] == b"\x89PNG\r\n\x1a\n" and header[24:25] == b"\x10"


def _read_png16(path: str | Path) -> np.ndarray:
    """(H, W, 4) in [0, 1]."""
    with needed_for("reading 16-bit images", extra="cli"):
        import png
    try:
        width, height, rows, _ = png.Reader(bytes=Path(path).read_bytes()).asRGBA()
        return np.array([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, 4) / 65535
    except (png.Error, OSError) as error:
        raise ObservationError(f"cannot read the photograph file {path}: {error}") from error


def _read_exr(path: str | Path) -> np.ndarray:
    """(H, W, 3) float32, NaN where it is transparent."""
    with needed_for("reading EXR images", extra="cli"):
        import OpenEXR
    if not Path(path).is_file():
        raise ObservationError(f"cannot read the photograph file {path}: No such file or directory")
    try:
        channels = OpenEXR.File(str(path)).channels()
    except RuntimeError as error:
        raise ObservationError(f"cannot read the photograph file {path}: {error}") from error
    # Layers are named "Layer.RGBA"; without layers it is "RGBA" alone.
    found = [name for kind in ("RGBA", "RGB", "Y") for name in channels if name.rpartition(".")[2] == kind]
    if not found:
        raise ObservationError(
            f"the photograph file {path} must hold the channels R, G, B or Y, it holds {', '.join(channels)}; save one layer"
        )
    pixels = np.asarray(channels[found[0]].pixels, np.float32)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    colour = np.broadcast_to(pixels[..., : min(3, pixels.shape[2])], (*pixels.shape[:2], 3))
    is_seen = pixels[..., 3] > 0.5 if pixels.shape[2] == 4 else np.ones(pixels.shape[:2], bool)
    return np.where(is_seen[..., None], colour, np.float32(np.nan))


def _read_image(path: str | Path, what: str) -> Image.Image:
    with needed_for("reading images", extra="cli"):
        from PIL import Image
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, Image.DecompressionBombError) as error:  # pillow's "this is no image" is an OSError too
        raise ObservationError(f"cannot read the {what} file {path}: {getattr(error, 'strerror', '') or error}") from error
