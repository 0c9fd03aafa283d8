"""What a plan must know of a `.pt2` file before torch loads it: the sizes of its inputs. Read as plain data.

An exported program lies in the archive as JSON, ROOT/models/NAME.json (since torch 2.8) or
serialized_exported_program.json: torch/_export/serde/schema.py names its fields. A size is a number, or an expression
of symbols with the number that it had when the program was exported.
"""

from __future__ import annotations

import json
import lzma
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from edgekit.formats import Header

_PROGRAM = re.compile(r"[^/]+/models/[^/]+\.json|serialized_exported_program\.json")
#: No program that a device would run comes near it; JSON of this size still takes seconds only.
_MOST_BYTES = 64 * 1024 * 1024
#: torch keeps a size in 64 bits.
_MOST_SIZE = 2**63 - 1
#: What reading a damaged archive, or JSON that says something else, ends with. RuntimeError: of zipfile, where a member
#: is encrypted (NotImplementedError and RecursionError are kinds of it).
DAMAGE = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError),
    *(MemoryError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


def read_header(path: Path) -> Header:
    """The header of a file. What is no exported program, or damaged, has an empty one: reading the model tells why."""
    if path.suffix.lower() != ".pt2":
        return Header()
    try:
        with zipfile.ZipFile(path) as archive:
            found = [entry for entry in archive.infolist() if _PROGRAM.fullmatch(entry.filename)]
            if len(found) != 1 or found[0].file_size > _MOST_BYTES:
                return Header()
            return _read(json.loads(archive.read(found[0])))
    except DAMAGE:
        return Header()


def _read(program: dict[str, Any]) -> Header:
    module = program["graph_module"]
    values = module["graph"]["tensor_values"]
    inputs: dict[str, tuple[int | None, ...]] = {}
    examples: dict[str, tuple[int, ...]] = {}
    for entry in module["signature"]["input_specs"]:
        tensor = entry.get("user_input", {}).get("arg", {}).get("as_tensor")
        if tensor is not None:
            name = str(tensor["name"])
            sizes = [_size(size) for size in values[name]["sizes"]]
            inputs[name] = tuple(size for size, _ in sizes)
            if all(example is not None for _, example in sizes):
                examples[name] = tuple(example for _, example in sizes if example is not None)
    return Header(inputs=inputs, examples=examples)


def _size(stored: dict[str, Any]) -> tuple[int | None, int | None]:
    """(the size, None for a free one; what it was at export)."""
    if "as_int" in stored:
        size = _whole(stored["as_int"])
        return size, size
    hint = (stored["as_expr"].get("hint") or {}).get("as_int")
    return None, None if hint is None else _whole(hint)


def _whole(stored: Any) -> int:
    """The number, which has to be one that a size can be: JSON also has 1e300, true and, as Python reads it, NaN."""
    if type(stored) is not int or not 1 <= stored <= _MOST_SIZE:
        raise ValueError(f"{stored!r:.40} is no size")
    return stored
