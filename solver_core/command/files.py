# SPDX-License-Identifier: Apache-2.0
"""Reads what users bring: meshes and their colours, photographs, start poses.  The first three need the `cli` extra."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from solver_core.colour import linear_from_srgb
from solver_core.command.mesh_files import (
    check_gltf_packing,
    files_named_in,
    files_named_in_gltf,
    tidy_glb,
    tidy_obj,
    tidy_ply,
)
from solver_core.errors import ObservationError, SetupError
from solver_core.mesh import Mesh
from solver_core.optional import needed_for
from solver_core.reading import (
    MAX_TEXT_BYTES,
    check_count,
    check_no_output,
    check_regular,
    numbers,
    read_bytes,
    read_json,
    reading,
)
from solver_core.render.gbuffer import Albedo, Texture
from solver_core.writing import whole_file, write_bytes

if TYPE_CHECKING:
    from PIL import Image

CAMERA_HELP = "JSON with width, height, fx, fy, cx, cy (pixels), or of BOP, COLMAP, ROS, fSpy, ..."
MESH_SUFFIXES = (".obj", ".ply", ".glb", ".gltf", ".off", ".stl")
OTHER_SUFFIXES = (".fbx", ".usd", ".usda", ".usdc", ".usdz", ".dae", ".3ds", ".blend", ".abc")
TIDY = {".obj": tidy_obj, ".ply": tidy_ply, ".glb": tidy_glb}
# What pillow is asked for.  It knows many more, some of which start other programs: an EPS is run by Ghostscript.
IMAGE_FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")

MAX_PIXELS = 80_000_000  # a full-frame camera has 61 million, which take 1 GB as float32 RGBA; pillow warns from 89 on
MAX_IMAGE_BYTES = 2**30  # 80 million pixels of 8 bytes, hardly compressed, take 640 MB
MAX_FACES = 20_000_000  # a scan has up to 10 million
MAX_VERTICES = 3 * MAX_FACES  # as in an stl, where no two faces share one
MAX_MESH_BYTES = 4 * 2**30  # 20 million faces as text
MAX_GLTF_NUMBERS = 16 * MAX_FACES  # corners, and vertices with normal and texture coordinates
MAX_GLTF_NODES = 20_000  # parts of an assembly; trimesh takes ten seconds for them
MAX_GLTF_DEPTH = 256  # levels of such parts; each node's place is found by walking up


class Surface(NamedTuple):
    """vertices: (V, 3) float64 in the file's unit, as exact as the file.  faces: (F, 3) int32."""

    vertices: np.ndarray
    faces: np.ndarray


def read_mesh(path: str | Path) -> Surface:
    """Triangles of a mesh file (MESH_SUFFIXES); a scene's parts are joined where they stand.

    Raises SetupError if the file cannot be read or holds no triangles.
    """
    with _loaded_mesh(path, has_colours=False) as mesh:
        faces = Mesh.checked(mesh.vertices, mesh.faces).faces
        return Surface(np.asarray(mesh.vertices, np.float64), faces)


def read_albedo(path: str | Path) -> Albedo:
    """What a mesh file says of its surface's colour: a texture, colours by vertex or face, a material's colour, or None.

    Colours by vertex or face are taken to be sRGB, as ply files have them; a material's colour is linear, as in glTF.
    Textures are looked for in the mesh's folder and below.  Raises SetupError if the file cannot be read.
    """
    with _loaded_mesh(path, has_colours=True) as mesh:
        visual = mesh.visual
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
        if image.format not in (*IMAGE_FORMATS, None):  # None: trimesh made it, from several
            raise ValueError(f"its texture is {image.format}; known: {', '.join(IMAGE_FORMATS)}")
        check_count(image.width * image.height, MAX_PIXELS, "pixels in its texture")
        pixels = linear_from_srgb(_eight_bits(image, "RGB") / 255) * colour
        return Texture(np.asarray(visual.uv, np.float32)[mesh.faces], pixels)


@contextmanager
def _loaded_mesh(path: str | Path, has_colours: bool) -> Iterator[Any]:
    """What trimesh makes of a file.  Turns what goes wrong in the block into a SetupError.

    Without colours nothing but the file is read, and the buffers that a glTF names.
    """
    with needed_for("reading mesh files", extra="cli"):
        import trimesh
        from trimesh.resolvers import FilePathResolver
    kind = Path(path).suffix.lower()
    if kind not in MESH_SUFFIXES:
        way = "; export it from Blender as glb or obj" if kind in OTHER_SUFFIXES else ""
        raise SetupError(f"cannot read the mesh file {path}: its name must end in {', '.join(MESH_SUFFIXES)}{way}")
    options: dict[str, Any] = {} if has_colours or kind in (".off", ".ply", ".stl") else {"skip_materials": True}

    class Resolver(FilePathResolver):  # which refuses what lies outside of the mesh's folder
        def absolute(self, name: str) -> Path:
            found = super().absolute(name)
            if found.exists():
                check_regular(found)
            return found

    with reading(path, "mesh file"):
        header = _gltf_header(path) if kind in (".glb", ".gltf") else None
        if header is not None:
            _check_gltf(header)
        content = read_bytes(path, MAX_MESH_BYTES)
        named = files_named_in(content, kind) if header is None else files_named_in_gltf(header)
        _check_named(Path(path).parent, named)
        content, resolver = TIDY.get(kind, bytes)(content), Resolver(str(path))
        scene = trimesh.load_scene(io.BytesIO(content), file_type=kind[1:], resolver=resolver, process=False, **options)
        # A part may stand in many places, so that few bytes become many faces.
        parts = [scene.geometry[scene.graph[node][1]] for node in scene.graph.nodes_geometry]
        check_count(sum(len(getattr(part, "faces", ())) for part in parts), MAX_FACES, "faces")
        check_count(sum(len(part.vertices) for part in parts), MAX_VERTICES, "vertices")
        mesh = scene.to_mesh()
        if not isinstance(mesh, trimesh.Trimesh):
            raise ValueError("it has no faces; a silhouette needs surfaces, not only vertices or edges")
        yield mesh


def _check_named(folder: Path, names: Iterable[str]) -> None:
    """Raises OverwritingError if a file that a mesh in the folder names, such as a texture, will be written."""
    for path in {folder / name for name in names}:
        if os.path.isfile(path):  # noqa: PTH113  (Path.is_file raises for what can be no name)
            check_no_output(path)
            if path.suffix.lower() == ".mtl":
                textures = files_named_in(read_bytes(path, MAX_TEXT_BYTES), ".mtl")
                _check_named(folder, [name for name in textures if not name.lower().endswith(".mtl")])


def _gltf_header(path: str | Path) -> Any:
    """The JSON of a glTF file.  Raises ValueError if a chunk of a binary one claims to be longer than the file."""
    if Path(path).suffix.lower() == ".gltf":
        return json.loads(read_bytes(path, MAX_MESH_BYTES))
    header, size = None, Path(path).stat().st_size
    with Path(path).open("rb") as file:
        file.seek(12)
        while len(start := file.read(8)) == 8:
            (length,) = struct.unpack("<I4x", start)
            if length > size - file.tell():
                raise ValueError("it is cut short")
            if header is None:
                header = json.loads(file.read(length))
            else:
                file.seek(length, os.SEEK_CUR)
    return header


def _check_gltf(header: dict[str, Any]) -> None:
    """Refuses a glTF file whose header claims more than there can be: readers allocate memory by the header."""
    check_gltf_packing(header)
    accessors, nodes = header.get("accessors", []), header.get("nodes", [])
    check_count(sum(abs(accessor["count"]) for accessor in accessors), MAX_GLTF_NUMBERS, "numbers")
    check_count(len(nodes), MAX_GLTF_NODES, "nodes")
    children = [node.get("children", []) for node in nodes]
    is_child = {child for some in children for child in some}
    if sum(map(len, children)) != len(is_child):
        raise ValueError("a node has two parents")
    level, depth, reached = [node for node in range(len(nodes)) if node not in is_child], 0, 0
    while level:
        depth, reached = depth + 1, reached + len(level)
        check_count(depth, MAX_GLTF_DEPTH, "levels of nodes")
        level = [child for node in level for child in children[node]]
    if reached < len(nodes):
        raise ValueError("its nodes form a circle")


def read_photo(path: str | Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB.  Raises ObservationError if the file is no image."""
    with open_image(path, "photograph file") as image:
        return _eight_bits(image, "RGB")


def _eight_bits(image: Any, mode: str) -> np.ndarray:
    """(H, W, C) uint8 of an image as a mode has it; Pillow would cut greys of 16 bits off at 255 instead of scaling them.

    Raises ValueError for real numbers, whose white is not known.
    """
    if image.mode == "F":
        raise ValueError("its pixels are real numbers, whose white is not known; save it as PNG or EXR")
    if image.mode.startswith("I"):
        from PIL import Image

        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    return np.asarray(image.convert(mode))


def read_radiance(path: str | Path, is_linear: bool = False) -> np.ndarray:
    """(H, W, 3) float32 linear RGB of a photograph or render: EXR, PNG of 8 or 16 bits, JPEG and the other IMAGE_FORMATS.

    EXR holds linear values; other files are taken to be sRGB unless is_linear.  Pixels that are more than half transparent
    are NaN.  Raises ObservationError if the file is no image.
    """
    if Path(path).suffix.lower() == ".exr":
        return _read_exr(path)
    values = _read_png16(path) if _is_png16(path) else _read_rgba(path)
    colour, alpha = values[..., :3], values[..., 3:]
    return np.where(alpha > 0.5, colour if is_linear else linear_from_srgb(colour), np.float32(np.nan))


def write_radiance(path: str | Path, radiance: np.ndarray) -> None:
    """Writes linear RGB (H, W, 3) float32 as .hdr or .exr.  Raises ConfigError."""
    if Path(path).suffix.lower() == ".hdr":
        write_bytes(path, hdr_bytes(radiance), "environment")
        return
    with needed_for("writing EXR images", extra="cli"):
        import OpenEXR
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with whole_file(path, "environment") as part:
        OpenEXR.File(header, {"RGB": radiance}).write(str(part))


def hdr_bytes(radiance: np.ndarray) -> bytes:
    """Content of a Radiance file (.hdr) of linear RGB (H, W, 3): 8 bits a channel and an exponent they share."""
    largest = radiance.max(axis=2)
    exponent = np.where(largest > 0, np.frexp(largest)[1], -128)
    mantissa = np.clip(np.ldexp(radiance, (8 - exponent)[..., None]), 0, 255)
    pixels = np.concatenate([mantissa, (exponent + 128)[..., None]], axis=2).astype(np.uint8)
    height, width = largest.shape
    return f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode() + pixels.tobytes()


def read_pose(path: str | Path, key: str = "camera_from_object") -> np.ndarray:
    """(4, 4) float64 from a file holding {key: four rows of four numbers}; a result is such a file.

    Raises SetupError.
    """
    content = read_json(path, "pose")
    with reading(path, "pose file"):
        if not isinstance(content, dict) or key not in content:
            came = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
            raise SetupError(f"pose file {path} must hold the key {key}; it holds {came}")
        return numbers(content[key], (4, 4), key)


def _is_png16(path: str | Path) -> bool:
    """Whether a file is a PNG of 16 bits a channel in colour, which pillow would cut to 8."""
    with reading(path, "photograph file", ObservationError), Path(path).open("rb") as file:
        header = file.read(26)
    return header[:8] == b"\x89PNG\r\n\x1a\n" and header[24:25] == b"\x10"


def _read_png16(path: str | Path) -> np.ndarray:
    """(H, W, 4) float32 in [0, 1]."""
    with needed_for("reading 16-bit images", extra="cli"):
        import png
    with reading(path, "photograph file", ObservationError):
        reader = png.Reader(file=io.BytesIO(read_bytes(path, MAX_IMAGE_BYTES)))
        reader.preamble()
        check_count(reader.width * reader.height, MAX_PIXELS, "pixels")
        width, height, rows, _ = reader.asRGBA()
        values = np.empty((height, 4 * width), np.float32)
        for value, row in zip(values, rows, strict=True):
            value[:] = np.asarray(row, np.float32) / 65535
        return values.reshape(height, width, 4)


def _read_rgba(path: str | Path) -> np.ndarray:
    """(H, W, 4) float32 in [0, 1]."""
    with open_image(path, "photograph file") as image:
        return _eight_bits(image, "RGBA").astype(np.float32) / 255


def _read_exr(path: str | Path) -> np.ndarray:
    """(H, W, 3) float32, NaN where it is transparent."""
    with needed_for("reading EXR images", extra="cli"):
        import OpenEXR
    with reading(path, "photograph file", ObservationError):
        for part in OpenEXR.File(str(path), header_only=True).parts:
            low, high = np.array(part.header["dataWindow"], dtype=object)  # Python's integers do not overflow
            check_count(int(np.prod(high - low + 1)), MAX_PIXELS, "pixels")
        file = OpenEXR.File(str(path))
        if not file.parts:  # the library's word for pixels that it cannot read
            raise ValueError("its pixels are damaged or cut short")
        channels = file.channels()
        # Layers are named "Layer.RGBA"; without layers it is "RGBA" alone.
        found = [name for kind in ("RGBA", "RGB", "Y") for name in channels if name.rpartition(".")[2] == kind]
        if not found:
            raise ValueError(f"it must hold the channels R, G, B or Y, and holds {', '.join(channels)}; save one layer")
        pixels = np.asarray(channels[found[0]].pixels, np.float32)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        colour = np.broadcast_to(pixels[..., : min(3, pixels.shape[2])], (*pixels.shape[:2], 3))
        is_seen = pixels[..., 3] > 0.5 if pixels.shape[2] == 4 else np.ones(pixels.shape[:2], bool)
        return np.where(is_seen[..., None], colour, np.float32(np.nan))


@contextmanager
def open_image(path: str | Path, what: str) -> Iterator[Image.Image]:
    """A loaded image, upright as its orientation tag says.  Turns what goes wrong in the block into an ObservationError."""
    with needed_for("reading images", extra="cli"):
        from PIL import Image, ImageOps, UnidentifiedImageError
    with reading(path, what, ObservationError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damage that pillow gets over, and of a size that is refused below
        content = io.BytesIO(read_bytes(path, MAX_IMAGE_BYTES))  # of a file room is made for what its parts claim to hold
        try:
            opened = Image.open(content, formats=IMAGE_FORMATS)
        except UnidentifiedImageError as error:  # whose words are of memory
            raise ValueError(f"it is no picture; known: {', '.join(IMAGE_FORMATS)}") from error
        with opened as image:
            check_count(image.width * image.height, MAX_PIXELS, "pixels")
            image.load()
            yield ImageOps.exif_transpose(image)
