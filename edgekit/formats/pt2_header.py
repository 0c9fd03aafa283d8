"""What a plan must know of a `.pt2` file before torch loads it: the sizes of its inputs. Read as plain data.

An exported program lies in the archive as JSON, ROOT/models/NAME.json (since torch 2.8) or
serialized_exported_program.json: torch/_export/serde/schema.py names its fields. A size is a number, or an expression
of symbols with the number that it had when the program was exported.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from edgekit.formats import Header

_PROGRAM = re.compile(r"[^/]+/models/[^/]+\.json|serialized_exported_program\.json")
#: No program that a device would run comes near it; JSON of this size still takes seconds only.
_MOST_BYTES = 64 * 1024 * 1024


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
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, RecursionError):
        return Header()
    except (zipfile.BadZipFile, zipfile.zlib.error):  # type: ignore[attr-defined]
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
        size = int(stored["as_int"])
        return size, size
    hint = (stored["as_expr"].get("hint") or {}).get("as_int")
    return None, None if hint is None else int(hint)
