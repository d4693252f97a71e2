# SPDX-License-Identifier: Apache-2.0
"""Reads and writes the weights of a problem's stage networks: one safetensors file with metadata.

A file holds the tensors `stage<t>.<layer>.weight` and `.bias` and the metadata `format`, `stages`, `spec` (as JSON) and the
other fields of WeightsInfo.  Tensors are float16, and weights but the last layer's int8, to be multiplied by
`.weight_scale`, one for each output: a quarter of the size of float32.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

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


class Spec(Protocol):
    """Describes a network: NetworkSpec, HourglassSpec."""

    def layers(self) -> list[tuple[str, tuple[int, ...]]]: ...

    def to_json(self) -> str: ...

    @classmethod
    def from_json(cls, text: str) -> Self: ...


S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class WeightsInfo(Generic[S]):
    """What a weights file is for and where it comes from.

    problem: registry name.  task: the problem or, if its networks differ by what they are for, which of them, such as
    "lighting_sun"; so are the files called that ship.  input_layout: names and version of the features; a network only
    fits the features it was trained on.  data, licence, commit: what it was trained on, its licence and the source revision
    that trained it, in the words of who did; "" if not stated.
    """

    problem: str
    task: str
    spec: S
    input_layout: str
    data: str = ""
    licence: str = ""
    commit: str = ""


def save_weights(path: str | Path, stages: list[dict[str, np.ndarray]], info: WeightsInfo[Any]) -> None:
    """Writes one file with the weights of every stage, rounded; what that takes from a step, the loop gives back.

    Args:
        path: of the file.
        stages: for each its arrays by name.
        info: what the file says of itself.

    Raises:
        ConfigError: if it cannot be written.
    """
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
        "task": info.task,
        "stages": str(len(stages)),
        "spec": info.spec.to_json(),
        "input_layout": info.input_layout,
        "data": info.data,
        "licence": info.licence,
        "commit": info.commit,
    }
    write_bytes(path, save(tensors, metadata), "weights")


def load_weights(
    path: str | Path, task: str, input_layout: str
) -> tuple[list[dict[str, np.ndarray]], WeightsInfo[NetworkSpec]]:
    """Weights of every stage of update networks, checked against what the caller is going to feed them.

    Args:
        path: of the file.
        task: what they must be for, see WeightsInfo.
        input_layout: what they must have been trained on.

    Returns:
        For each stage its float32 arrays by name, and what the file says of itself.

    Raises:
        WeightsError: if the file is missing, damaged, incomplete or made for another task or input layout.
    """
    return load_weights_of(NetworkSpec, path, task, input_layout)


def load_weights_of(
    kind: type[S], path: str | Path, task: str, input_layout: str
) -> tuple[list[dict[str, np.ndarray]], WeightsInfo[S]]:
    """As load_weights, of networks that are described by a spec of the given kind."""
    with reading(path, "weights file", WeightsError):  # to the end, for it cuts what a file says of itself, too
        return _read_weights(kind, path, task, input_layout)


def _read_weights(
    kind: type[S], path: str | Path, task: str, input_layout: str
) -> tuple[list[dict[str, np.ndarray]], WeightsInfo[S]]:
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, TypeError, KeyError) as error:  # the latter two for types that NumPy does not have
        raise WeightsError(f"the weights file {path} is damaged ({error}); install it again") from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(f"{path} is no weights file of solver_core: its format is {metadata.get('format')!r}")
    problem, made_for = metadata.get("problem", ""), metadata.get("task")
    is_fitting = made_for == task if made_for else task.startswith(problem)  # files of before this key lack it
    if not problem or not is_fitting:
        raise WeightsError(f"the weights file {path} is for {made_for or problem or 'nothing'}, but {task} is needed")
    if metadata.get("input_layout") != input_layout:
        raise WeightsError(
            f"the weights file {path} was trained for other inputs ({metadata.get('input_layout')!r}) than this version gives "
            f"({input_layout!r}); train it again"
        )
    try:
        spec = kind.from_json(metadata["spec"])
        num_stages = int(metadata["stages"])
        info = WeightsInfo(problem, task, spec, input_layout, metadata["data"], metadata["licence"], metadata["commit"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"the metadata of the weights file {path} is damaged ({error}); install it again") from error
    if num_stages < 1:
        raise WeightsError(f"the weights file {path} must hold at least one stage, it says {num_stages}; install it again")
    return [_stage_weights(tensors, index, spec, path) for index in range(num_stages)], info


def shipped_weights(task: str) -> Path:
    """The file that comes with the package for a task, whether or not there is one."""
    return SHIPPED / f"{task}.safetensors"


def load_networks(path: str | Path | None, task: str, input_layout: str) -> list[NumpyNetwork]:
    """One NumPy network a stage.

    Args:
        path: of the weights; None = those that ship.
        task: as for load_weights; so is input_layout.
        input_layout: what the networks see.

    Raises:
        WeightsError: as load_weights does.
    """
    if path is None:
        return _shipped_networks(task, input_layout)
    stages, info = load_weights(path, task, input_layout)
    return [NumpyNetwork(info.spec, weights) for weights in stages]


@functools.cache
def _shipped_networks(task: str, input_layout: str) -> list[NumpyNetwork]:
    return load_networks(shipped_weights(task), task, input_layout)


def _stage_weights(tensors: dict[str, np.ndarray], stage: int, spec: Spec, path: str | Path) -> dict[str, np.ndarray]:
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
