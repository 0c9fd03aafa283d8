"""What TensorFlow Lite's numbers mean: operators by name, and the attributes in their option tables."""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.formats.tflite_flatbuffer import OperatorCode

CUSTOM = 32

#: Attributes are axes and sizes; a vector that is longer than this is none.
_MOST_NUMBERS = 4096


def operator_name(code: OperatorCode) -> str:
    """``CONV_2D``; a custom operator's own name; ``BUILTIN_999`` for one that this LiteRT does not know."""
    if code.builtin == CUSTOM:
        return code.custom or "CUSTOM"
    return operator_by_number(code.builtin)


def operator_by_number(number: int) -> str:
    """The builtin operator of that number."""
    return _names("BuiltinOperator").get(number, f"BUILTIN_{number}")


def operator_number(name: str) -> int:
    """BuiltinOperator's number for a name (KeyError if there is none)."""
    return {known: number for number, known in _names("BuiltinOperator").items()}[name]


def read_attributes(data: bytes, kind: int, position: int) -> dict[str, Any]:
    """The attributes in the option table of type ``kind`` at ``position``: {snake_case name: plain value}.

    Enumerations are given by name: ``padding``, ``fused_activation_function``.

    Raises:
        InputError: the table leaves the file.
    """
    from ai_edge_litert import schema_py_generated as schema

    name = _names("BuiltinOptions").get(kind, "NONE")
    if name == "NONE":
        return {}
    table = getattr(schema, name)()
    try:
        table.Init(data, position)
        stored = vars(getattr(schema, f"{name}T").InitFromObj(table))
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"the options {name} of an operator lie outside the file", code="invalid_model") from error
    return {_snake_case(key): _plain(_snake_case(key), value) for key, value in stored.items()}


def _plain(key: str, value: Any) -> Any:
    if key == "padding":
        return _names("Padding").get(value, value)
    if key == "fused_activation_function":
        return _names("ActivationFunctionType").get(value, value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        if value.size > _MOST_NUMBERS:
            raise InputError(f"the attribute {key} of an operator has {value.size} numbers", code="invalid_model")
        return value.tolist()
    return value if isinstance(value, bool | int | float | str | list) or value is None else str(value)


@cache
def _names(enumeration: str) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    members = vars(getattr(schema, enumeration)).items()
    return {number: name for name, number in members if isinstance(number, int) and not name.startswith("_")}


@cache
def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
