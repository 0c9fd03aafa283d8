import numpy as np
import pytest

from edgekit.formats.constants import is_broken

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("values", "broken"),
    [
        ([1.0, 2.0], False),
        ([1.0, NAN], True),
        ([1.0, INF], True),
        ([0.0, -INF, 0.0], False),
        ([1.0, 2.0, -INF], True),
        ([-INF, -INF], False),
        ([-INF, NAN], True),
        ([], False),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_nan_and_infinity_but_not_masks(values: list[float], broken: bool, dtype: type) -> None:
    assert is_broken(np.array(values, dtype)) is broken


def test_integers_are_never_broken() -> None:
    assert not is_broken(np.array([1, 2]))
