"""Resizes by factors that sizes do not tell: the odd ones, by example."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ..onnx_models import apply, check_equal, node, operators, save


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("factors", [(1.0, 1.25), (1.25, 1.25), (1.0, 1.0)])
def test_factors_that_leave_the_sizes_as_they_are(factors: tuple[float, float], mode: str, tmp_path: Path) -> None:
    """ONNX Runtime copies the picture, whatever the factor is; 2 by 1.25 are 2 again."""
    resize = node("Resize", "x", "", "scales", "y", mode=mode, coordinate_transformation_mode="half_pixel")
    scales = np.array([1, 1, *factors], np.float32)
    source = save(tmp_path / "source.onnx", [resize], (1, 3, 2, 2), scales=scales)
    made = apply("onnx_rewrite_resizes", source, tmp_path / "made")
    assert operators(made) == ["Resize"]
    check_equal(source, made, (1, 3, 2, 2), rounding=False)
