"""Logistic regression over named features, which are hashed to a fixed number of weights.

No name is stored, so a run contains no words of its posts beyond what the tagger's vocabulary has.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BITS = 18

MAX_ITERATIONS = 80

Features = Mapping[str, float]
"""The value of each feature by its name."""

Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


def add_up(places: np.ndarray[Any, np.dtype[np.int64]], values: Vector, size: int) -> Vector:
    """Add the values at each of `size` places."""
    return np.bincount(places, values, size).astype(np.float64, copy=False)


def hash_name(name: str) -> int:
    """The place of a feature's weight, which is the same on every machine."""
    return zlib.crc32(name.encode()) & ((1 << BITS) - 1)


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic regression. `temperature` divides its log odds so that they are calibrated."""

    weights: np.ndarray[tuple[int], np.dtype[np.float32]]
    temperature: float = 1.0

    @classmethod
    def from_prior(cls, prior: Features) -> Logistic:
        """A regression with these weights, before any training."""
        return cls(_place(prior).astype(np.float32))

    @classmethod
    def fit(
        cls,
        examples: Sequence[Features],
        labels: Sequence[bool],
        groups: Sequence[int],
        variance: float,
        prior: Features | None = None,
    ) -> Logistic:
        """Fit the weights, which are normally distributed around `prior` with this variance, and the temperature.

        The temperature is measured on held-out examples; those of one group are held out together.
        """
        matrix, targets = _Matrix.from_features(examples), np.asarray(labels, np.float64)
        start = _place(prior or {})
        folds = np.asarray(groups) % 3
        held_out = np.zeros(len(targets))
        for fold in range(3):
            outside, inside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            weights = _fit(matrix.select(outside), targets[outside], start, variance)
            held_out[inside] = matrix.select(inside).multiply(weights)
        temperature = _fit_temperature(held_out, targets)
        return cls(_fit(matrix, targets, start, variance).astype(np.float32), temperature)

    def predict(self, examples: Sequence[Features]) -> Vector:
        """The probability of each example."""
        return sigmoid(self.log_odds(examples))

    def log_odds(self, examples: Sequence[Features]) -> Vector:
        """The calibrated log odds of each example."""
        return _Matrix.from_features(examples).multiply(self.weights.astype(np.float64)) / self.temperature

    def contributions(self, features: Features) -> list[tuple[str, float]]:
        """How much each feature adds to the log odds, the strongest first."""
        parts = [
            (name, float(self.weights[hash_name(name)]) * value / self.temperature)
            for name, value in features.items()
        ]
        return sorted(parts, key=lambda part: -abs(part[1]))


def sigmoid(log_odds: Vector) -> Vector:
    """Probabilities of log odds."""
    return 1 / (1 + np.exp(-np.clip(log_odds, -50, 50)))


def _place(values: Features) -> Vector:
    weights = np.zeros(1 << BITS)
    for name, value in values.items():
        weights[hash_name(name)] += value
    return weights


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Hashed features by row: columns and values of row i are from `starts[i]` to `starts[i + 1]`."""

    columns: np.ndarray[tuple[int], np.dtype[np.int64]]
    values: Vector
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]

    @classmethod
    def from_features(cls, examples: Sequence[Features]) -> _Matrix:
        columns = np.fromiter((hash_name(name) for one in examples for name in one), np.int64)
        values = np.fromiter((value for one in examples for value in one.values()), np.float64)
        return cls(columns, values, np.cumsum([0, *map(len, examples)]))

    def select(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> _Matrix:
        lengths = np.diff(self.starts)[rows]
        starts = np.cumsum([0, *lengths])
        places = np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(starts[-1])
        return _Matrix(self.columns[places], self.values[places], starts)

    def rows(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def multiply(self, weights: Vector) -> Vector:
        """The sum of each row's values times their weights."""
        products = self.values * weights[self.columns]
        return add_up(self.rows(), products, len(self.starts) - 1)


def _fit(matrix: _Matrix, targets: Vector, start: Vector, variance: float) -> Vector:
    """Minimize the negative log posterior by L-BFGS, over the weights that some example has."""
    import torch

    used, columns = np.unique(matrix.columns, return_inverse=True)
    if not len(used):
        return start
    rows, center = matrix.rows(), start[used]
    weights = torch.tensor(center, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    def evaluate() -> float:
        values = weights.detach().numpy()
        log_odds = add_up(rows, matrix.values * values[columns], len(targets))
        error = sigmoid(log_odds) - targets
        gradient = add_up(columns, matrix.values * error[rows], len(used)) + (values - center) / variance
        weights.grad = torch.from_numpy(gradient)
        loss = np.logaddexp(0, log_odds) - targets * log_odds
        return float(loss.sum() + ((values - center) ** 2).sum() / (2 * variance))

    optimizer.step(evaluate)
    fitted = start.copy()
    fitted[used] = weights.detach().numpy()
    return fitted


def _fit_temperature(log_odds: Vector, targets: Vector) -> float:
    """The temperature between 1/2 and 2 under which held-out examples are most probable."""
    temperatures = np.geomspace(0.5, 2, 61)
    scaled = log_odds / temperatures[:, None]
    losses = (np.logaddexp(0, scaled) - targets * scaled).sum(axis=1)
    return float(temperatures[losses.argmin()])
