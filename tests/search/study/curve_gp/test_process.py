"""The Gaussian process beside scikit-learn's, and its gradient beside finite differences."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from search.study.curve_gp.process import Posterior, Scales, fitted, negative_log_likelihood, prior

OWNER = np.array([0, 1, 1, 1, 2])
RNG = np.random.default_rng(0)
POINTS, ASKED, AWAITED = RNG.random((40, 5)), RNG.random((25, 5)), RNG.random((6, 5))
TARGETS, VARIANCES = RNG.normal(size=40), RNG.random(40)
SCALES = Scales(np.array([0.4, 1.3, 0.8]), 0.7, 0.3)
NOBODY = np.zeros((0, 5))


def reference(points: np.ndarray, targets: np.ndarray, noise: np.ndarray) -> GaussianProcessRegressor:
    kernel = ConstantKernel(SCALES.signal) * Matern(length_scale=SCALES.lengths[OWNER], nu=2.5)
    return GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(points, targets)


def test_the_posterior_is_that_of_scikit_learn() -> None:
    posterior = Posterior(SCALES, POINTS, OWNER, TARGETS, VARIANCES, NOBODY)
    mean, deviation = posterior.mean_and_deviation(ASKED)
    other = reference(POINTS, TARGETS, VARIANCES + SCALES.luck)
    expected, spread = other.predict(ASKED, return_std=True)
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    np.testing.assert_allclose(deviation, spread, atol=1e-6)
    np.testing.assert_allclose(posterior.mean(ASKED), mean)
    np.testing.assert_allclose(posterior.means, other.predict(POINTS), atol=1e-6)


def test_awaited_points_count_as_observed_at_their_mean() -> None:
    alone = Posterior(SCALES, POINTS, OWNER, TARGETS, VARIANCES, NOBODY)
    believing = Posterior(SCALES, POINTS, OWNER, TARGETS, VARIANCES, AWAITED)
    noise = np.concatenate([VARIANCES, np.zeros(len(AWAITED))]) + SCALES.luck
    told = reference(np.concatenate([POINTS, AWAITED]), np.concatenate([TARGETS, alone.mean(AWAITED)]), noise)
    mean, deviation = believing.mean_and_deviation(ASKED)
    expected, spread = told.predict(ASKED, return_std=True)
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    np.testing.assert_allclose(deviation, spread, atol=1e-6)
    assert (deviation < alone.mean_and_deviation(ASKED)[1]).all()


def squared_by_knob(points: np.ndarray) -> np.ndarray:
    return np.stack([
        np.square(points[:, None, knob == OWNER] - points[None][..., knob == OWNER]).sum(axis=2) for knob in range(3)
    ])  # fmt: skip


def test_the_likelihood_is_that_of_scikit_learn_and_its_gradient_that_of_finite_differences() -> None:
    apart = squared_by_knob(POINTS)
    theta = np.log([*SCALES.lengths, SCALES.signal, SCALES.luck])
    value, _ = negative_log_likelihood(theta, apart, TARGETS, VARIANCES)
    wanted = -reference(POINTS, TARGETS, VARIANCES + SCALES.luck).log_marginal_likelihood_value_
    assert value + 20 * np.log(2 * np.pi) == pytest.approx(wanted, abs=1e-5)

    def at(theta: np.ndarray, part: int) -> float | np.ndarray:
        return negative_log_likelihood(theta, apart, TARGETS, VARIANCES)[part]

    assert check_grad(lambda theta: at(theta, 0), lambda theta: at(theta, 1), theta) < 1e-4


def test_a_fit_finds_the_knobs_that_matter_and_how_much_is_luck() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((150, 3))
    function = np.sin(6 * points[:, 0])
    targets = function / function.std() * np.sqrt(0.75) + np.sqrt(0.25) * rng.normal(size=150)
    scales = fitted(points, np.arange(3), targets - targets.mean(), np.zeros(150))
    assert scales.lengths[0] < 0.5 * scales.lengths[1:].min()
    assert scales.luck == pytest.approx(0.25, abs=0.12)


def test_without_an_observation_that_tells_anything_the_fit_stays_near_the_prior() -> None:
    scales = fitted(np.zeros((1, 5)), OWNER, np.zeros(1), np.full(1, 1e6))
    medians = prior(3)
    np.testing.assert_allclose(scales.lengths, medians.lengths, rtol=1e-3)
    assert (scales.signal, scales.luck) == pytest.approx((medians.signal, medians.luck), rel=1e-3)
