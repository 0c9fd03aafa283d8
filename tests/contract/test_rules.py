"""Every registered rule set on every network of tests/networks.py: what a check relies on, whatever the device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import onnx
import pytest
from ruamel.yaml import YAML

from edgekit.devices import Profile, load_profiles
from edgekit.devices.judge import judge_graph
from edgekit.devices.placement import Cause, Placed, Placement, Where
from edgekit.devices.rules import RULES
from edgekit.devices.rules.cpu import TABLES as TABLES_OF_CPUS
from edgekit.graph import Graph, Operator, TensorInfo
from edgekit.steps import STEPS

from .conftest import own_names

TABLES = Path(__file__).resolve().parents[2] / "edgekit" / "devices" / "rules"
CHAINS = {
    "onnx": ("torch_to_onnx",),
    "tflite": ("torch_to_onnx", "onnx_simplify", "onnx_to_tflite"),
    "openvino": ("torch_to_onnx", "onnx_simplify", "onnx_to_openvino"),
}
PLACES: dict[Cause, set[Where]] = {
    "mapped": {"accelerator"},
    "rejected": {"cpu", "unsupported"},
    "downstream": {"cpu", "unsupported"},
    "host": {"cpu"},
    "unknown": {"not_known"},
}
#: Custom operators, which are in no enumeration: TensorFlow Lite's tools write the first (its kernels/
#: detection_postprocess.cc), MediaPipe's models have those of the second line, which the GPU delegate reads
#: (model_builder.cc), LiteRT's interpreter has those of the third (its kernels/register.cc).
CUSTOM = {"TFLite_Detection_PostProcess"}
CUSTOM |= {"Convolution2DTransposeBias", "MaxPoolingWithArgmax2D", "MaxUnpooling2D", "Resampler"}
CUSTOM |= {"AudioSpectrogram", "Mfcc", "NumericVerify"}
#: Experimental operators that ONNX dropped with version 1.5; onnx-tensorrt's docs/operators.md still lists some, ONNX
#: Runtime has them all, and those of the second line of its own (its core/graph/contrib_ops).
EXPERIMENTAL = {"Affine", "Crop", "DynamicSlice", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh"}
EXPERIMENTAL |= {"MemcpyFromHost", "MemcpyToHost", "SimplifiedLayerNormalization"}
#: OpenVINO reads them from files; its Python package has no function that makes one (its operation specifications).
UNMADE = {"If", *(f"ExperimentalDetectron{name}" for name in ("DetectionOutput", "TopKROIs", "ROIFeatureExtractor"))}
UNMADE |= {f"ExperimentalDetectron{name}" for name in ("GenerateProposalsSingleImage", "PriorGridGenerator")}


@dataclass(frozen=True)
class Case:
    """A rule set on graphs of one format, and the table that it judges them by."""

    rules: str
    format: str
    table: str

    def __str__(self) -> str:
        return self.rules if self.rules == self.table else f"{self.rules}-{self.format}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [case for name in own_names(RULES) for case in _cases(name)], ids=str)


def _cases(rules_name: str) -> Iterator[Case]:
    judges = RULES.get(rules_name).judges
    for format_name, table in [(judges, rules_name)] if judges else TABLES_OF_CPUS.items():
        yield Case(rules_name, format_name, table)


def profile_of(rules_name: str) -> Profile:
    """A profile that is judged by the rule set; where none is, one of a phone as a user would write it."""
    profiles = load_profiles().values()
    found = next((profile for profile in profiles if profile.operators.rules == rules_name), None)
    if found is not None:
        return found
    phone = load_profiles()["iphone"]
    return phone.model_copy(update={"operators": phone.operators.model_copy(update={"rules": rules_name})})


def table_of(case: Case) -> dict[str, Any]:
    return YAML(typ="safe").load(TABLES / f"{case.table}.yaml")


@pytest.fixture(scope="module")
def graphs(workshop: Any, networks: ModuleType, networks_file: Path, request: pytest.FixtureRequest) -> Any:
    """``graphs("tflite")``: {network: its graph}; made once."""
    made: dict[str, dict[str, Graph]] = {}

    def make(format_name: str) -> dict[str, Graph]:
        if format_name == "tflite":
            request.getfixturevalue("onnx2tf")
        if format_name not in made:
            made[format_name] = dict(_make(workshop, networks, networks_file, CHAINS[format_name]))
        return made[format_name]

    return make


def _make(
    workshop: Any, networks: ModuleType, networks_file: Path, chain: tuple[str, ...]
) -> Iterator[tuple[str, Graph]]:
    for name, inputs in networks.INPUTS.items():
        artifact = workshop.another_source(networks_file, name, inputs)
        for step in chain:
            artifact = workshop.run(STEPS.get(step), artifact, workshop.new_folder())
        yield name, Graph.from_dict(workshop.describe(artifact))


def test_every_operator_has_one_place(case: Case, graphs: Any) -> None:
    profile = profile_of(case.rules)
    for name, graph in graphs(case.format).items():
        placement = judge_graph(graph, profile, converted=True).placement
        expected = [(operator.index, operator.type) for operator in graph.operators]
        assert [(placed.index, placed.type) for placed in placement.operators] == expected, name
        for placed in placement.operators:
            check_placed(placed, placement.cpu_only)
        check_totals(placement)
        again = judge_graph(graph, profile, converted=True).placement
        assert again == placement, f"{name} is judged otherwise the second time"


def check_placed(placed: Placed, cpu_only: bool) -> None:
    """``cpu_only``: there is no other place, so that the CPU needs no reason."""
    assert placed.cause in get_args(Cause)
    assert placed.placement in PLACES[placed.cause], placed
    assert placed.status, placed
    if placed.cause == "mapped" or (cpu_only and placed.cause == "host"):
        assert (placed.reason, placed.remedy) == (None, None), placed
    else:
        assert placed.reason, placed
    if placed.cause == "rejected":
        assert placed.remedy, f"{placed}: a remedy, or that none is known"


def check_totals(placement: Placement) -> None:
    totals = placement.totals()
    mapped = sum(placed.placement == "accelerator" for placed in placement.operators)
    unknown = sum(placed.cause == "unknown" for placed in placement.operators)
    shown = None if unknown and not placement.cpu_only else mapped
    assert (totals["operators"], totals["accelerator"]) == (len(placement.operators), shown)
    assert totals["not_known"] == unknown
    assert (placement.verdict() == "fits") <= all(placed.cause in ("mapped", "host") for placed in placement.operators)
    assert placement.subgraphs is None or (placement.subgraphs > 0) == (mapped > 0)
    for violation in placement.violations:
        assert violation.message and violation.remedy and violation.source, violation


@pytest.mark.parametrize("domain", ["", "com.example"])
def test_an_operator_that_nobody_knows_is_never_mapped(case: Case, domain: str) -> None:
    """A table whose list is closed refuses it, for one that is not its place is not known; nothing else of the model is
    taken for all of it."""
    attributes = {"domain": domain} if domain else {}
    tensors = (TensorInfo("x", (1, 8, 8, 8), "int8"), TensorInfo("y", (1, 8, 8, 8), "int8"))
    for type_ in ("Frobnicate",) if case.format != "tflite" else ("FROBNICATE", "Frobnicate", "BUILTIN_999"):
        operator = Operator(0, type_, (0,), (1,), 1, "strange", attributes)
        graph = Graph(case.format, tensors, (operator,), (0,), (1,), {"opset": 13} if case.format == "onnx" else {})
        placement = RULES.get(case.rules).place(graph, profile_of(case.rules))
        (placed,) = placement.operators
        check_placed(placed, placement.cpu_only)
        assert placed.placement != "accelerator"
        assert placement.verdict() != "fits"
        if table_of(case).get("unlisted") == "not_known":
            assert (placed.cause, placement.verdict()) == ("unknown", "not_known")


def test_operators_of_the_table_exist(case: Case) -> None:
    table = table_of(case)
    named = set(table["operators"])
    for section in ("refused", "newer", "dynamic_unless_constant"):
        named |= set(table.get(section, ()))
    remedied = {name.partition("/")[0] for name in table.get("remedies", {}) if name[0].isupper()}
    assert named
    assert not _unknown(named | remedied, case.format)


def _unknown(names: set[str], format_name: str) -> set[str]:
    """Those without a domain of their own that are not in ONNX's schemas, in the enumeration of the current TensorFlow
    Lite, or, of OpenVINO's, which has neither, that no function of an operator set makes."""
    names = {name for name in names if "." not in name}
    if format_name == "onnx":
        return names - {schema.name for schema in onnx.defs.get_all_schemas_with_history()} - EXPERIMENTAL
    if format_name == "openvino":
        openvino = pytest.importorskip("openvino")
        made = {each.replace("_", "") for number in range(1, 17) for each in dir(getattr(openvino, f"opset{number}"))}
        return {name for name in names - UNMADE if name.lower() not in made}
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    return names - {name for name in vars(schema.BuiltinOperator) if name.isupper()} - CUSTOM


def test_facts_have_sources(case: Case) -> None:
    table = table_of(case)
    if "sources" not in table:
        assert table["source"].strip(), "of the whole table"
        assert table["title"].strip()
        return
    sources: Mapping[str, str] = table["sources"]
    assert all(text.strip() for text in sources.values())
    for name, row in table["operators"].items():
        assert row["source"] and set(row["source"]) <= set(sources), name
        for limit in row.get("limits", ()):
            assert limit["source"].strip(), (name, limit)


def test_steps_that_remedies_name_exist(case: Case) -> None:
    texts = list(_texts(table_of(case).get("remedies", {})))
    named = {word for text in texts for word in re.findall(r"\b(?:onnx|tflite|torch|openvino)_[a-z0-9_]+", text)}
    assert not named - set(STEPS.names())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts([*value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
