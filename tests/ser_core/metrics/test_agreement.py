"""Concordance, correlation and error of ratings against scipy, torchmetrics and numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchmetrics.functional.regression import concordance_corrcoef

from ser_core.metrics.agreement import ccc, moments, of_flat, pearson, rmse


def sums_of(truth: np.ndarray, told: np.ndarray) -> np.ndarray:
    return moments(truth.astype(float), told.astype(float)).sum(axis=0)


def test_ccc_by_hand() -> None:
    """Means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 2 * 2/3 / (2/3 + 2/3 + 1)."""
    sums = sums_of(np.array([1, 2, 3]), np.array([2, 3, 4]))
    assert float(ccc(sums)) == pytest.approx((4 / 3) / (4 / 3 + 1))
    assert float(pearson(sums)) == pytest.approx(1)
    assert float(rmse(sums)) == pytest.approx(1)


def test_agrees_with_scipy_and_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(4, 1.2, 200)
    told = 0.5 * truth + rng.normal(2.5, 0.4, 200)
    sums = sums_of(truth, told)
    assert float(pearson(sums)) == pytest.approx(stats.pearsonr(truth, told).statistic)
    assert float(rmse(sums)) == pytest.approx(math.sqrt(np.mean((truth - told) ** 2)))
    biased = (2 * np.cov(truth, told, ddof=0)[0, 1]) / (truth.var() + told.var() + (truth.mean() - told.mean()) ** 2)
    assert float(ccc(sums)) == pytest.approx(biased)
    reference = concordance_corrcoef(torch.from_numpy(told), torch.from_numpy(truth)).item()
    assert float(ccc(sums)) == pytest.approx(reference, rel=0.01)  # theirs has variances over n - 1


def test_moments_add_up_over_clips_and_dimensions_stay_apart() -> None:
    rng = np.random.default_rng(1)
    truth, told = rng.normal(size=(2, 40, 3))
    parts = moments(truth[:15], told[:15]).sum(axis=0) + moments(truth[15:], told[15:]).sum(axis=0)
    np.testing.assert_allclose(ccc(parts), [float(ccc(sums_of(*each))) for each in zip(truth.T, told.T, strict=True)])
    np.testing.assert_array_equal(of_flat(parts.ravel().tolist()), parts)


def test_what_nothing_defines_is_nan_and_a_constant_prediction_agrees_with_nothing() -> None:
    truth, still = np.array([1.0, 2.0, 3.0]), np.full(3, 2.0)
    assert float(ccc(sums_of(truth, still))) == 0
    assert math.isnan(float(pearson(sums_of(truth, still))))
    assert math.isnan(float(ccc(sums_of(still, still))))
    assert math.isnan(float(ccc(np.zeros(6))))
    assert math.isnan(float(rmse(np.zeros(6))))


@given(values=st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=20))
def test_concordance_is_never_above_correlation(values: list[tuple[float, float]]) -> None:
    truth, told = np.array(values).T
    sums = sums_of(truth, told)
    if not (math.isnan(float(ccc(sums))) or math.isnan(float(pearson(sums)))):
        assert abs(float(ccc(sums))) <= abs(float(pearson(sums))) + 1e-6
