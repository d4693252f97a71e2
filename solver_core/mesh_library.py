# SPDX-License-Identifier: Apache-2.0
"""Folders of meshes for training and measuring, read once and cached.

Three layouts are understood:
    a collection    manifest.csv (path, source, category) with splits.json (split -> sources), as in our own data
    ShapeNet        synset/model_id/models/model_normalized.obj; the category is the synset, by name where we measure it
    any folder      every obj, ply, glb, gltf, off and stl below it; the category is the folder a file lies in
The last two are split 80 / 10 / 10 by a hash of the path; a split that comes out empty gets all.  Meshes of the last are
turned from the axis that points up in them, the first two say which that is.
"""

from __future__ import annotations

import csv
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core.caching import Arrays, cached_arrays
from solver_core.command.files import MESH_SUFFIXES, read_mesh
from solver_core.errors import ConfigError, SetupError
from solver_core.mesh import Mesh, UnitMesh
from solver_core.reading import read_json, reading

logger = logging.getLogger(__name__)

# Sources of our collection that were published with y up; the others have z up, as Blender has.  ShapeNet has y up too.
Y_UP_SOURCES = frozenset(
    {
        "babylon_meshes",
        "kaykit_city",
        "kaykit_dungeon",
        "kaykit_furniture",
        "kaykit_restaurant",
        "kaykit_spacebase",
        "kenney_cars",
        "kenney_furniture",
        "kenney_racing",
        "pmndrs_market",
        "quaternius_2016_2019",
        "quaternius_showcase",
        "react_planner",
    }
)
SHAPENET_CATEGORIES = {
    "02691156": "plane",
    "02818832": "bed",
    "02828884": "bench",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "monitor",
    "04256520": "sofa",
    "04379243": "table",
}
MEASURED_CATEGORIES = frozenset(SHAPENET_CATEGORIES.values())  # the paper's tables are of these
# Rows of the rotation that turns what points up in a file into z, by the axis that does.
Z_UP_FROM = {
    "x": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    "y": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "-y": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-z": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
}
CACHE_VERSION = 1  # raise when the cached content changes


@dataclass(frozen=True)
class MeshEntry:
    """A mesh of the library: z up, centred on its bounding box, the box's diagonal 1."""

    name: str
    source: str
    category: str
    mesh: Mesh


class MeshPool:
    """Meshes to draw from, without vertices that no face uses.  measured: of the measured categories.  other: all others."""

    def __init__(self, library: list[MeshEntry]) -> None:
        self.measured = [entry.mesh.compact() for entry in library if entry.category in MEASURED_CATEGORIES]
        self.other = [entry.mesh.compact() for entry in library if entry.category not in MEASURED_CATEGORIES]

    def draw(self, rng: np.random.Generator, share_of_other: float, count: int) -> list[Mesh]:
        """Random meshes, each from the other categories with this probability, or where there are no measured ones."""
        from_other = (rng.uniform(size=count) < share_of_other) & bool(self.other) | (not self.measured)
        index = (rng.uniform(size=count) * np.where(from_other, len(self.other), len(self.measured))).astype(int)
        return [(self.other if is_other else self.measured)[i] for is_other, i in zip(from_other, index, strict=True)]


def load_library(data: Path, split: str, up: str = "z") -> list[MeshEntry]:
    """Meshes of a split ("train", "val" or "test") of the folder `data`, or of `data`/meshes if that exists.

    up: the axis that points up in the meshes of a folder that does not say it, a key of Z_UP_FROM.
    Raises ConfigError if the folder holds no mesh for the split.  A file that cannot be read is logged and left out.
    """
    if up not in Z_UP_FROM:
        raise ConfigError(f"up in [sampling] must be one of {', '.join(Z_UP_FROM)}, got {up!r}")
    folder = data / "meshes" if (data / "meshes").is_dir() else data
    if not folder.is_dir():
        raise ConfigError(f"the data folder {folder} does not exist; give a folder of meshes with --data")
    every = _listing(folder)
    listed = [(path, source, category) for path, source, category, of_split in every if of_split == split]
    if not listed and every and not (folder / "manifest.csv").exists():
        logger.warning("%s is too small to be split; all of its meshes are used for %r", folder, split)
        listed = [(path, source, category) for path, source, category, _ in every]
    if not listed:
        raise ConfigError(f"{folder} holds no mesh for the split {split!r}; supported files: {', '.join(MESH_SUFFIXES)}")
    up = "z" if (folder / "manifest.csv").exists() else up
    name = _cache_name(folder, split if up == "z" else split + up, [path for path, _, _ in listed])
    return _entries(cached_arrays(name, lambda: _read_meshes(folder, listed, up)))


def _listing(folder: Path) -> list[tuple[str, str, str, str]]:
    """(relative path, source, category, split) of every mesh in the folder."""
    manifest, splits = folder / "manifest.csv", folder / "splits.json"
    if manifest.exists() and splits.exists():
        sources = read_json(splits, "splits", ConfigError)
        with reading(splits, "splits file", ConfigError):
            split_of = {source: split for split, names in sources.items() for source in names}
        with reading(manifest, "manifest", ConfigError), manifest.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
            return [(row["path"], row["source"], row["category"], split_of.get(row["source"], "unused")) for row in rows]
    paths = sorted(folder.glob("*/*/models/model_normalized.obj"))
    if paths:
        relative = [path.relative_to(folder) for path in paths]
        return [_entry(path, SHAPENET_CATEGORIES.get(path.parts[0], path.parts[0])) for path in relative]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in MESH_SUFFIXES)
    return [_entry(path.relative_to(folder), path.parent.name) for path in paths]


def _entry(path: Path, category: str) -> tuple[str, str, str, str]:
    bucket = hashlib.sha256(path.as_posix().encode()).digest()[0] % 10
    split = "test" if bucket == 0 else "val" if bucket == 1 else "train"
    return path.as_posix(), path.parts[0], category, split


def _cache_name(folder: Path, split: str, paths: list[str]) -> str:
    times = "".join(f"{path}{(folder / path).stat().st_mtime_ns if (folder / path).exists() else 0}" for path in paths)
    return f"meshes-{hashlib.sha256(f'{CACHE_VERSION}{folder.resolve()}{split}{times}'.encode()).hexdigest()[:16]}"


def _read_meshes(folder: Path, listed: list[tuple[str, str, str]], up: str) -> Arrays:
    """All meshes in a few arrays, one after the other."""
    logger.info("reading %d meshes from %s", len(listed), folder)
    entries = []
    for path, source, category in listed:
        try:
            mesh = UnitMesh.checked(*read_mesh(folder / path)).mesh
        except SetupError as error:
            logger.warning("left out %s: %s", path, error)
            continue
        is_y_up = source in Y_UP_SOURCES or path.endswith("models/model_normalized.obj")
        entries.append(MeshEntry(path, source, category, _z_up(mesh, "y" if is_y_up else up)))
    if not entries:
        raise ConfigError(f"none of the {len(listed)} meshes in {folder} could be read")
    return {
        "vertices": np.concatenate([entry.mesh.vertices for entry in entries]),
        "faces": np.concatenate([entry.mesh.faces for entry in entries]),
        "num_vertices": np.array([len(entry.mesh.vertices) for entry in entries]),
        "num_faces": np.array([len(entry.mesh.faces) for entry in entries]),
        "labels": np.array([(entry.name, entry.source, entry.category) for entry in entries]),
    }


def _z_up(mesh: Mesh, up: str) -> Mesh:
    return mesh if up == "z" else Mesh(mesh.vertices @ np.array(Z_UP_FROM[up], np.float32).T, mesh.faces)


def _entries(arrays: Arrays) -> list[MeshEntry]:
    """Inverse of _read_meshes."""
    vertices = np.split(arrays["vertices"], np.cumsum(arrays["num_vertices"])[:-1])
    faces = np.split(arrays["faces"], np.cumsum(arrays["num_faces"])[:-1])
    return [
        MeshEntry(name, source, category, Mesh(np.ascontiguousarray(v), np.ascontiguousarray(f)))
        for (name, source, category), v, f in zip(arrays["labels"].tolist(), vertices, faces, strict=True)
    ]
