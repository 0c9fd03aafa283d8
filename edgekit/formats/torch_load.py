"""Loads a PyTorch model from a `.pt2`, a TorchScript archive or a Python file with weights, as one kind of thing: a
Program.

Nothing that a model file holds is executed as Python: archives are told apart by their members, `.pt2` passes
``pt2_guard``, weights are read with ``weights_only``, and a module pickled whole is refused.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import Build, Tensor
from edgekit.errors import AbsentError, InputError
from edgekit.formats import AGAIN
from edgekit.formats.pt2_guard import refuse_code
from edgekit.formats.torch_weights import load_weights
from edgekit.registry import did_you_mean

EXPORTED, SCRIPTED, PICKLED, SOURCE = "exported program", "TorchScript", "pickle", "Python file"


@dataclass(frozen=True)
class Program:
    """A loaded model in evaluation mode.

    ``call`` takes the input tensors in the order of ``parameters`` and returns whatever the model returns.
    ``parameters`` are the names of the model's own inputs, as far as it says them. ``examples`` are the shape (None
    where free) and dtype of each input of an exported program; None for the others, whose files do not say.
    """

    kind: str
    module: Any
    call: Callable[[Sequence[Any]], Any]
    parameters: tuple[str, ...]
    examples: tuple[tuple[tuple[int | None, ...], str], ...] | None = None
    exported: Any = None

    def run(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """{output name: tensor}; names are dictionary keys or ``output``, ``output_0`` ... (see ``name_outputs``)."""
        return name_outputs(self.call(tensors))


def sniff(path: Path) -> str:
    """Which of the four kinds of file it is, by what it holds.

    Raises:
        InputError: it is a ZIP archive that is truncated, or none of these.
    """
    if path.suffix.lower() == ".py":
        return SOURCE
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            head = file.read(2)
        if head[:1] == b"\x80":
            return PICKLED
        raise _truncated(path, "or not a PyTorch file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()} | set(archive.namelist())
            start = min((member.header_offset for member in archive.infolist()), default=0)
    except (zipfile.BadZipFile, OSError) as error:
        raise _truncated(path, str(error)) from error
    if start:  # the directory at the end was cut off, and that of an archive within this one was found
        raise _truncated(path, "or not a PyTorch file")
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return SCRIPTED
    if "archive_format" in names or any(name.startswith("models/") for name in names):
        return EXPORTED
    if "serialized_exported_program.json" in names:
        return EXPORTED
    if "data.pkl" in names:
        return PICKLED
    raise InputError(f"{path} is an archive, but not one that PyTorch writes", where=str(path), code="wrong_format")


def load_program(path: Path, build: Build | None) -> Program:
    """The model at ``path``; ``build`` is needed for a Python file and refused for any other.

    Raises:
        InputError: truncated, hostile, of another kind, or its weights belong to another architecture.
        AbsentError: the Python file imports what is not installed.
    """
    kind = sniff(path)
    if kind == PICKLED:
        raise InputError(
            f"{path} holds a pickle (bare weights, or a whole module), not a program; it was not opened",
            where=str(path),
            remedy="export it with torch.export.save, or give `file.py:factory` with these as `weights`",
            code="pickled_model",
        )
    if kind == SOURCE:
        if build is None:
            raise InputError(
                f"{path} is a Python file: say which function in it builds the model",
                where=str(path),
                remedy=f"write {path.name}:FUNCTION",
            )
        return _build(path, build)
    if build is not None:
        raise InputError(f"{path} is a whole model: it takes no factory, options or weights", where=str(path))
    return _load_exported(path) if kind == EXPORTED else _load_scripted(path)


def name_outputs(results: Any) -> dict[str, Any]:
    """Flat outputs with names: a dictionary's keys (and a named tuple's fields), else ``output`` if there is one
    tensor, else ``output_0``, ``output_1`` ... in order; nested containers below a key append their place
    (``boxes_1``).

    Raises:
        InputError: no tensor comes out, or something that is not a tensor.
    """
    import torch
    from torch.utils import _pytree as pytree

    leaves = [(keys, leaf) for keys, leaf in pytree.tree_flatten_with_path(results)[0] if leaf is not None]
    named: dict[str, Any] = {}
    for position, (keys, leaf) in enumerate(leaves):
        if not isinstance(leaf, torch.Tensor):
            raise InputError(
                f"the model returns a {type(leaf).__name__} where a tensor was expected", code="bad_output"
            )
        parts = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in keys]
        by_key = bool(keys) and not hasattr(keys[0], "idx")
        name = "_".join(parts) if by_key else ("output" if len(leaves) == 1 else f"output_{position}")
        if name in named:
            raise InputError(f"two outputs of the model come to the name `{name}`", code="bad_output")
        named[name] = leaf
    if not named:
        raise InputError("the model returns no tensor", code="bad_output")
    return named


def order_inputs(declared: Sequence[str], parameters: Sequence[str]) -> tuple[str, ...]:
    """The declared input names in the order of the model's call: its own parameter names if they are those, else as
    they were written."""
    if set(declared) == set(parameters[: len(declared)]):
        return tuple(parameters[: len(declared)])
    return tuple(declared)


def _load_exported(path: Path) -> Program:
    import torch
    from torch.utils import _pytree as pytree

    refuse_code(path)
    try:
        with _weights_only():
            exported = torch.export.load(path)
    except Exception as error:
        if "eights only load failed" in str(error) or "weights_only" in str(
            error
        ):  # torch's own text would advise to read it unsafely
            raise InputError(
                f"{path} holds a pickle of more than tensors, which could run code; it was not opened",
                where=str(path),
                remedy="export the model again with torch.export.save, with tensors as its only arguments",
                code="hostile_pickle",
            ) from error
        raise _unreadable(path, error) from error
    exported._guards_code = []  # they are text to be executed; shapes are checked against the io anyway
    module = exported.module()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    names = tuple(str(name) for name in exported.graph_signature.user_inputs)
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes if node.op == "placeholder"}
    examples = []
    for name in names:
        value = values.get(name)
        if not isinstance(value, torch.Tensor):
            raise InputError(f"{path} takes an input that is not a tensor: `{name}`", where=str(path))
        shape = tuple(size if isinstance(size, int) else None for size in value.shape)
        examples.append((shape, _numpy_name(value.dtype)))
    specification = exported.call_spec.in_spec

    def call(tensors: Sequence[Any]) -> Any:
        arguments, keywords = pytree.tree_unflatten(list(tensors), specification)
        return module(*arguments, **keywords)

    return Program(EXPORTED, module, call, names, tuple(examples), exported)


def _load_scripted(path: Path) -> Program:
    import torch

    try:
        module = torch.jit.load(str(path), map_location="cpu").eval()
        arguments = module.forward.schema.arguments[1:]
    except Exception as error:
        raise _unreadable(path, error) from error
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return Program(SCRIPTED, module, lambda tensors: module(*tensors), tuple(item.name for item in arguments))


def _build(path: Path, build: Build) -> Program:
    import torch

    # A factory without weights starts from random ones: the same in every worker.
    torch.manual_seed(0)
    with _importable(path) as namespace:
        factory = getattr(namespace, build.factory, None)
        if not callable(factory):
            callables = [name for name, value in vars(namespace).items() if callable(value)]
            raise InputError(
                f"{path} has no function `{build.factory}`{did_you_mean(build.factory, callables)}", where=str(path)
            )
        module = _run_users_code(path, lambda: factory(**build.options), f"{build.factory}() of {path}")
    if not isinstance(module, torch.nn.Module):
        raise InputError(
            f"{path}:{build.factory} returned a {type(module).__name__}, not a torch.nn.Module", where=str(path)
        )
    module.eval()
    if build.weights is not None:
        load_weights(module, build.weights)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    names = tuple(inspect.signature(module.forward).parameters)
    return Program(SOURCE, module, lambda tensors: module(*tensors), names)


@contextmanager
def _importable(path: Path) -> Iterator[Any]:
    """The user's file as a module; its folder is importable only while it and its factory run."""
    name = f"edgekit_model_{path.stem}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise InputError(f"{path} is not a Python file", where=str(path))
    loader, namespace = specification.loader, importlib.util.module_from_spec(specification)
    folder = str(path.resolve().parent)
    before = set(sys.modules)
    sys.path.insert(0, folder)
    sys.modules[name] = namespace
    try:
        _run_users_code(path, lambda: loader.exec_module(namespace), str(path))
        yield namespace
    finally:
        sys.modules.pop(name, None)
        # Its neighbours too: another model may have other files of the same names.
        for other in set(sys.modules) - before:
            if _lies_in(folder, other):
                del sys.modules[other]
        if folder in sys.path:
            sys.path.remove(folder)


def _lies_in(folder: str, module: str) -> bool:
    """Whether it was imported from the folder itself (``folder/NAME.py`` or ``folder/NAME/...``), not from an
    environment that happens to lie below it."""
    file = getattr(sys.modules[module], "__file__", None)
    top = module.partition(".")[0]
    return bool(file) and str(file).startswith((f"{folder}{os.sep}{top}.py", f"{folder}{os.sep}{top}{os.sep}"))


def _run_users_code(path: Path, code: Callable[[], Any], what: str) -> Any:
    try:
        return code()
    except ModuleNotFoundError as error:
        raise AbsentError(
            f"{path} imports `{error.name}`, which is not installed",
            where=str(path),
            remedy="install the distribution that holds it, and name it under model.requires",
        ) from error
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        line = _line_in(error, path)
        raise InputError(
            f"{what} raised {type(error).__name__}: {first_line(error)}",
            where=f"{path}:{line}" if line else str(path),
            code="model_code_failed",
        ) from error


def _line_in(error: BaseException, path: Path) -> int | None:
    """The last line of the user's file that the error passed through."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


@contextmanager
def _weights_only() -> Iterator[None]:
    """torch.export.load unpickles some members with ``weights_only=False``; this variable of torch's overrules it."""
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _truncated(path: Path, what: str) -> InputError:
    return InputError(f"{path} is truncated, {what}", where=str(path), remedy=AGAIN, code="truncated_file")


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"PyTorch cannot read {path}: {first_line(error)}",
        where=str(path),
        remedy="write it again with this PyTorch; it may be truncated",
        code="unreadable_model",
    )


def first_line(error: BaseException, limit: int = 200) -> str:
    """The first line of an error's text that says something, cut between words to ``limit`` characters. TorchScript
    says where before it says what: there it is the last error's line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    said = lines[0]
    if "TorchScript" in said:
        raised = [found[1] for line in lines if (found := re.match(r"[\w.]*(?:Error|Exception): (.+)", line))]
        said = raised[-1] if raised else said
    return said if len(said) <= limit else f"{said[:limit].rpartition(' ')[0] or said[:limit]} ..."


def example_feeds(inputs: Sequence[Tensor]) -> dict[str, np.ndarray]:
    """Zeros for each input; a free size is 1."""
    return {t.name: np.zeros([1 if size is None else size for size in t.shape], t.dtype) for t in inputs}


def to_tensors(feeds: Mapping[str, np.ndarray], names: Sequence[str]) -> list[Any]:
    """The arrays of those names as tensors that own their memory (samples come from read-only files)."""
    import torch

    return [torch.from_numpy(np.array(feeds[name])) for name in names]


def _numpy_name(dtype: Any) -> str:
    """NumPy's name of a torch dtype (``bfloat16`` stays, NumPy has none)."""
    return str(dtype).removeprefix("torch.")
