"""Bounds what nncf keeps while it calibrates: one running mean a tensor instead of every sample's.

nncf 3.4 collects the per-channel means of all samples and averages them at the end: 140 kB a sample for
EfficientNet-Lite0. The mean of the samples' means is the same however it is summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def running_means() -> Iterator[None]:
    """While this lasts, nncf's MeanAggregator holds a float64 sum over the samples seen so far.

    Where a release of nncf builds that class otherwise, it is left alone: memory then grows, results do not change.
    """
    from nncf.common.tensor_statistics import collectors

    aggregator = collectors.MeanAggregator
    known = {"_register_reduced_input_impl", "_aggregate_impl"} <= set(dir(aggregator))
    if not known or not issubclass(aggregator, collectors.OfflineAggregatorBase):
        yield
        return
    aggregator._register_reduced_input_impl = _add
    aggregator._aggregate_impl = _divide
    try:
        yield
    finally:
        # Both are inherited; the class itself has neither.
        del aggregator._register_reduced_input_impl
        del aggregator._aggregate_impl


def _add(self: Any, tensor: Any) -> None:
    """Keep one tensor in the aggregator's own container: the sum over the samples, whose shapes must be equal."""
    import nncf.tensor.functions as functions
    from nncf.tensor import TensorDataType

    # Axis 0 is that of the samples (nncf's class takes no axes without it), the others are those of a sample, plus one.
    within = tuple(axis - 1 for axis in self._aggregation_axes if axis != 0)
    if within:
        tensor = functions.mean(tensor, axis=within, keepdims=True)
    total = functions.astype(tensor, TensorDataType.float64)
    if self._container:
        if self._container[0].shape != total.shape:
            raise ValueError(f"a statistic changed its shape from {self._container[0].shape} to {total.shape}")
        self._container[0] = self._container[0] + total
    else:
        self._container.append(total)


def _divide(self: Any) -> Any:
    import nncf.tensor.functions as functions
    from nncf.tensor import TensorDataType

    return functions.astype(self._container[0] / self._collected_samples, TensorDataType.float32)
