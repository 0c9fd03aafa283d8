"""Loads weights into a torch module, strictly: every name and shape must agree. Files: .safetensors, .npz, .pt /
.pth."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.formats import AGAIN

SHOWN = 3


def load_weights(module: Any, path: Path) -> None:
    """Copy the weights into the module.

    Raises:
        InputError: missing, truncated or hostile file, or the names or shapes are another architecture's.
    """
    weights = read_weights(path)
    compare_weights({name: tuple(value.shape) for name, value in module.state_dict().items()}, weights, path)
    module.load_state_dict(weights, strict=True)


def read_weights(path: Path) -> dict[str, Any]:
    """{name: tensor} of a weights file; a checkpoint's ``state_dict`` entry is looked into."""
    if not path.is_file():
        raise InputError(f"no weights file at {path}", where=str(path), code="missing_file")
    readers = {".safetensors": _read_safetensors, ".npz": _read_npz}
    reader = readers.get(path.suffix.lower(), _read_pickled)
    weights = reader(path)
    if isinstance(weights, dict) and isinstance(weights.get("state_dict"), dict):
        weights = weights["state_dict"]
    if not isinstance(weights, dict) or not all(hasattr(value, "shape") for value in weights.values()):
        raise InputError(
            f"{path} holds no dictionary of tensors",
            where=str(path),
            remedy="save it with torch.save(model.state_dict(), ...) or safetensors.torch.save_file",
            code="bad_weights",
        )
    return dict(weights)


def compare_weights(expected: dict[str, tuple[int, ...]], weights: dict[str, Any], path: Path) -> None:
    """Refuse weights whose names or shapes differ from the module's; a few of each kind are named.

    A batch norm's ``num_batches_tracked`` has no part in what the model computes and may be absent.
    """
    missing = [name for name in expected if name not in weights and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in weights if name not in expected]
    shapes = [
        f"{name} {_times(tuple(value.shape))} instead of {_times(expected[name])}"
        for name, value in weights.items()
        if name in expected and tuple(value.shape) != expected[name]
    ]
    found = [
        f"{len(names)} {kind} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if names
    ]
    if found:
        raise InputError(
            f"the weights {path} belong to another architecture: {'; '.join(found)}",
            where=str(path),
            remedy="give the weights of this model, or the factory and options that the weights were trained with",
            code="wrong_weights",
        )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error


def _read_npz(path: Path) -> dict[str, Any]:
    import torch

    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(np.ascontiguousarray(arrays[name])) for name in arrays.files}
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _read_pickled(path: Path) -> Any:
    import torch

    if (kind := _program_kind(path)) is not None:
        raise InputError(
            f"{path} is {kind}, not weights",
            where=str(path),
            remedy=f"save the weights alone: torch.save(model.state_dict(), ...); or give {path.name} as the model",
            code="bad_weights",
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not _is_pickled(path):
            raise _unreadable(path, ValueError("neither an archive of PyTorch's nor a pickle")) from error
        raise InputError(
            f"{path} holds more than tensors, and reading that could run code; it was not opened",
            where=str(path),
            remedy="save only the weights: torch.save(model.state_dict(), ...) or safetensors",
            code="hostile_pickle",
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InputError:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if len(text) > 200:
        text = f"{text[:200].rpartition(' ')[0] or text[:200]} ..."
    return InputError(
        f"the weights {path} cannot be read: {text}", where=str(path), remedy=AGAIN, code="unreadable_weights"
    )


def _program_kind(path: Path) -> str | None:
    """What torch.export.save or torch.jit.save wrote is called; None for what is no program, by the members."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError):
        return None
    if names & {"archive_format", "serialized_exported_program.json"}:
        return "an exported program"
    return "a TorchScript program" if "constants.pkl" in names else None


def _is_pickled(path: Path) -> bool:
    """A ZIP archive, or a pickle of a protocol that PyTorch has ever written."""
    with path.open("rb") as file:
        head = file.read(2)
    return head in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
