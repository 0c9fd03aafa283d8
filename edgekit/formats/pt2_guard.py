"""Looks into a `.pt2` archive as plain data before torch does, and refuses what could run code while it is loaded.

torch.export.load is not safe by itself (seen in torch 2.13): payloads marked ``use_pickle``, opaque objects and sample
inputs are unpickled, symbolic sizes go through ``sympify`` (which evaluates), operators are looked up by a chain of
attributes from ``torch`` (``torch.os.system`` would be one), containers name modules to import, and names of
arguments are pasted into generated source. The remaining pickles are read under TORCH_FORCE_WEIGHTS_ONLY_LOAD
(``torch_load``).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.formats import AGAIN
from edgekit.formats.pt2_header import DAMAGE

# Operators that an exported program calls. Namespaces are listed: `torch.ops.load_library` is no namespace.
_NAMESPACES = "aten|prim|prims|higher_order|quantized|quantized_decomposed|torchvision|torchao|mkldnn|rnn|sym"
_ARITHMETIC = (
    "getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|xor|lshift|rshift|index"
)
_TARGET = re.compile(
    rf"torch\.ops\.({_NAMESPACES})\.(?!__(?!(i?and|i?or|i?xor|i?lshift|i?rshift)__))\w+(\.(?!__)\w+)?"
    rf"|_operator\.({_ARITHMETIC})|math\.(?!_)\w+|torch\.(sym_\w+|_sym_\w+)"
)
# Symbolic sizes, as SymPy prints them: `Add(Symbol('s77', positive=True, integer=True), Integer(1))`, or `s0 + 1`.
# Numbers, symbols, SymPy's classes, their keywords; no attribute access, and strings only as the name of a symbol.
_EXPRESSION = re.compile(
    r"(?!.*__)(?:[\s+\-*/%(),<>=!&|~]|Symbol\('\w+'|Float\('[\d.e+\-]+'|[a-z_]+=(?!=)|true|false"
    r"|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[a-z]{1,4}\d+|[A-Z][A-Za-z]*)*"
)
# Payloads that are raw tensors; `custom_obj_` and `opaque_obj_` are not.
_TENSORS = ("weight_", "tensor_")
_NATIVE = (".so", ".o", ".a", ".dll", ".dylib", ".pyd", ".cubin", ".cpp", ".py")


def refuse_code(path: Path) -> None:
    """Raise InputError if the archive holds code, or data that torch would turn into code."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                inside = name.partition("/")[2]
                if name.endswith(_NATIVE) or inside.startswith("data/aotinductor"):
                    raise _hostile(path, f"native or Python code ({name})")
                if name.endswith(".json"):
                    _check(path, name, json.loads(archive.read(name)))
    except DAMAGE as error:
        raise InputError(
            f"{path} is damaged or truncated: {error}", where=str(path), remedy=AGAIN, code="truncated_file"
        ) from error


def _check(path: Path, member: str, data: Any) -> None:
    for key, value in _walk(data):
        if key == "use_pickle" and value:
            raise _hostile(path, f"a pickled payload (in {member})")
        if key == "path_name" and isinstance(value, str) and not value.startswith(_TENSORS):
            raise _hostile(path, f"an object that is no tensor (in {member})")
        if key == "target" and isinstance(value, str) and "." in value and not _TARGET.fullmatch(value):
            raise _hostile(path, f"a call of `{value[:80]}`")
        if key == "expr_str" and isinstance(value, str) and not _EXPRESSION.fullmatch(value):
            raise _hostile(path, f"a size that is not arithmetic: `{value[:80]}`")
        if key == "in_spec" and isinstance(value, str):
            _check_arguments(path, value)
        if key in ("forward_arg_names", "keyword_names") and isinstance(value, list):
            _check_names(path, value)


def _check_arguments(path: Path, specification: str) -> None:
    """The container of a program's arguments: keyword names become source, and some containers import modules."""
    tree = json.loads(specification) if specification else None
    for key, value in _walk(tree):
        if key in ("default_factory_module", "__enum__") and value != "builtins":
            raise _hostile(path, f"a container that imports `{value}`")
        if key == "context" and isinstance(value, str) and value.startswith("["):
            keys = json.loads(value)
            _check_names(path, [name for name in keys if isinstance(name, str)])


def _check_names(path: Path, names: list[Any]) -> None:
    for name in names:
        if isinstance(name, str) and not re.fullmatch(r"[\w.\- ]*", name):
            raise _hostile(path, f"an argument called `{name[:80]}`")


def _walk(data: Any) -> Iterator[tuple[str, Any]]:
    """Every (key, value) of nested dictionaries and lists, without recursion (a hostile file may nest deeply)."""
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                yield key, value
                waiting.append(value)
        elif isinstance(item, list):
            waiting.extend(item)


def _hostile(path: Path, what: str) -> InputError:
    return InputError(
        f"{path} holds {what}, which could run code; it was not opened",
        where=str(path),
        remedy="export the model again with torch.export.save from plain tensors, or use file.py:factory with weights",
        code="hostile_pickle",
    )
