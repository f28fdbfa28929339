"""Small models with known answers, of scikit-learn's conventions, to be evaluated."""

import numpy as np
from sklearn.base import BaseEstimator


class Mean(BaseEstimator):
    """The mean of the training ratings plus `shift`; it has no seed."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def fit(self, ratings):
        assert not hasattr(self, "mean_"), "a fit that follows another is not fresh"
        self.mean_ = float(ratings.values.mean())
        return self

    def predict(self, users, items, unknown="error"):
        assert unknown == "mean"
        return np.full(len(users), self.mean_ + self.shift)


class BiasedMean(Mean):
    """Damped means of users and items, and noise drawn by the seed; asked by labels where there are some."""

    def __init__(self, damping=5.0, jitter=0.1, seed=0):
        self.damping, self.jitter, self.seed = damping, jitter, seed

    def fit(self, ratings):
        super().fit(ratings)
        self.labels_ = ratings.user_labels, ratings.item_labels
        rng, self.biases_, left = np.random.default_rng(self.seed), [], ratings.values - self.mean_
        for indices, rows in zip((ratings.users, ratings.items), ratings.shape, strict=True):
            sums = np.bincount(indices, weights=left, minlength=rows)
            counts = np.bincount(indices, minlength=rows)
            bias = sums / (counts + self.damping) + self.jitter * rng.normal(size=rows)
            self.biases_.append(np.where(counts > 0, bias, 0))
            left = left - self.biases_[-1][indices]
        return self

    def predict(self, users, items, unknown="error"):
        assert unknown == "mean"
        pairs = [
            np.asarray(asked) if labels is None else np.array([labels.index(one) for one in asked])
            for asked, labels in zip((users, items), self.labels_, strict=True)
        ]
        return self.mean_ + sum(bias[index] for bias, index in zip(self.biases_, pairs, strict=True))
