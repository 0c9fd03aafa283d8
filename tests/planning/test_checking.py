"""Which steps a check takes a model through, with and without steps that a remedy named."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.devices import Profile, load_profiles
from edgekit.devices.placement import Placed, Placement, Violation
from edgekit.errors import ExcludedError, InputError
from edgekit.planning.checking import (
    applicable,
    choose_precision,
    in_order,
    is_compiled_for,
    mark_remedies,
    pass_over,
    remedy_steps,
    steps_to_judged,
)


def profile(name: str) -> Profile:
    return load_profiles().find(name)


def names(target: str, given: str, *named: str, precision: str = "") -> list[str]:
    chosen = profile(target)
    steps = steps_to_judged(chosen, choose_precision(chosen, precision), given, [{name: {}} for name in named])
    return [name for step in steps for name in step]


@pytest.mark.parametrize(
    ("target", "given", "named", "expected"),
    [
        ("coral", "torch", (), ["torch_to_onnx", "onnx_simplify", "onnx_to_tflite"]),
        ("coral", "onnx", (), ["onnx_simplify", "onnx_to_tflite"]),
        ("coral", "tflite", (), []),
        ("jetson-nano", "torch", (), ["torch_to_onnx", "onnx_simplify"]),
        ("jetson-nano", "onnx", (), []),
        # Where recipes have them: after onnx_simplify.
        (
            "coral",
            "torch",
            ("onnx_cut_tail",),
            ["torch_to_onnx", "onnx_simplify", "onnx_cut_tail", "onnx_to_tflite"],
        ),
        ("coral", "onnx", ("onnx_pool_means",), ["onnx_simplify", "onnx_pool_means", "onnx_to_tflite"]),
        ("jetson-nano", "onnx", ("onnx_replace_activations",), ["onnx_simplify", "onnx_replace_activations"]),
        ("onnxruntime-cpu", "onnx", ("onnx_pool_means",), ["onnx_simplify", "onnx_pool_means"]),
        # One of the route's own among them says the order.
        (
            "coral",
            "torch",
            ("onnx_fix_shapes", "onnx_simplify", "onnx_pool_means"),
            ["torch_to_onnx", "onnx_fix_shapes", "onnx_simplify", "onnx_pool_means", "onnx_to_tflite"],
        ),
        (
            "coral",
            "torch",
            ("torch_to_onnx", "onnx_pool_means"),
            ["torch_to_onnx", "onnx_pool_means", "onnx_simplify", "onnx_to_tflite"],
        ),
        # Sizes are fixed before onnx_simplify folds what follows from them.
        (
            "coral",
            "torch",
            ("onnx_fix_shapes", "onnx_pool_means"),
            ["torch_to_onnx", "onnx_fix_shapes", "onnx_simplify", "onnx_pool_means", "onnx_to_tflite"],
        ),
        ("ncs2", "onnx", ("onnx_fix_shapes",), ["onnx_fix_shapes", "onnx_simplify"]),
    ],
)
def test_steps_to_what_is_judged(target: str, given: str, named: tuple[str, ...], expected: list[str]) -> None:
    assert names(target, given, *named) == expected


def test_the_opset_is_that_of_the_targets_route() -> None:
    """TensorRT 8.2 reads up to opset 13, OpenVINO 2021.4 too; both routes say so."""
    for target in ("jetson-nano", "ncs2"):
        chosen = profile(target)
        for named in ([], [{"onnx_replace_activations": {}}], [{"torch_to_onnx": {}}, {"onnx_pool_means": {}}]):
            first = steps_to_judged(chosen, chosen.default_precision, "torch", named)[0]
            assert first["torch_to_onnx"]["opset"] == 13
    said = steps_to_judged(profile("jetson-nano"), "fp16", "torch", [{"torch_to_onnx": {"opset": 12}}])
    assert said[0] == {"torch_to_onnx": {"opset": 12}}


@pytest.mark.parametrize(
    ("target", "given", "named", "said"),
    [
        ("coral", "tflite", "onnx_pool_means", "takes onnx, but the model is tflite"),
        ("coral", "onnx", "tflite_int8", "measures ranges"),
        ("coral", "tflite", "tflite_to_edgetpu", "runs edgetpu_compiler"),
        ("jetson-nano", "edgetpu", "onnx_pool_means", "compiled already, and not for Jetson Nano"),
    ],
)
def test_steps_that_do_not_fit(target: str, given: str, named: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        names(target, given, named)
    assert raised.value.remedy


def test_a_format_that_the_route_does_not_take() -> None:
    with pytest.raises(ExcludedError, match="format tflite"):
        names("jetson-nano", "tflite")


def test_precisions() -> None:
    assert choose_precision(profile("jetson-nano"), "") == "fp16"
    assert choose_precision(profile("jetson-nano"), "fp32") == "fp32"
    with pytest.raises(ExcludedError, match="no 8-bit integer arithmetic"):
        choose_precision(profile("jetson-nano"), "int8")


def test_compiled_files_are_those_of_the_profiles_own_compiler() -> None:
    assert is_compiled_for(profile("coral"), "int8", "edgetpu")
    assert is_compiled_for(profile("raspberry-pi-4-coral"), "int8", "edgetpu")
    assert not is_compiled_for(profile("coral"), "int8", "tflite")
    assert not is_compiled_for(profile("jetson-nano"), "fp16", "edgetpu")


def test_steps_that_remedies_name() -> None:
    def placed(index: int, remedy: str | None) -> Placed:
        return Placed(index, "X", "", "cpu", "", "rejected", "", remedy)

    operators = (
        placed(0, "add the step onnx_pool_means if it is a mean; else the step no_such_step"),
        placed(1, "add the step onnx_replace_activations"),
        placed(2, "add the step onnx_pool_means"),
        placed(3, None),
    )
    broken = (Violation("dynamic_shape", "", "fix it (the step onnx_fix_shapes, then onnx_simplify)"),)
    placement = Placement("predicted", operators, violations=broken)
    every = ["onnx_fix_shapes", "onnx_simplify", "onnx_pool_means", "onnx_replace_activations"]
    assert remedy_steps(placement) == [{name: {}} for name in every]
    taken = [{"onnx_simplify": {}}, {"onnx_pool_means": {}}]
    assert remedy_steps(placement, taken) == [{every[0]: {}}, {every[3]: {}}]
    coral = profile("coral")
    steps = [{name: {}} for name in every]
    assert applicable([*steps, {"tflite_int8": {}}], coral, "int8", "onnx") == steps
    assert applicable(steps, coral, "int8", "tflite") == []


def test_options_that_remedies_name() -> None:
    """A step that is taken already without them is named again with them; two forms of one step are one."""
    exact = Placed(0, "X", "", "cpu", "", "rejected", "", "add the step onnx_replace_activations:prelu=exact, which")
    plain = Placed(1, "Y", "", "cpu", "", "rejected", "", "add the step onnx_replace_activations, which")
    both = Placement("predicted", (plain, exact))
    told: dict[str, dict[str, Any]] = {"onnx_replace_activations": {"prelu": "exact"}}
    assert remedy_steps(both) == remedy_steps(both, [{"onnx_replace_activations": {}}]) == [told]
    assert remedy_steps(both, [told]) == []


def test_the_order_of_several_steps() -> None:
    """That of docs/remedies.md, whatever the order of the operators."""
    named = ["onnx_split_large", "onnx_pool_means", "onnx_cut_tail", "onnx_lower_rank", "onnx_convolve_shuffles"]
    ordered = [name for written in in_order({name: {}} for name in named) for name in written]
    assert ordered == [
        "onnx_convolve_shuffles",
        "onnx_lower_rank",
        "onnx_pool_means",
        "onnx_cut_tail",
        "onnx_split_large",
    ]


def test_remedies_that_cannot_help_any_more_are_marked() -> None:
    texts = ["add the step onnx_pool_means", "onnx_widen_1d", "onnx_replace_activations:prelu=exact", "make it smaller"]
    operators = tuple(Placed(n, "X", "", "cpu", "", "rejected", "", text) for n, text in enumerate(texts))
    violation = Violation("rank", "", "add the steps onnx_pool_means and onnx_widen_1d")
    taken: list[dict[str, dict[str, Any]]] = [{"onnx_pool_means": {}}, {"onnx_replace_activations": {}}]
    marked = mark_remedies(Placement("predicted", operators, violations=(violation,)), taken, [{"onnx_widen_1d": {}}])
    assert [placed.remedy for placed in marked.operators] == [
        "add the step onnx_pool_means (taken already: it leaves this one)",
        "onnx_widen_1d (tried here: it finds nothing to rewrite)",
        *texts[2:],  # not taken with this option
    ]
    assert str(marked.violations[0].remedy).endswith("(tried here: it finds nothing to rewrite)")
    marked = mark_remedies(
        Placement("predicted", operators, violations=(violation,)), taken, [], [{"onnx_widen_1d": {}}]
    )
    assert marked.operators[1].remedy == "onnx_widen_1d (tried here: it failed)"
    assert str(marked.violations[0].remedy).endswith("(tried here: it failed)")


def test_the_next_remedy_stands_for_one_that_cannot_help() -> None:
    """The next that names another step, or words; where there is none, it stays."""
    shuffles, lowers, words = "add the step onnx_convolve_shuffles", "add the step onnx_lower_rank", "use fewer axes"
    told = [(shuffles, (lowers, words)), (shuffles, (words,)), (shuffles, ()), (lowers, (words,)), (None, ())]
    operators = tuple(
        Placed(place, "X", "", "cpu", "", "rejected", "", remedy, alternatives=others)
        for place, (remedy, others) in enumerate(told)
    )
    violation = Violation("rank", "", shuffles, alternatives=(lowers,))
    placement = Placement("predicted", operators, violations=(violation,))
    assert pass_over(placement, [], []) == placement
    for taken, idle in (([{"onnx_convolve_shuffles": {}}], []), ([], [{"onnx_convolve_shuffles": {}}])):
        passed = pass_over(placement, taken, idle)
        assert [placed.remedy for placed in passed.operators] == [lowers, words, shuffles, lowers, None]
        assert passed.operators[0].alternatives == (words,)
        assert [(one.remedy, one.alternatives) for one in passed.violations] == [(lowers, ())]
    both: list[dict[str, dict[str, Any]]] = [{"onnx_convolve_shuffles": {}}, {"onnx_lower_rank": {}}]
    assert [one.remedy for one in pass_over(placement, [], both).operators] == [words, words, shuffles, words, None]
