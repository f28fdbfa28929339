"""Ratings in two parts, one to learn from and one to be judged by, and how they were made.

The random split is `Ratings.split`. Here are those that need times, the folds of cross-validation, and parts
that come from elsewhere. They ask different questions: a random part how well gaps are filled in, a later
part how well what comes next is foretold, which is harder.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mflib import checks


class Protocol(NamedTuple):
    """How a split was made: the same protocol, the same split.

    Attributes
    ----------
    rule : str
        "random", "chronological", "leave-last", "k-fold" or "given".
    parameters : dict
        Of the rule: plain numbers and text, which JSON can hold.
    seed : int or None
        None where the rule draws nothing.
    digest : str
        `Ratings.digest` of both parts together.
    n_train, n_validation : int
        Ratings in each part.
    n_unknown : int
        As in `Split`.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_dense(np.ones((3, 4)), np.ones((3, 4)))
    >>> print(ratings.split(share=0.25, seed=7).protocol)
    random share=0.25 seed=7
    """

    rule: str
    parameters: dict[str, Any]
    seed: int | None
    digest: str
    n_train: int
    n_validation: int
    n_unknown: int

    def __str__(self):
        seed = {} if self.seed is None else {"seed": self.seed}
        said = (f"{name}={value}" for name, value in {**self.parameters, **seed}.items())
        return " ".join((self.rule, *said))


class _Parts(NamedTuple):
    train: Any
    validation: Any
    n_unknown: int


class Split(_Parts):
    """Two disjoint parts of the same ratings, with the same shape and labels.

    A tuple of the first three, so that ``train, validation, n_unknown = ratings.split()`` takes it apart.

    Attributes
    ----------
    train, validation : Ratings
    n_unknown : int
        How many validation ratings are of a user or an item that has no rating in `train`: nothing was
        learned about it, so its prediction is the start's.
    protocol : Protocol
        How it was made.
    """

    def __new__(cls, train, validation, n_unknown, protocol):
        new = super().__new__(cls, train, validation, n_unknown)
        new.protocol = protocol
        return new

    def __getnewargs__(self):  # for copies
        return (*self, self.protocol)

    def __repr__(self):
        parts = f"{self.train.n_ratings} to train on, {self.validation.n_ratings} held out"
        return f"Split: {self.protocol}: {parts}, {self.n_unknown} of them unknown to training"


def parted(ratings, is_validation, rule, seed=None, **parameters):
    """The split of `ratings` by a mask over them, ndarray of bool, that leaves neither part empty."""
    parts = ratings.subset(~is_validation), ratings.subset(is_validation)
    return _split(*parts, ratings.digest, rule, seed, parameters)


def chronological(ratings, *, share=None, at=None):
    """Learn from what came before a moment, and be judged by what came then and later.

    Parameters
    ----------
    ratings : Ratings
        With times.
    share : float, optional
        Share of the ratings to hold out, between 0 and 1: the moment is the time of the first of the
        round(share · N) latest ones. Ratings of the same time are never parted, so where others have that
        very time, they are held out too: `protocol.n_validation` says how many it became.
    at : number or date, optional
        The moment itself, in the unit of the times; a rating of exactly then is held out.

    Returns
    -------
    Split
        Its protocol holds the moment, `at`, either way.

    Raises
    ------
    TypeError, ValueError
        Where there are no times, not exactly one of share and at is given, at is of another kind than the
        times, or one of the two parts would be empty.

    Notes
    -----
    O(N). Users and items that first come after the moment are unknown to training: see `n_unknown`.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0, 0, 1, 1], [0, 1, 0, 1], [5, 3, 4, 2], times=[10, 30, 20, 30])
    >>> chronological(ratings, share=0.25)
    Split: chronological share=0.25 at=30: 2 to train on, 2 held out, 2 of them unknown to training
    """
    times = _times(ratings)
    if (share is None) == (at is None):
        raise ValueError(f"give one of share and at, got share={share!r} and at={at!r}")
    asked = {}
    if at is None:
        share = checks.real_number("share", share, 0, 1, low_open=True, high_open=True)
        n_validation = round(share * len(times))
        if not 0 < n_validation < len(times):
            raise ValueError(
                f"share={share} of {len(times)} ratings leaves train or validation empty: "
                "choose another share, or bring more ratings"
            )
        at = np.partition(times, len(times) - n_validation)[len(times) - n_validation]
        asked = {"share": share}
    else:
        at = _moment(at, times)
    is_validation = times >= at
    if is_validation.all() or not is_validation.any():
        side = "all ratings are at or after" if is_validation.all() else "no rating is at or after"
        raise ValueError(
            f"{side} at={at}, which leaves train or validation empty: "
            f"choose a moment after {times.min()} and up to {times.max()}"
        )
    plain = str(at) if times.dtype.kind == "M" else np.asarray(at).item()
    return parted(ratings, is_validation, "chronological", **asked, at=plain)


def leave_last(ratings, n=1):
    """Hold out the last n ratings of each user, by time.

    Of ratings that a user gave at the same time, that of the item further back in the order of items (the
    higher column) counts as the later one. A user with n ratings or fewer stays wholly in train, for nothing
    would be left to learn from.

    Parameters
    ----------
    ratings : Ratings
        With times.
    n : int
        At least 1.

    Returns
    -------
    Split

    Raises
    ------
    TypeError, ValueError
        Where there are no times, n is out of its range, or no user has more than n ratings.

    Notes
    -----
    O(N log N). A user's held-out ratings may be older than what others have in train.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_arrays([0, 0, 0, 1], [0, 1, 2, 0], [5, 3, 4, 2], times=[3, 1, 2, 9])
    >>> leave_last(ratings).validation.values
    array([5.])
    """
    times, n = _times(ratings), checks.whole_number("n", n, 1)
    counts, starts = ratings.user_counts, ratings.user_starts
    if counts.max() <= n:
        raise ValueError(f"no user has more than n={n} ratings, so none can be held out: choose a smaller n")
    # by user, then by time; both are stable, and within a user the ratings are in the order of items
    order = np.lexsort((times, ratings.users))
    before_end = np.repeat(starts[1:], counts) - np.arange(len(order))  # 1 for a user's last
    is_validation = np.empty(len(order), dtype=bool)
    is_validation[order] = (before_end <= n) & (np.repeat(counts, counts) > n)
    return parted(ratings, is_validation, "leave-last", n=n)


class Folds(Sequence):
    """The splits of `k_fold`, made when asked for: folds[2] holds fold 2 out and trains on the others."""

    def __init__(self, ratings, fold_of, k, seed):
        self._ratings, self._fold_of, self._k, self._seed = ratings, fold_of, k, seed

    def __len__(self):
        return self._k

    def __getitem__(self, fold):
        chosen = range(self._k)[fold]
        if isinstance(fold, slice):
            return [self[one] for one in chosen]
        return parted(self._ratings, self._fold_of == chosen, "k-fold", self._seed, k=self._k, fold=chosen)

    def __repr__(self):
        return f"Folds: {self._k} of {self._ratings.n_ratings} ratings, seed={self._seed}"


def k_fold(ratings, k=5, seed=0):
    """Splits for k-fold cross-validation: each rating is held out in exactly one of them.

    Parameters
    ----------
    ratings : Ratings
    k : int
        From 2 to the number of ratings.
    seed : int
        The same seed gives the same folds, in whatever order the rows came in.

    Returns
    -------
    Folds
        A sequence of k `Split`. Folds are random and differ in size by one rating at most.

    Raises
    ------
    TypeError, ValueError
        Where an argument is out of its range.

    Notes
    -----
    Keeps the ratings and 1 to 8 bytes for each; a split is made anew in O(N) each time it is asked for, so
    that no more than one need be in memory.

    Examples
    --------
    >>> from mflib import Ratings
    >>> ratings = Ratings.from_dense(np.ones((3, 4)), np.ones((3, 4)))
    >>> [fold.validation.n_ratings for fold in k_fold(ratings, k=5)]
    [3, 3, 2, 2, 2]
    """
    checks.ratings("ratings", ratings)
    k, seed = checks.whole_number("k", k, 2), checks.whole_number("seed", seed, 0)
    if k > ratings.n_ratings:
        raise ValueError(f"k must be at most the number of ratings, {ratings.n_ratings}, got {k}")
    fold_of = np.empty(ratings.n_ratings, dtype=np.min_scalar_type(k - 1))
    fold_of[np.random.default_rng(seed).permutation(ratings.n_ratings)] = np.arange(ratings.n_ratings) % k
    return Folds(ratings, fold_of, k, seed)


def given(train, validation):
    """Two parts that were made elsewhere, such as files published as a training and a test set.

    Parameters
    ----------
    train, validation : Ratings
        Of one shape and with the same labels: row i of both is the same user.

    Returns
    -------
    Split

    Raises
    ------
    TypeError, ValueError
        Where shapes or labels differ, one has times of another kind, or a pair of user and item is in both: a
        model that has seen a rating can repeat it.

    Notes
    -----
    O(N + n + m), and for a moment the memory of all ratings again.

    Examples
    --------
    >>> from mflib import Ratings
    >>> train = Ratings.from_arrays([0, 1], [0, 0], [5, 3], shape=(2, 2))
    >>> given(train, Ratings.from_arrays([0, 1], [1, 1], [4, 2], shape=(2, 2)))
    Split: given: 2 to train on, 2 held out, 2 of them unknown to training
    """
    checks.ratings("train", train)
    checks.same_shape("validation", validation, train)
    return _split(train, validation, _joined(train, validation).digest, "given", None, {})


def _split(train, validation, digest, rule, seed, parameters):
    n_unknown = int(np.sum(~train.knows(validation.users, validation.items)))
    sizes = train.n_ratings, validation.n_ratings
    return Split(train, validation, n_unknown, Protocol(rule, parameters, seed, digest, *sizes, n_unknown))


def _joined(train, validation):
    """Both parts together; a pair that is in both is refused."""
    labels = train.user_labels, train.item_labels
    if labels != (validation.user_labels, validation.item_labels):
        raise ValueError(
            "train and validation must have the same labels in the same order: read both as one, then take "
            "each with subset"
        )
    kinds = {None if one.times is None else one.times.dtype.kind == "M" for one in (train, validation)}
    if len(kinds) > 1:
        raise ValueError(
            "train and validation must both have times as numbers, or both as dates, or both have none"
        )
    names = ("users", "items", "values", "times")[: 3 if kinds == {None} else 4]
    columns = [np.concatenate((getattr(train, name), getattr(validation, name))) for name in names]
    users, items, values, times = (*columns, None)[:4]

    def where(row):
        part = "train" if row < train.n_ratings else "validation"
        return f"rating {row - (part == 'validation') * train.n_ratings} of {part}"

    return type(train)._from_codes(users, items, values, times, labels, where, train.shape)


def _times(ratings):
    checks.ratings("ratings", ratings)
    if ratings.times is None:
        raise ValueError(
            "these ratings have no times, so there is no earlier and later: name their column, time=, where "
            "they are read (times= for from_arrays), or split at random, with ratings.split"
        )
    return ratings.times


def _moment(at, times):
    """`at`, of the kind of the times; a whole number stays one, or those of nanoseconds would be rounded."""
    if times.dtype.kind != "M":
        checks.real_number("at", at, -np.inf, np.inf, low_open=True, high_open=True)
        return at
    try:
        moment = np.datetime64(at)
    except (TypeError, ValueError):
        moment = np.datetime64("NaT")
    if np.isnat(moment):
        raise ValueError(f"at must be a date, as the times are, got {at!r}: for example '2020-01-31'")
    return moment
