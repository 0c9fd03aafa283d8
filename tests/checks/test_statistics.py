"""Intervals against published tables, scipy, and their own promise of coverage."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from edgekit.checks.statistics import bootstrap, resampled_means, wilson


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_in_newcombes_table(successes: int, total: int, low: float, high: float) -> None:
    """R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998),
    table I, method 3."""
    assert wilson(successes, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 3000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_is_scipys(pair: tuple[int, int]) -> None:
    expected = scipy.stats.binomtest(*pair).proportion_ci(0.95, method="wilson")
    assert wilson(*pair) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_at_the_ends() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(7, 7)[1] == 1.0
    assert wilson(0, 7)[0] == 0.0


def paired_scores(seed: int, count: int, changed: float = 0.1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    source = generator.random(count) < 0.8
    artifact = np.where(generator.random(count) < changed, generator.random(count) < 0.5, source)
    return np.stack([source, artifact], axis=1).astype(float)


def drop(means: np.ndarray) -> np.ndarray:
    return 100 * (means[..., 0] - means[..., 1])


@pytest.mark.parametrize("kinds", ["few", "many"])
def test_paired_bootstrap_is_scipys(kinds: str) -> None:
    scores = paired_scores(0, 400)
    if kinds == "many":
        scores = scores + np.random.default_rng(1).normal(0, 0.3, scores.shape)
    expected = scipy.stats.bootstrap(
        (scores[:, 0], scores[:, 1]),
        lambda a, b, axis=-1: 100 * (a.mean(axis=axis) - b.mean(axis=axis)),
        paired=True,
        method="percentile",
        n_resamples=10_000,
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert bootstrap(scores, drop) == pytest.approx((expected.low, expected.high), abs=0.25)


def test_bootstrap_repeats_with_its_seed() -> None:
    scores = paired_scores(1, 100) + np.random.default_rng(0).random((100, 2))
    assert bootstrap(scores, drop, seed=0) == bootstrap(scores, drop, seed=0)
    assert bootstrap(scores, drop, seed=0) != bootstrap(scores, drop, seed=1)


def test_samples_that_are_all_alike_leave_no_doubt() -> None:
    assert bootstrap(np.ones((50, 2)), drop) == (0.0, 0.0)


def test_pairing_narrows_the_interval() -> None:
    scores = paired_scores(2, 400, changed=0.05)
    low, high = bootstrap(scores, drop)
    unpaired = 2 * 1.96 * 100 * np.sqrt(2 * 0.8 * 0.2 / 400)
    assert high - low < unpaired / 2


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_resampled_means_have_the_spread_of_the_mean(noise: float) -> None:
    """Both ways of drawing: few kinds of row (multinomial), many (by number)."""
    scores = paired_scores(3, 500) + np.random.default_rng(0).normal(0, noise, (500, 2))
    means = resampled_means(scores, 10_000, seed=0)
    assert means.shape == (10_000, 2)
    np.testing.assert_allclose(means.mean(axis=0), scores.mean(axis=0), atol=2e-3)
    np.testing.assert_allclose(np.cov(means.T), np.cov(scores.T, bias=True) / 500, rtol=0.1, atol=1e-5)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """200 data sets of 150 samples whose true drop is 5 points; 95 % should cover it, within what chance allows
    here."""
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        source = generator.random(150) < 0.8
        artifact = source & (generator.random(150) < 0.9375)  # 0.8 * 0.0625 = 0.05
        low, high = bootstrap(np.stack([source, artifact], 1).astype(float), drop, resamples=1000)
        covered += low <= 5.0 <= high
    assert 0.88 <= covered / 200 <= 0.99
