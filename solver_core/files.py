"""Reads what users bring: meshes, masks, photographs and start poses.  Meshes and images need the `cli` extra."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.frames import read_json
from solver_core.mesh import Mesh
from solver_core.optional import needed_for

if TYPE_CHECKING:
    from PIL import Image

MESH_SUFFIXES = (".obj", ".ply", ".glb", ".gltf", ".off", ".stl")


def read_mesh(path: str | Path) -> Mesh:
    """Triangles of a mesh file (MESH_SUFFIXES); a scene's parts are joined where they stand.

    Raises SetupError if the file cannot be read or holds no triangles.
    """
    with needed_for("reading mesh files", extra="cli"):
        import trimesh
    if Path(path).suffix.lower() not in MESH_SUFFIXES:
        raise SetupError(f"cannot read the mesh file {path}: its name must end in {', '.join(MESH_SUFFIXES)}")
    if not Path(path).is_file():
        raise SetupError(f"cannot read the mesh file {path}: there is no such file")
    try:
        loaded = trimesh.load_mesh(path, process=False)
    except Exception as error:  # trimesh lets through whatever its parsers raise, IndexError included
        raise SetupError(f"cannot read the mesh file {path}: {error}") from error
    try:
        return Mesh.checked(loaded.vertices, loaded.faces)
    except SetupError as error:
        raise SetupError(f"cannot use the mesh file {path}: {error}") from error


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


def _read_image(path: str | Path, what: str) -> Image.Image:
    with needed_for("reading images", extra="cli"):
        from PIL import Image
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (OSError, Image.DecompressionBombError) as error:  # pillow's "this is no image" is an OSError too
        raise ObservationError(f"cannot read the {what} file {path}: {getattr(error, 'strerror', '') or error}") from error
