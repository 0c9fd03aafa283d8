"""The LiteRT quantizer as its two steps need it: how it is imported, and what is done to every file it writes."""

from __future__ import annotations

from types import SimpleNamespace

from edgekit.errors import AbsentError
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_file import drop_unused, find_code, load_model, save_model
from edgekit.formats.tflite_flatbuffer import parse_model
from edgekit.formats.tflite_operators import CUSTOM
from edgekit.formats.tflite_versions import needed_version
from edgekit.installation import install_command


def import_quantizer() -> SimpleNamespace:
    """Its modules: ``quantizer``, ``calibrator``, ``recipe``, ``recipe_manager``, ``qtyping``.

    Raises:
        AbsentError: it is not installed.
    """
    try:
        from litert_quantizer import calibrator, qtyping, quantizer, recipe, recipe_manager
    except ImportError as error:
        raise AbsentError(
            f"the LiteRT quantizer cannot be imported ({error})",
            remedy=install_command("tflite"),
            code="package_absent",
        ) from error
    return SimpleNamespace(
        calibrator=calibrator, qtyping=qtyping, quantizer=quantizer, recipe=recipe, recipe_manager=recipe_manager
    )


def raise_versions(data: bytes) -> bytes:
    """The file with each operator's version at what it uses (the quantizer leaves them at the float model's)."""
    graph = describe_model(parse_model(data))
    model = load_model(data)
    for operator, described in zip(model.subgraphs[0].operators, graph.operators, strict=True):
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        if number != CUSTOM:
            operator.opcodeIndex = find_code(model, number, needed_version(described, graph.tensors))
    drop_unused(model)
    return save_model(model)
