"""The arrays of sparse ratings in both orders, by user and by item, which nothing can change."""

import numpy as np

from mflib import checks, columns, sorting, splits


class Orders:
    """N values at distinct places of an n × m matrix, once by row and once by column.

    Kernels read these arrays without a look at the indices, so all that makes one sees to it that indices lie
    within the shape, and nothing changes it afterwards: attributes cannot be set, arrays not be written.

    Attributes
    ----------
    shape : tuple of int
        (n_users, n_items).
    user_starts : ndarray of int64, shape (n_users + 1,)
        Those of user i are user_starts[i] : user_starts[i + 1] in `items` and `values`.
    items : ndarray of int32 (int64 past 2³¹ items), shape (n_ratings,)
        Column of each rating, by user, ascending for each.
    values : ndarray of float32 or float64, shape (n_ratings,)
        By user.
    item_starts : ndarray of int64, shape (n_items + 1,)
        Those of item j are item_starts[j] : item_starts[j + 1] in `users_by_item` and `values_by_item`.
    users_by_item : ndarray of int32 (int64 past 2³¹ users), shape (n_ratings,)
        Row of each rating, by item, ascending for each.
    values_by_item : ndarray of the dtype of values, shape (n_ratings,)
    """

    def __init__(self, *_, **__):
        raise TypeError(
            f"{type(self).__name__} are made by their constructors: from_arrays, from_dense, from_frame, "
            "from_scipy, from_csv, load"
        )

    @classmethod
    def _of(cls, by_user, by_item, times, user_labels, item_labels):
        """Trusts its arguments, starts, indices and values: who calls it has checked and sorted them."""
        new = cls.__new__(cls)
        user_starts, items, values = by_user
        item_starts, users_by_item, values_by_item = by_item
        new.__setstate__(
            {
                "shape": (len(user_starts) - 1, len(item_starts) - 1),
                "user_starts": user_starts,
                "items": items,
                "values": values,
                "item_starts": item_starts,
                "users_by_item": users_by_item,
                "values_by_item": values_by_item,
                "times": times,
                "user_labels": user_labels,
                "item_labels": item_labels,
            }
        )
        return new

    def _with(self, by_user, by_item, times):
        """Other ratings of the same users and items."""
        return self._of(by_user, by_item, times, self.user_labels, self.item_labels)

    def __setstate__(self, state):
        for name, value in state.items():
            self.__dict__[name] = _read_only(value) if isinstance(value, np.ndarray) else value

    def __setattr__(self, name, value):
        raise AttributeError(
            f"{type(self).__name__} never change, so {name} cannot be set: make new ones, with from_arrays"
        )

    def __delattr__(self, name):
        self.__setattr__(name, None)

    @property
    def n_ratings(self):
        """Number of observed ratings N (E03)."""
        return len(self.values)

    @property
    def density(self):
        """Share of the n × m places that are observed: N / (n m)."""
        return self.n_ratings / (self.shape[0] * self.shape[1])

    @property
    def nbytes(self):
        """Bytes of all arrays that are kept."""
        return sum(array.nbytes for array in self.__dict__.values() if isinstance(array, np.ndarray))

    @property
    def users(self):
        """Row of each rating, by user: shape (n_ratings,), the kind of `users_by_item`.

        Not kept, because `user_starts` says it: made anew at each use, in O(N), so hold on to it in a loop.
        """
        rows = np.arange(self.shape[0], dtype=self.users_by_item.dtype)
        return _read_only(np.repeat(rows, self.user_counts))

    @property
    def by_item(self):
        """The order by item, then by user: `values[by_item]` are the ratings of item 0, then of item 1, …

        Not kept, because values and users by item are: made anew at each use, in O(N).
        """
        return _read_only(sorting.permutation(self.items, self.shape[1]))

    @property
    def user_counts(self):
        """Number of ratings of each user, shape (n_users,)."""
        return np.diff(self.user_starts)

    @property
    def item_counts(self):
        """Number of ratings of each item, shape (n_items,)."""
        return np.diff(self.item_starts)

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
        """The same ratings with values as float32 or float64; the digest is that of the new values.

        Raises
        ------
        ValueError
            Where dtype is neither, or a value is too large for it.
        """
        dtype = checks.float_dtype("dtype", dtype)
        if dtype == self.values.dtype:
            return self
        values = columns.finite(self.values, lambda row: f"rating {row}", dtype)
        return self._with(
            (self.user_starts, self.items, values),
            (self.item_starts, self.users_by_item, self.values_by_item.astype(dtype)),
            self.times,
        )

    def shifted(self, amount, factor=1.0, dtype=None):
        """The same ratings with other values: factor · (y_ij + amount). Indices, times and labels are shared.

        Parameters
        ----------
        amount, factor : float
            `-ratings.values.mean()` as the amount leaves what a model with biases learns (E18).
        dtype : dtype, optional
            float32 or float64, of the new values; that of `values` by default.

        Returns
        -------
        Ratings

        Raises
        ------
        TypeError, ValueError
            Where amount or factor is no finite number, or a new value is too large for dtype.

        Notes
        -----
        Computed in float64, then rounded once. Memory for the values alone, in both orders.

        Examples
        --------
        >>> from mflib import Ratings
        >>> Ratings.from_arrays([0, 1], [0, 0], [5.0, 2.0], shape=(2, 1)).shifted(-3.5).values
        array([ 1.5, -1.5])
        """
        amount, factor = (
            checks.real_number(name, value, -np.inf, np.inf, low_open=True, high_open=True)
            for name, value in (("amount", amount), ("factor", factor))
        )
        dtype = checks.float_dtype("dtype", self.values.dtype if dtype is None else dtype)

        def moved(values):
            new = np.empty(len(values), dtype)
            with np.errstate(over="ignore"):  # found below
                for place, chunk in zip(columns.chunks(new), columns.chunks(values), strict=True):
                    place[:] = factor * (chunk.astype(np.float64) + amount)
            return new

        values = columns.finite(moved(self.values), lambda row: f"rating {row}, shifted by {amount:g}")
        return self._with(
            (self.user_starts, self.items, values),
            (self.item_starts, self.users_by_item, moved(self.values_by_item)),
            self.times,
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
        starts = np.searchsorted(rows, self.user_starts)
        by_user = starts.astype(np.int64, copy=False), self.items[rows], self.values[rows]
        times = None if self.times is None else self.times[rows]
        return self._with(by_user, sorting.transposed(by_user, self.shape[1]), times)

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
        mflib.splits.Split
            (train, validation, n_unknown), and how it was made: `protocol`.

        Raises
        ------
        ValueError
            Where one of the two would be empty.

        Examples
        --------
        >>> from mflib import Ratings
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
        return splits.parted(self, is_validation, "random", seed, share=share)


def _read_only(array):
    """The same memory in an array that cannot be made writeable, nor the one that it is a view of."""
    numbers = array.view("i8") if array.dtype.kind in "mM" else array  # dates are no numbers to Python
    return np.asarray(memoryview(np.ascontiguousarray(numbers)).toreadonly()).view(array.dtype)
