"""ONNX to TensorFlow Lite, float32, by onnx2tf.

onnx2tf has two ways. Its direct writer makes the FlatBuffer itself, in a second or so and without TensorFlow; its older
backend builds a Keras model and lets TensorFlow convert it. The direct writer refuses some operators, leaves others as
custom operators that no runtime has, and gets a few wrong without a word. So whatever it writes is run against the ONNX
file here and now, and the other backend is tried where it fails.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekit.artifact import IO, Artifact
from edgekit.errors import INEXPRESSIBLE, AbsentError, AmbiguousOutputs, StepError
from edgekit.formats.matching import match_io
from edgekit.formats.onnx_file import read_model as read_onnx
from edgekit.formats.onnx_selection import loose_operator
from edgekit.formats.onnx_sizes import fix_inputs, has_free_inputs
from edgekit.formats.tflite_arithmetic import multiply_instead
from edgekit.formats.tflite_flatbuffer import read_model
from edgekit.formats.tflite_operators import CUSTOM, operator_name
from edgekit.formats.tflite_padding import pad_with_zeros
from edgekit.formats.tflite_shapes import fix_shapes
from edgekit.installation import install_command
from edgekit.steps import Context, Produced, StepOptions, step
from edgekit.steps.convert.onnx_culprit import Culprit, tell_culprit

Backend = Literal["direct", "tensorflow"]
_BACKENDS: dict[Backend, str] = {"direct": "flatbuffer_direct", "tensorflow": "tf_converter"}
_TITLES: dict[Backend, str] = {"direct": "direct writer", "tensorflow": "TensorFlow backend"}
_EXACT_DB = 60.0


_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})


class Options(StepOptions):
    backend: Literal["auto", "direct", "tensorflow"] = Field(
        "auto",
        description="direct: onnx2tf's own writer, without TensorFlow; tensorflow: through TensorFlow's converter; "
        "auto: direct, and tensorflow where that refuses an operator or is not exact to 60 dB",
    )


class _RefusalError(Exception):
    """A backend cannot convert the model; the text names the operator where it is known."""


@step(
    "onnx_to_tflite",
    accepts="onnx",
    produces="tflite",
    stack="onnx2tf",
    version=4,
    options=Options,
    exact=True,
    requires=("onnx", "onnxruntime", "ai-edge-litert"),
    toolchain="onnx2tf",
)
def onnx_to_tflite(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Convert to TensorFlow Lite in float32 (onnx2tf) and compare the two on the spot."""
    _check_present()
    _refuse_changing_sizes(artifact)
    _refuse_foreign_operators(artifact)
    if options.backend != "auto":
        return _convert_or_fail(context, artifact, options.backend)
    try:
        path, io = _convert(context, artifact, "direct")
    except _RefusalError as refusal:
        context.log.warning("onnx2tf's direct writer: %s; trying its TensorFlow backend", refusal)
        return _convert_instead(context, artifact, str(refusal))
    return Produced(path, io)


def _refuse_changing_sizes(artifact: Artifact) -> None:
    """Neither backend keeps what gives another number of results for every input, and the older one takes minutes to
    say so."""
    found = loose_operator(read_onnx(artifact.path))
    if found is not None:
        kind, output = found
        raise StepError(
            f"TensorFlow Lite files have fixed sizes, and {kind} gives as many results as it finds: the size of "
            f"`{output}` depends on the input's numbers",
            where=f"{kind} (its output is `{output}`)",
            remedy="add the step onnx_cut_tail before it (`check --step onnx_cut_tail`, or a recipe's `steps`, after "
            f"onnx_simplify): the host then runs {kind} and what follows",
            code=INEXPRESSIBLE,
        )


def _refuse_foreign_operators(artifact: Artifact) -> None:
    """What is neither of ONNX nor of ONNX Runtime, nor composed of such in the file, no backend knows."""
    model = read_onnx(artifact.path, with_data=False)
    composed = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if node.domain not in _KNOWN_DOMAINS and (node.domain, node.op_type) not in composed:
            raise StepError(
                f"TensorFlow Lite has no form of {node.op_type}: it is an operator of the domain {node.domain}",
                where=f"{node.op_type} (its output is `{node.output[0]}`)",
                remedy="write it with operators of ONNX, or leave that part to the program around the model",
                code=INEXPRESSIBLE,
            )


def _convert_instead(context: Context, artifact: Artifact, reason: str) -> Produced:
    """The TensorFlow backend, after the direct writer failed for ``reason``."""
    try:
        _check_tensorflow()
    except AbsentError as absent:
        culprit = _find_culprit(context, artifact, "direct")
        cure = None if culprit is None else culprit.remedy
        raise AbsentError(
            f"onnx2tf's direct writer cannot convert this model ({reason}), and its other backend needs TensorFlow",
            where=artifact.path.name if culprit is None else culprit.title,
            remedy=f"{absent.remedy}; or {cure}" if cure else absent.remedy,
            code=absent.word,
        ) from absent
    try:
        path, io = _convert(context, artifact, "tensorflow")
    except _RefusalError as refusal:
        failed = f"its direct writer: {reason}; its TensorFlow backend: {refusal}"
        raise _refused(context, artifact, "onnx2tf", failed, "direct", "replace the operator in the model") from refusal
    return Produced(path, io, notes=(f"converted by onnx2tf's TensorFlow backend, since its direct writer: {reason}",))


def _convert_or_fail(context: Context, artifact: Artifact, backend: Backend) -> Produced:
    if backend == "tensorflow":
        _check_tensorflow()
    try:
        return Produced(*_convert(context, artifact, backend))
    except _RefusalError as refusal:
        remedy = "set the option backend to auto" if backend == "direct" else "replace the operator in the model"
        who = f"onnx2tf's {_TITLES[backend]}"
        raise _refused(context, artifact, who, str(refusal), backend, remedy) from refusal


def _refused(context: Context, artifact: Artifact, who: str, why: str, backend: Backend, remedy: str) -> StepError:
    """That a model is not converted, at which operator ``backend`` fails, and what to do about it."""
    culprit = _find_culprit(context, artifact, backend)
    message = f"{who} cannot convert this model: {why}"
    if culprit is None:
        return StepError(message, where=artifact.path.name, remedy=remedy, code="operator_refused")
    return StepError(message, where=culprit.title, remedy=culprit.remedy or remedy, code="operator_refused")


def _find_culprit(context: Context, artifact: Artifact, backend: Backend) -> Culprit | None:
    count = itertools.count()

    def converts(model: Artifact) -> bool:
        folder = context.workdir / "attempts" / str(next(count))
        folder.mkdir(parents=True)
        try:
            _convert(replace(context, workdir=folder), model, backend)
        except _RefusalError:
            return False
        except AmbiguousOutputs:  # what is cut may have outputs that cannot be told apart; that is not the matter here
            return True
        return True

    return tell_culprit(context, artifact, converts)


def _convert(context: Context, artifact: Artifact, backend: Backend) -> tuple[Path, IO]:
    """(file, io) that was compared with the ONNX file.

    Raises:
        _RefusalError: the backend refused, crashed, left what no runtime has, or its file computes something else.
    """
    types = _operator_types(artifact.path)
    folder = context.workdir / backend
    written = _call_onnx2tf(artifact, folder, backend, types)
    path = context.workdir / f"{context.stem}.tflite"
    path.write_bytes(_make_loadable(written, types, context.threads))
    shutil.rmtree(folder, ignore_errors=True)
    try:
        io = match_io(artifact, path, "tflite", threads=context.threads, seed=context.seed, min_db=_EXACT_DB)
    except AmbiguousOutputs:
        raise
    except StepError as error:
        raise _RefusalError(error.message) from error
    return path, io


def _call_onnx2tf(artifact: Artifact, folder: Path, backend: Backend, types: set[str]) -> Path:
    """Let onnx2tf write into ``folder``; the float32 file it made."""
    import onnx2tf

    folder.mkdir(parents=True)
    arguments: dict[str, Any] = {
        "input_onnx_file_path": str(_with_fixed_sizes(artifact, folder)),
        "output_folder_path": str(folder),
        "tflite_backend": _BACKENDS[backend],
        # It would call the program of that name; the model is simplified by a step of its own, and a failing call
        # would go unnoticed.
        "not_use_onnxsim": True,
        "copy_onnx_input_output_names_to_tflite": True,
        "non_verbose": True,
        "verbosity": "error",
    }
    try:
        onnx2tf.convert(**arguments)
    except (
        Exception,
        SystemExit,
    ) as error:  # it raises whatever its parts raise, and ends the process where it gives up
        raise _RefusalError(_name_operator(_one_line(error), types)) from error
    written = sorted(folder.glob("*_float32.tflite"))
    if len(written) != 1:
        raise _RefusalError("it wrote no float32 file")
    return written[0]


def _make_loadable(path: Path, types: set[str], threads: int) -> bytes:
    """The file without free sizes, and with padding and divisions that devices take.

    Raises:
        _RefusalError: an operator is left that LiteRT does not have, or a shape depends on the numbers.
    """
    model = read_model(path)
    foreign = [operator_name(code) for code in model.codes if code.builtin == CUSTOM]
    if foreign:
        known = {f"ONNX_{name.upper()}": name for name in types}
        names = ", ".join(sorted({known.get(name, name.removeprefix("Flex")) for name in foreign}))
        raise _RefusalError(f"it has no TensorFlow Lite operator for {names}")
    try:
        data, loose = fix_shapes(model, threads)
    except (RuntimeError, ValueError) as error:
        raise _RefusalError(f"LiteRT cannot run what it wrote: {_one_line(error)}") from error
    if loose is not None:
        raise _RefusalError(f"the size of `{loose}` depends on the input's numbers")
    return multiply_instead(pad_with_zeros(data))


def _operator_types(path: Path) -> set[str]:
    import onnx

    return {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}


def _with_fixed_sizes(artifact: Artifact, folder: Path) -> Path:
    """The ONNX file, or, if it leaves sizes of inputs free, a copy in ``folder`` in which they are those of the io (a
    free one is 1). onnx2tf's own option for it relies on the simplifier that it is not let call."""
    model = read_onnx(artifact.path, with_data=False)
    if not has_free_inputs(model):
        return artifact.path
    model = read_onnx(artifact.path)
    tensors = [replace(tensor, shape=tuple(size or 1 for size in tensor.shape)) for tensor in artifact.io.inputs]
    fix_inputs(model, tensors)
    path = folder / artifact.path.name
    path.write_bytes(model.SerializeToString())
    return path


def _name_operator(reason: str, types: Iterable[str]) -> str:
    """The reason, opened with the ONNX operator that it speaks of if it does not say so itself."""
    named = [name for name in sorted(types, key=len, reverse=True) if re.search(rf"(?<![a-z]){name}(?![a-z])", reason)]
    return f"{named[0]}: {reason}" if named else reason


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "..."


def _check_present() -> None:
    try:
        import onnx2tf  # noqa: F401
    except ImportError as error:
        raise AbsentError(
            f"the toolchain onnx2tf is not to be found here ({error})",
            remedy="edgekit toolchain install onnx2tf",
            code="toolchain_absent",
        ) from error


def _check_tensorflow() -> None:
    try:
        import tensorflow  # noqa: F401
    except ImportError as error:
        raise AbsentError(
            "onnx2tf's TensorFlow backend needs TensorFlow, which is not installed",
            remedy=install_command("tensorflow"),
            code="package_absent",
        ) from error
