"""Reads and writes the weights of a problem's stage networks: one safetensors file with metadata.

A file holds the tensors `stage<t>.<layer>.weight` and `.bias` and the metadata `format`, `problem`, `stages`, `spec`
(NetworkSpec as JSON), `input_layout`, `commit`, `data` and `licence`.  Tensors are float16, and weights but the last layer's
int8, to be multiplied by `.weight_scale`, one for each output: a quarter of the size of float32.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from solver_core.errors import WeightsError
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.spec import NetworkSpec
from solver_core.reading import reading
from solver_core.writing import write_bytes

FORMAT = "solver_core weights 2"
SCALE = "_scale"
FLOATS = (np.float16, np.float32)
SMALLEST_SCALE = 1e-6  # of float16, so that an output whose weights are all zero has one
SHIPPED = Path(__file__).parent.parent / "weights"


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file is for and where it comes from.

    problem: registry name, e.g. "pose".  input_layout: names and version of the features; a network only fits the
    features it was trained on.  commit: source revision that trained it.  data: what it was trained on.
    """

    problem: str
    spec: NetworkSpec
    input_layout: str
    commit: str
    data: str
    licence: str = "CC0-1.0"


def save_weights(path: str | Path, stages: list[dict[str, np.ndarray]], info: WeightsInfo) -> None:
    """Writes one file with the weights of every stage; what rounding takes from a step, the loop gives back."""
    *inner, _ = info.spec.layers()
    quantized = {f"{layer}.weight" for layer, _ in inner}
    tensors: dict[str, np.ndarray] = {}
    for index, stage in enumerate(stages):
        for name, array in stage.items():
            key = f"stage{index}.{name}"
            if name in quantized:
                tensors[key], tensors[key + SCALE] = _quantized(array)
            else:
                tensors[key] = np.ascontiguousarray(array, np.float16)
    metadata = {
        "format": FORMAT,
        "problem": info.problem,
        "stages": str(len(stages)),
        "spec": info.spec.to_json(),
        "input_layout": info.input_layout,
        "commit": info.commit,
        "data": info.data,
        "licence": info.licence,
    }
    write_bytes(path, save(tensors, metadata), "weights")


def load_weights(path: str | Path, problem: str, input_layout: str) -> tuple[list[dict[str, np.ndarray]], WeightsInfo]:
    """Weights of every stage as float32, checked against what the caller is going to feed them.

    Raises WeightsError if the file is missing, damaged, incomplete or made for another problem or input layout.
    """
    with reading(path, "weights file", WeightsError):
        try:
            with safe_open(str(path), framework="numpy") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except (SafetensorError, TypeError, KeyError) as error:  # the latter two for types that NumPy does not have
            raise WeightsError(f"the weights file {path} is damaged ({error}); install it again") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} is no weights file of solver_core: its format is {metadata.get('format')!r}")
    for key, wanted in (("problem", problem), ("input_layout", input_layout)):
        if metadata.get(key) != wanted:
            raise WeightsError(f"the weights file {path} has {key} {metadata.get(key)!r}, but {wanted!r} is needed")
    try:
        spec = NetworkSpec.from_json(metadata["spec"])
        num_stages = int(metadata["stages"])
        info = WeightsInfo(problem, spec, input_layout, metadata["commit"], metadata["data"], metadata["licence"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"the metadata of the weights file {path} is damaged ({error}); install it again") from error
    if num_stages < 1:
        raise WeightsError(f"the weights file {path} must hold at least one stage, it says {num_stages}; install it again")
    return [_stage_weights(tensors, index, spec, path) for index in range(num_stages)], info


def load_networks(path: str | Path, problem: str, input_layout: str) -> list[NumpyNetwork]:
    """One NumPy network a stage.  Raises WeightsError as load_weights does."""
    stages, info = load_weights(path, problem, input_layout)
    return [NumpyNetwork(info.spec, weights) for weights in stages]


@functools.cache
def shipped_networks(name: str, problem: str, input_layout: str) -> list[NumpyNetwork]:
    """Networks of a file that comes with the package, read once."""
    return load_networks(SHIPPED / f"{name}.safetensors", problem, input_layout)


def _stage_weights(tensors: dict[str, np.ndarray], stage: int, spec: NetworkSpec, path: str | Path) -> dict[str, np.ndarray]:
    def tensor(name: str, shape: tuple[int, ...], dtypes: tuple[type, ...] = FLOATS) -> np.ndarray:
        name = f"stage{stage}.{name}"
        if name not in tensors:
            raise WeightsError(f"the weights file {path} lacks {name}; install it again")
        found = tensors[name]
        if found.shape != shape or found.dtype not in dtypes or not np.isfinite(found).all():
            raise WeightsError(
                f"{name} in the weights file {path} must be {shape} finite numbers, got {found.shape} of {found.dtype}"
            )
        return found.astype(np.float32)

    weights = {}
    for layer, shape in spec.layers():
        weights[f"{layer}.weight"] = tensor(f"{layer}.weight", shape, (*FLOATS, np.int8))
        weights[f"{layer}.bias"] = tensor(f"{layer}.bias", shape[-1:])
        if tensors[f"stage{stage}.{layer}.weight"].dtype == np.int8:
            weights[f"{layer}.weight"] *= tensor(f"{layer}.weight{SCALE}", shape[-1:])
    return weights


def _quantized(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int8 of a weight (..., outputs), and the scale (outputs,) that it is to be multiplied by."""
    largest = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0)
    scale = np.maximum(largest / 127, SMALLEST_SCALE).astype(np.float16)
    return np.clip(np.round(array / scale.astype(np.float32)), -127, 127).astype(np.int8), scale
