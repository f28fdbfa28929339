"""The observed ratings, Y and R in one (E02, E03): what is stored is observed, be it a zero."""

import hashlib
import json
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mflib import checks, columns, readers


class Split(NamedTuple):
    """Two disjoint parts of the same ratings, with the same shape and labels.

    Attributes
    ----------
    train, validation : Ratings
    n_unknown : int
        How many validation ratings are of a user or an item that has no rating in `train`: nothing was
        learned about it, so its prediction is the start's.
    """

    train: "Ratings"
    validation: "Ratings"
    n_unknown: int


class Ratings:
    """Observed ratings of n users on m items, always in the same order: by user, then by item.

    Make one with `from_arrays`, `from_dense`, `from_frame`, `from_scipy` or `from_csv`; they check what they
    get. The arrays are read-only.

    Attributes
    ----------
    users, items : ndarray of int32 (int64 past 2³¹ rows), shape (n_ratings,)
        Row i and column j of each rating, sorted by user, then by item.
    values : ndarray of float32 or float64, shape (n_ratings,)
        y_ij, in rating points.
    times : ndarray, shape (n_ratings,), or None
        When each rating was given, in the unit it came in.
    shape : tuple of int
        (n_users, n_items); users and items without a rating count.
    user_labels, item_labels : list or None
        The id that row i or column j stands for; None where indices were given.

    Examples
    --------
    >>> ratings = Ratings.from_arrays(["bob", "ann", "ann"], ["Alien", "Brazil", "Alien"], [3, 0, 5])
    >>> ratings
    Ratings: 2 users × 2 items, 3 ratings (75% of all)
    >>> ratings.user_labels, ratings.users, ratings.values
    (['ann', 'bob'], array([0, 0, 1], dtype=int32), array([5., 0., 3.]))
    """

    def __init__(self, users, items, values, times, shape, user_labels=None, item_labels=None):
        # Trusts its arguments: the constructors below have checked and sorted them.
        self.users, self.items, self.values, self.times = users, items, values, times
        self.shape = shape
        self.user_labels, self.item_labels = user_labels, item_labels
        for array in (users, items, values, times):
            if array is not None:
                array.flags.writeable = False

    @classmethod
    def from_arrays(cls, users, items, values, times=None, shape=None):
        """Ratings from one entry per rating, in any order.

        Parameters
        ----------
        users, items : array_like, shape (n_ratings,)
            With `shape`: row and column indices. Without: labels of any hashable kind, one row (column) for
            each distinct one, in sorted order.
        values : array_like of numbers, shape (n_ratings,)
            float32 stays float32, everything else becomes float64.
        times : array_like of numbers or dates, shape (n_ratings,), optional
        shape : tuple of int, optional
            (n_users, n_items).

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            Where lengths differ, nothing is given, a value is no finite number, an index lies outside
            `shape`, a label is missing, or a (user, item) pair comes twice; the message names the row.

        Notes
        -----
        O(N log N).

        Examples
        --------
        >>> Ratings.from_arrays([0, 2], [1, 0], [4.5, 3.0], shape=(3, 2))
        Ratings: 3 users × 2 items, 2 ratings (33.3% of all)
        """
        return cls._from_columns(users, items, values, times, shape, lambda row: f"row {row}")

    @classmethod
    def from_dense(cls, Y, R):
        """Ratings from a matrix Y and its mask R (E02).

        Parameters
        ----------
        Y : ndarray, shape (n_users, n_items)
            What stands where R is 0 is never looked at.
        R : ndarray of 0 and 1, shape (n_users, n_items)

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            As `dense.loss` does, and where an observed rating is not finite.

        Examples
        --------
        >>> Ratings.from_dense(np.array([[5.0, 0.0], [0.0, 1.0]]), np.array([[1, 0], [1, 1]])).values
        array([5., 0., 1.])
        """
        users, items = np.nonzero(checks.mask(Y, R))
        where = lambda row: f"user {users[row]}, item {items[row]}"  # noqa: E731
        return cls._from_columns(users, items, Y[users, items], None, Y.shape, where)

    @classmethod
    def from_frame(cls, df, user="userId", item="movieId", rating="rating", time=None):
        """Ratings from a pandas DataFrame, one row a rating, with labels for users and items.

        Parameters
        ----------
        df : pandas.DataFrame
        user, item, rating : str
            Names of the columns.
        time : str, optional

        Returns
        -------
        Ratings

        Raises
        ------
        ValueError
            Where a column is missing, and as `from_arrays` does; the message names the row of the frame.

        Examples
        --------
        >>> import pandas as pd
        >>> df = pd.DataFrame({"who": ["ann", "bob"], "what": ["Alien", "Alien"], "stars": [5, 3]})
        >>> Ratings.from_frame(df, user="who", item="what", rating="stars").n_ratings
        2
        """
        if not hasattr(df, "columns"):
            raise TypeError(
                f"df must be a pandas DataFrame, got {type(df).__name__}: for columns, from_arrays"
            )
        for argument, name in (("user", user), ("item", item), ("rating", rating), ("time", time)):
            if (argument, name) != ("time", None):
                checks.column(argument, name, list(df.columns), "the frame")
        times = None if time is None else df[time].to_numpy()
        where = lambda row: f"row {df.index[row]}"  # noqa: E731
        return cls._from_columns(
            df[user].to_numpy(), df[item].to_numpy(), df[rating].to_numpy(), times, None, where
        )

    @classmethod
    def from_scipy(cls, A):
        """Ratings from a SciPy sparse matrix: every stored entry is a rating, a stored zero too.

        Parameters
        ----------
        A : scipy.sparse matrix or array, shape (n_users, n_items)

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            Where A is no sparse matrix, and as `from_arrays` does.

        Examples
        --------
        >>> from scipy.sparse import coo_array
        >>> Ratings.from_scipy(coo_array(([5.0, 0.0], ([0, 1], [1, 0])), shape=(2, 2))).n_ratings
        2
        """
        if not hasattr(A, "tocoo"):
            raise TypeError(
                f"A must be a SciPy sparse matrix, got {type(A).__name__}: for an array, from_dense"
            )
        if A.ndim != 2:
            raise ValueError(f"A must have two axes (users, items), got shape {A.shape}")
        coo = A.tocoo()
        where = lambda row: f"user {coo.row[row]}, item {coo.col[row]}"  # noqa: E731
        return cls._from_columns(coo.row, coo.col, coo.data, None, coo.shape, where)

    @classmethod
    def from_csv(cls, path, user="userId", item="movieId", rating="rating", time="timestamp"):
        """Ratings from a CSV file with a header, one line a rating, columns named as in MovieLens by default.

        Parameters
        ----------
        path : str or path
            UTF-8, comma-separated; `.gz` is unpacked.
        user, item, rating : str
            Names of the columns; others are skipped.
        time : str or None
            Where the file has no column `timestamp`, the default reads none.

        Returns
        -------
        Ratings

        Raises
        ------
        FileNotFoundError, ValueError
            Where there is no such file, it is empty, lacks a column, or a line is not a rating: a field is
            missing or one too many, the rating is no finite number, the pair has come before. The message
            names the line.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp(), "mine.csv")
        >>> _ = path.write_text("who,what,stars\\nann,Alien,5\\nbob,Alien,3.5\\n")
        >>> Ratings.from_csv(path, user="who", item="what", rating="stars")
        Ratings: 2 users × 1 items, 2 ratings (100% of all)
        """
        return cls.from_table(readers.read_csv(path, user, item, rating, time))

    @classmethod
    def from_table(cls, table):
        """Ratings from what `readers.read_csv` returns; errors name the line of the file."""
        return cls._from_columns(*table.columns, None, table.where)

    @classmethod
    def _from_columns(cls, users, items, values, times, shape, where):
        """Check, encode and sort; `where(row)` says in an error where that row came from."""
        values = columns.finite(values, where)
        users, items = (
            columns.one_axis("users", users, len(values)),
            columns.one_axis("items", items, len(values)),
        )
        if times is not None:
            times = columns.ordered("times", columns.one_axis("times", times, len(values)), where)
        user_labels = item_labels = None
        if shape is None:
            user_labels, users = columns.encode("user", users, where)
            item_labels, items = columns.encode("item", items, where)
            shape = len(user_labels), len(item_labels)
        else:
            shape = checks.shape(shape)
            users = columns.indices("user", users, shape[0], where)
            items = columns.indices("item", items, shape[1], where)
        order = np.lexsort((items, users))
        users, items = users[order], items[order]
        again = np.flatnonzero((users[1:] == users[:-1]) & (items[1:] == items[:-1]))
        if len(again):
            first, second = sorted(order[again[0] : again[0] + 2])
            u, i = users[again[0]], items[again[0]]
            user, item = (user_labels[u], item_labels[i]) if user_labels else (u, i)
            raise ValueError(
                f"{where(second)}: user {user!s} has rated item {item!s} already ({where(first)}): "
                "keep one rating for each pair"
            )
        times = None if times is None else times[order]
        return cls(users, items, values[order], times, shape, user_labels, item_labels)

    def __repr__(self):
        n, m = self.shape
        return f"Ratings: {n} users × {m} items, {self.n_ratings} ratings ({100 * self.density:.3g}% of all)"

    @property
    def n_ratings(self):
        """Number of observed ratings N (E03)."""
        return len(self.values)

    @property
    def density(self):
        """Share of the n × m places that are observed: N / (n m)."""
        return self.n_ratings / (self.shape[0] * self.shape[1])

    @cached_property
    def user_starts(self):
        """Where each user's ratings begin: those of user i are user_starts[i] : user_starts[i + 1]."""
        return _starts(self.users, self.shape[0])

    @cached_property
    def by_item(self):
        """The order by item, then by user: `values[by_item]` are the ratings of item 0, then of item 1, …"""
        return np.argsort(self.items, kind="stable").astype(self.users.dtype)

    @cached_property
    def item_starts(self):
        """Where each item's ratings begin in the order `by_item`."""
        return _starts(self.items, self.shape[1])

    @property
    def user_counts(self):
        """Number of ratings of each user, shape (n_users,)."""
        return np.diff(self.user_starts)

    @property
    def item_counts(self):
        """Number of ratings of each item, shape (n_items,)."""
        return np.diff(self.item_starts)

    @cached_property
    def digest(self):
        """SHA-256 of shape, labels and (user, item, rating, time), whatever order the rows came in."""
        header = [self.shape, *([repr(label) for label in labels or ()] for labels in self._labels)]
        if self.times is not None:  # the unit of dates matters: 1 s is not 1 ms
            header.append(self.times.dtype.name if self.times.dtype.kind == "M" else "numbers")
        sha = hashlib.sha256(json.dumps(header).encode())
        for array, kind in ((self.users, "<i8"), (self.items, "<i8"), (self.values, "<f8")):
            sha.update(array.astype(kind).tobytes())
        if self.times is not None:
            sha.update(self.times.astype("<f8" if self.times.dtype.kind == "f" else "<i8").tobytes())
        return sha.hexdigest()

    @property
    def _labels(self):
        return self.user_labels, self.item_labels

    @cached_property
    def _rows(self):
        """From label to row, for users and for items."""
        return tuple({label: row for row, label in enumerate(labels or ())} for labels in self._labels)

    def user_index(self, label):
        """Row of the user with this label.

        Raises
        ------
        KeyError
            Where there is none.
        """
        return self._index(0, "user", label)

    def item_index(self, label):
        """Column of the item with this label.

        Raises
        ------
        KeyError
            Where there is none.
        """
        return self._index(1, "item", label)

    def _index(self, axis, what, label):
        if self._labels[axis] is None:
            raise KeyError(f"these ratings have no {what} labels: they were made from indices")
        if label not in self._rows[axis]:
            raise KeyError(
                f"no {what} {label!r} among the {self.shape[axis]} {what}s (kind and spelling count)"
            )
        return self._rows[axis][label]

    def to_dense(self):
        """The matrix Y, NaN where nothing is observed, and its mask R: for ratings that fit on a page.

        Returns
        -------
        Y : ndarray of the dtype of `values`, shape (n_users, n_items)
        R : ndarray of int8, shape (n_users, n_items)
        """
        Y = np.full(self.shape, np.nan, dtype=self.values.dtype)
        Y[self.users, self.items] = self.values
        R = np.zeros(self.shape, dtype=np.int8)
        R[self.users, self.items] = 1
        return Y, R

    def astype(self, dtype):
        """The same ratings with values as float32 or float64; the digest is that of the new values."""
        dtype = checks.float_dtype("dtype", dtype)
        if dtype == self.values.dtype:
            return self
        return Ratings(
            self.users, self.items, self.values.astype(dtype), self.times, self.shape, *self._labels
        )

    def subset(self, rows):
        """The ratings at these positions, in a matrix of the same shape and labels.

        Parameters
        ----------
        rows : ndarray of int or bool
            Distinct positions in `values`, or a mask over them.

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            Where rows are no positions or none, one comes twice, or a mask is not of one entry a rating.
        """
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != self.values.shape:
                raise ValueError(
                    f"rows must be a mask over the {self.n_ratings} ratings, got shape {rows.shape}"
                )
            rows = np.flatnonzero(rows)
        rows = np.sort(checks.indices("rows", rows, self.n_ratings))
        if len(rows) == 0 or np.any(rows[1:] == rows[:-1]):
            raise ValueError(
                f"rows must hold at least one position, and each once, got {len(rows)} positions"
            )
        times = None if self.times is None else self.times[rows]
        return Ratings(
            self.users[rows], self.items[rows], self.values[rows], times, self.shape, *self._labels
        )

    def split(self, share=0.2, seed=0):
        """Random split by share: each rating goes to validation or to train, whoever gave it.

        Parameters
        ----------
        share : float
            Share of the ratings that become validation, between 0 and 1.
        seed : int
            The same seed gives the same split, in whatever order the rows came in.

        Returns
        -------
        Split
            (train, validation, n_unknown).

        Raises
        ------
        ValueError
            Where one of the two would be empty.

        Examples
        --------
        >>> ratings = Ratings.from_dense(np.ones((3, 4)), np.ones((3, 4)))
        >>> train, validation, n_unknown = ratings.split(share=0.25)
        >>> train.n_ratings, validation.n_ratings, n_unknown
        (9, 3, 0)
        """
        share = checks.real_number("share", share, 0, 1, low_open=True, high_open=True)
        seed = checks.whole_number("seed", seed, 0)
        n_validation = round(share * self.n_ratings)
        if not 0 < n_validation < self.n_ratings:
            raise ValueError(
                f"share={share} of {self.n_ratings} ratings leaves train or validation empty: "
                "choose another share, or bring more ratings"
            )
        chosen = np.random.default_rng(seed).permutation(self.n_ratings)[:n_validation]
        is_validation = np.zeros(self.n_ratings, dtype=bool)
        is_validation[chosen] = True
        train, validation = self.subset(~is_validation), self.subset(is_validation)
        return Split(train, validation, int(np.sum(~train.knows(validation.users, validation.items))))

    def knows(self, users, items):
        """Whether both the user and the item of each pair have a rating here.

        Parameters
        ----------
        users, items : ndarray of int, shape (n_pairs,)
            Row and column indices.

        Returns
        -------
        ndarray of bool, shape (n_pairs,)
        """
        return (self.user_counts[users] > 0) & (self.item_counts[items] > 0)


def _starts(sorted_or_not, n_rows):
    """Offsets of each row's entries once they are sorted by row."""
    return np.concatenate(([0], np.cumsum(np.bincount(sorted_or_not, minlength=n_rows))))
