"""Ratings that are in no one place: blocks of users in files of a folder that all workers see.

A block is a file of `Ratings.save`; the labels of its users, and those of all items, have files of their own.
"""

import hashlib
import json
import os
from dataclasses import dataclass

import numpy as np

from mflib import labels, parts, sorting, storage
from mflib.ratings import Ratings

FORMAT = 1
MANIFEST = "manifest.json"
ITEMS = "items.npz"


class BlocksError(ValueError):
    """A file of the blocks is damaged, missing, or of other ratings."""


@dataclass(frozen=True)
class Source:
    """Where a task finds a block, and what is to be there: no tuple, which Dask would send in pieces."""

    folder: str
    block: int
    shape: tuple
    n_ratings: int


class RatingBlocks:
    """Ratings in blocks of users, in a folder that all workers see.

    Made by `cluster.partition` or `cluster.open_blocks`; nothing changes them. Rows of U are in the order of
    the blocks, and within one in that of the labels of its users.

    Attributes
    ----------
    folder : str
    shape : tuple of int
        (n_users, n_items).
    n_ratings : int
        N (E03).
    edges : list of int
        Block b is of the users from edge b to edge b + 1.
    item_counts : ndarray of int64, shape (n_items,)
        Number of ratings of each item, in all blocks.
    block_counts : list of int
        Number of ratings of each block.
    dtype : dtype
        Of the values.
    mean, mean_square : float
        Of the ratings.
    digest : str
        SHA-256 of ratings and labels, and of how they are cut.
    """

    def __init__(self, folder, manifest, items, item_counts):
        self.folder, self._manifest, self._items, self.item_counts = folder, manifest, items, item_counts
        held = manifest["blocks"]
        self.edges = [0, *np.cumsum([block["n_users"] for block in held]).tolist()]
        self.shape = self.edges[-1], len(item_counts)
        self.block_counts = [block["n_ratings"] for block in held]
        self.n_ratings, self.dtype = sum(self.block_counts), np.dtype(manifest["dtype"])
        self.mean = sum(block["sum"] for block in held) / self.n_ratings
        self.mean_square = sum(block["squares"] for block in held) / self.n_ratings
        self.digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()

    def __repr__(self):
        n, m = self.shape
        return f"RatingBlocks: {n} users × {m} items, {self.n_ratings} ratings in {self.n_blocks} blocks"

    @property
    def n_blocks(self):
        """Number of blocks."""
        return len(self.edges) - 1

    @property
    def item_labels(self):
        """The id that column j stands for: a list."""
        return self._items.to_pylist()

    @property
    def user_labels(self):
        """The id that row i of U stands for: a list, for which the labels of all blocks are read here."""
        return [label for b in range(self.n_blocks) for label in users(self.folder, b).to_pylist()]

    @property
    def like(self):
        """Digest of the ratings whose users and items these have; None where they have their own."""
        return self._manifest["like"]

    @property
    def user_bins(self):
        """Between which bins of `labels.bins` users are cut."""
        return self._manifest["bins"]

    def sources(self):
        """The `Source` of each block, for a task; None where it has no rating."""
        return [
            Source(self.folder, b, (block["n_users"], self.shape[1]), block["n_ratings"])
            if block["n_ratings"]
            else None
            for b, block in enumerate(self._manifest["blocks"])
        ]

    def gather(self):
        """The ratings of all blocks, in their order, as one `Ratings` here: for those that fit.

        Raises
        ------
        ValueError
            Where a file is missing or damaged.
        """
        found = [source and read(source) for source in self.sources()]
        empty = [np.zeros(n, np.int64) for n in np.diff(self.edges)]
        counts = [none if one is None else one.user_counts for one, none in zip(found, empty, strict=True)]
        found = [one for one in found if one is not None]
        starts = np.concatenate(([0], np.cumsum(np.concatenate(counts))))
        by_user = (
            starts,
            *(np.concatenate([getattr(one, name) for one in found]) for name in ("items", "values")),
        )
        times = None if found[0].times is None else np.concatenate([one.times for one in found])
        by_item = sorting.transposed(by_user, self.shape[1])
        return Ratings._of(by_user, by_item, times, self.user_labels, self.item_labels)


def open_blocks(folder):
    """Ratings in blocks, as `cluster.partition` left them in a folder.

    Parameters
    ----------
    folder : str or path
        That this process and all workers see.

    Returns
    -------
    RatingBlocks

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such folder, it holds no blocks or those of a partition that did not end, or a file
        is missing or damaged. A block itself is read, and verified, where it is used.
    """
    folder = os.path.abspath(os.fspath(folder))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder} is no folder: give that of cluster.partition, or make one with it")
    path = os.path.join(folder, MANIFEST)
    if not os.path.isfile(path):
        raise ValueError(
            f"{folder} holds no blocks of ratings, or its partition did not end: there is no {MANIFEST}. "
            "Make them with cluster.partition"
        )
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        storage.check_format(manifest, FORMAT)
        about, arrays = parts.read(os.path.join(folder, ITEMS), verify=True)
        if about["digest"] != manifest["items"]:
            raise ValueError(f"{ITEMS} is of other blocks")
        items, counts = labels.of_arrays("items", arrays), np.array(arrays["counts"])
        if len(items) != len(counts):
            raise ValueError(f"{ITEMS} has not one count for each item")
        opened = RatingBlocks(folder, manifest, items, counts)
        if counts.sum() != opened.n_ratings:
            raise ValueError(f"{ITEMS} counts other ratings")
        gone = [
            (kind, b)
            for b, source in enumerate(opened.sources())
            for kind in (["users"] if source is None else ["users", "block"])
            if not os.path.isfile(parts.file_of(folder, kind, b))
        ]
    except Exception as error:
        raise BlocksError(
            f"{folder} holds no blocks of ratings, or they are damaged ({type(error).__name__}: {error}): "
            "make them anew with cluster.partition"
        ) from error
    if gone:
        raise BlocksError(
            f"{folder} lacks {parts.file_of('', *gone[0])}, and {len(gone) - 1} other files: "
            "make the blocks anew with cluster.partition"
        )
    return opened


def read(source):
    """The `Ratings` of one block, verified, without labels.

    Raises
    ------
    BlocksError
        Where its file is missing, damaged, or another one.
    """
    path = parts.file_of(source.folder, "block", source.block)
    try:
        found = Ratings.load(path, verify=True)
        if (found.shape, found.n_ratings) != (source.shape, source.n_ratings):
            raise ValueError(f"{path} is of other blocks: {found}")
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None
    return found


def users(folder, block):
    """The labels of the users of one block.

    Raises
    ------
    BlocksError
        Where their file is missing or damaged.
    """
    try:
        return labels.of_arrays("users", parts.read(parts.file_of(folder, "users", block), verify=True)[1])
    except (OSError, ValueError) as error:
        raise _unreadable(error) from None


def _unreadable(error):
    return BlocksError(
        f"a block of ratings cannot be read: {error}. The folder must be one that this process and all "
        "workers see; a damaged one is made anew with cluster.partition"
    )


def both_orders(source):
    """The six arrays of a block (`blocks.both_orders`) from its file, in memory."""
    found = read(source)
    order = (
        found.user_starts,
        found.items,
        found.values,
        found.item_starts,
        found.users_by_item,
        found.values_by_item,
    )
    return tuple(np.array(array) for array in order)
