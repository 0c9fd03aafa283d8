"""Costs against numbers worked by hand and against brute force."""

import itertools

import numpy as np
import pytest

from edgekit.formats.costs import (
    convolution_macs,
    count_elements,
    einsum_macs,
    matrix_product_macs,
    transposed_convolution_macs,
)


def test_first_layer_of_alexnet() -> None:
    # Krizhevsky et al. 2012: 96 kernels of 11x11x3 at 55x55 places are 105,415,200 multiply-accumulates.
    assert convolution_macs((1, 96, 55, 55), (11, 11), 3) == 105_415_200


def test_depthwise_convolution_has_one_input_channel() -> None:
    # MobileNet (Howard et al. 2017), first depthwise layer: 32 channels of 112x112, 3x3.
    assert convolution_macs((1, 32, 112, 112), (3, 3), 1) == 32 * 112 * 112 * 9


def test_transposed_convolution_counts_every_product_of_a_loop() -> None:
    channels_in, channels_out, size, kernel = 3, 2, 4, 2
    loop = sum(1 for _ in itertools.product(range(channels_in * size * size), range(channels_out * kernel * kernel)))
    assert transposed_convolution_macs((1, channels_in, size, size), (kernel, kernel), channels_out) == loop


def test_matrix_product_of_a_linear_layer() -> None:
    assert matrix_product_macs((1, 1000), 1280) == 1_280_000


def test_a_free_size_counts_as_one() -> None:
    assert count_elements((None, 3, 2)) == 6
    assert convolution_macs((None, 8, 4, 4), (1, 1), 3) == convolution_macs((1, 8, 4, 4), (1, 1), 3)
    assert matrix_product_macs((None, 4), None) == 4


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("ij,jk->ik", [(2, 3), (3, 5)], 2 * 3 * 5),
        ("bhqd,bhkd->bhqk", [(1, 4, 16, 8), (1, 4, 16, 8)], 4 * 16 * 16 * 8),
        ("...ij,...jk->...ik", [(7, 2, 3), (7, 3, 5)], 7 * 2 * 3 * 5),
        ("...ij,jk->...ik", [(7, 2, 3), (3, 5)], 7 * 2 * 3 * 5),
        ("i->", [(9,)], 0),
    ],
)
def test_einsum(equation: str, shapes: list[tuple[int, ...]], macs: int) -> None:
    assert einsum_macs(equation, shapes) == macs
    np.einsum(equation, *(np.zeros(shape) for shape in shapes))  # the equation is a valid one
