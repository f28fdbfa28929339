"""What one does with a model that is fitted: predict, recommend, look for similar items."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from mflib import checks, sparse
from mflib.axis import listed
from mflib.ratings import Ratings
from mflib.rows import unknown_row


class Recommended(NamedTuple):
    """An item and the rating predicted for it."""

    item: Any
    rating: float


class Similar(NamedTuple):
    """An item and the cosine of its factors with those of the item asked about."""

    item: Any
    cosine: float


class Predictor:
    """The part of `mflib.Factorization` that uses what was learned."""

    def _set(self, U, V, axes, seen, biased, **learned):
        """Have all that is learned, from `fit` or from a file.

        Rows are those of `mflib.rows`; behind the last one comes that of whatever is unknown.
        """
        self._U, self._V = (np.vstack([W, unknown_row(W, side)]) for side, W in enumerate((U, V)))
        self._axes, self._seen, self._biased = axes, seen, biased
        self.__dict__.update(learned)
        self.n_iter_ = max(0, len(self.history_) - 1)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "mean_")

    @property
    def U_(self):
        """Factors of the users: a view of longer rows, so give `sparse` a `.copy()`."""
        return self._U[:-1, :-2]

    @property
    def V_(self):
        """Factors of the items: a view as `U_` is."""
        return self._V[:-1, :-2]

    @property
    def user_biases_(self):
        """b: 0 without biases."""
        return self._U[:-1, -2] * self._U.dtype.type(self._biased)

    @property
    def item_biases_(self):
        """c: 0 without biases."""
        return self._V[:-1, -1] * self._V.dtype.type(self._biased)

    @property
    def user_labels_(self):
        """The id of each user; None where the ratings had indices."""
        return self._axes[0].labels

    @property
    def item_labels_(self):
        """The id of each item; None where the ratings had indices."""
        return self._axes[1].labels

    @property
    def user_counts_(self):
        """Training ratings of each user."""
        return self._axes[0].counts

    @property
    def item_counts_(self):
        """Training ratings of each item."""
        return self._axes[1].counts

    def predict(self, users, items, unknown="error"):
        """Predicted ratings of pairs of a user and an item, clipped to `rating_range_`.

        Parameters
        ----------
        users, items : id, or list, array or column of ids, shape (n_pairs,)
            Labels where the training ratings had labels, else indices. One id goes with all of the others.
        unknown : {"error", "mean"}
            For a pair whose user or item is unknown: an error that names it, or the best mean that is known:
            μ + c_j or μ + b_i, without biases the mean rating of that item or user (shrunken, as by 5 more
            ratings of μ), and μ where both are unknown.

        Returns
        -------
        ndarray of dtype, shape (n_pairs,), or float for one pair
            In rating points.

        Warns
        -----
        UserWarning
            With `unknown="mean"`, where a pair was unknown: how many were, and the coverage.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError, ValueError
            Where lengths differ, an id is none, or one is unknown and that is an error.

        Notes
        -----
        2 k operations a pair, and a look-up of each label.
        """
        check_is_fitted(self)
        checks.choice("unknown", unknown, ("error", "mean"))
        rows, ids, single = self._pairs(users, items)
        if missing := int(np.sum(~self._covered(rows))):
            if unknown == "error":
                raise ValueError(
                    f"{self._unknown(ids, rows)} without any training rating: unknown='mean' predicts the "
                    "mean of what is known (kind and spelling of labels count)"
                )
            share = 1 - missing / len(rows[0])
            warnings.warn(
                f"{missing} of {len(rows[0])} pairs are of a user or an item without any training rating: "
                f"the mean of what is known was predicted, the coverage is {share:.1%}",
                stacklevel=2,
            )
        predicted = self._clipped(sparse.predict_pairs(self._U, self._V, *rows))
        return float(predicted[0]) if single else predicted

    def covers(self, users, items):
        """Whether both the user and the item of each pair are known.

        Parameters
        ----------
        users, items
            As for `predict`.

        Returns
        -------
        ndarray of bool, shape (n_pairs,)

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As `predict`, but not for what is unknown.
        """
        check_is_fitted(self)
        return self._covered(self._pairs(users, items)[0])

    def coverage(self, users, items):
        """Share of pairs whose user and item are both known.

        Parameters
        ----------
        users, items
            As for `predict`.

        Returns
        -------
        float
            Between 0 and 1; NaN of no pairs.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As `covers`.
        """
        covered = self.covers(users, items)
        return float(np.mean(covered)) if len(covered) else math.nan

    def recommend(self, user, n=10, *, exclude_seen=True, unknown="error"):
        """The n items with the highest predicted rating, best first.

        They are ordered before ratings are clipped. An item without any training rating is never recommended.

        Parameters
        ----------
        user : id, or list, array or column of ids
        n : int
            At most so many.
        exclude_seen : bool
            Leave out what the user has rated in the training ratings.
        unknown : {"error", "mean"}
            For an unknown user: an error, or the items with the highest means.

        Returns
        -------
        list of (item, rating)
            Named tuples, so `pandas.DataFrame` makes a table of them. For many users a list of such lists.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            As `predict`, and where n is less than 1.

        Notes
        -----
        2 n_items k operations a user. A model that was loaded sorts what was seen at the first call.
        """
        check_is_fitted(self)
        n = min(checks.whole_number("n", n, 1), len(self._axes[1]))
        checks.choice("unknown", unknown, ("error", "mean"))
        ids, single = listed("user", user)
        rows = self._axes[0].rows(ids)
        if unknown == "error" and (named := self._axes[0].named(ids, rows)):
            raise ValueError(
                f"{named} without any training rating: unknown='mean' recommends the items with the highest "
                "means (kind and spelling of labels count)"
            )
        V = self._V[:-1].copy()
        V[~self._axes[1].known] = np.nan  # which `top_n` leaves out
        items, scores = np.empty((len(rows), n), np.int64), np.empty((len(rows), n), V.dtype)
        known = rows < len(self._axes[0])
        seen = self._seen_ratings() if exclude_seen and known.any() else None
        items[known], scores[known] = sparse.top_n(self._U[:-1], V, rows[known], n, seen)
        items[~known], scores[~known] = sparse.top_n(self._U[-1:], V, np.zeros(1, np.int64), n)
        best = [
            self._named(Recommended, *of_user) for of_user in zip(items, self._clipped(scores), strict=True)
        ]
        return best[0] if single else best

    def similar_items(self, item, n=10):
        """The n items whose factors have the highest cosine with those of an item, itself left out.

        Parameters
        ----------
        item : id
        n : int
            At most so many.

        Returns
        -------
        list of (item, cosine)
            Named tuples, most similar first. Where all factors of an item are 0, the cosine is 0.

        Raises
        ------
        sklearn.exceptions.NotFittedError, TypeError, ValueError
            Where the item is unknown, or n is less than 1.

        Notes
        -----
        2 n_items k operations.
        """
        check_is_fitted(self)
        axis = self._axes[1]
        n = min(checks.whole_number("n", n, 1), len(axis))
        ids, single = listed("item", item)
        if not single:
            raise TypeError(f"item must be one id, got a {type(item).__name__}")
        (row,) = rows = axis.rows(ids)
        if named := axis.named(ids, rows):
            raise ValueError(f"{named} without any training rating (kind and spelling of labels count)")
        W = (
            self.V_
            / np.maximum(np.abs(self.V_).max(axis=1, initial=0), np.finfo(self._V.dtype).tiny)[:, None]
        )
        W /= np.maximum(np.sqrt(np.sum(W * W, axis=1)), 1)[:, None]  # at least 1, unless all factors are 0
        asked = W[[row]]
        W[~axis.known] = W[row] = np.nan  # which `top_n` leaves out
        items, cosines = sparse.top_n(asked, W, np.zeros(1, np.int64), n)
        return self._named(Similar, items[0], np.clip(cosines[0], -1, 1))

    def _pairs(self, users, items):
        """Rows and ids of both sides, of one length, and whether each side was a single id."""
        listed_ids = listed("users", users), listed("items", items)
        ids, single = zip(*listed_ids, strict=True)
        n_pairs = len(ids[single[0]])
        if not any(single) and len(ids[1]) != n_pairs:
            raise ValueError(f"users and items must be of one length, got {n_pairs} and {len(ids[1])}")
        rows = [axis.rows(column) for axis, column in zip(self._axes, ids, strict=True)]
        return [np.broadcast_to(of_axis, n_pairs) for of_axis in rows], ids, all(single)

    def _covered(self, rows):
        """Whether both sides of each pair are known."""
        return np.all([of_axis < len(axis) for axis, of_axis in zip(self._axes, rows, strict=True)], axis=0)

    def _unknown(self, ids, rows):
        """The unknown ones of both sides, for an error."""
        named = [
            axis.named(given, of_axis[: len(given)])  # a single id stands for the rows of all pairs
            for axis, given, of_axis in zip(self._axes, ids, rows, strict=True)
        ]
        return " and ".join(filter(None, named))

    def _clipped(self, products):
        return np.clip(products + self.mean_, *self.rating_range_)

    def _named(self, kind, items, numbers):
        """Rows of items as their ids, each with its number; −1 stands where no item was left."""
        pairs = zip(items.tolist(), numbers.tolist(), strict=True)
        return [kind(self._axes[1].label(row), number) for row, number in pairs if row >= 0]

    def _seen_ratings(self):
        """What each user has seen, as `top_n` takes it: the training ratings, or made of a file's array."""
        if isinstance(self._seen, np.ndarray):
            users = np.repeat(np.arange(len(self.user_counts_)), self.user_counts_)
            shape, nothing = (
                (len(self.user_counts_), len(self.item_counts_)),
                np.zeros(len(users), np.float32),
            )
            self._seen = Ratings.from_arrays(users, self._seen, nothing, shape=shape)
        return self._seen
