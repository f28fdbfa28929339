"""MovieLens ratings: where they are already, else by name from GroupLens, checked and kept in a cache."""

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from mflib import readers
from mflib.ratings import Ratings


class MovieLens(NamedTuple):
    """Real ratings; `titles` maps an item label to its title and is empty where the source has none."""

    ratings: Ratings
    titles: dict
    source: Path


class Edition(NamedTuple):
    """A set of ratings of GroupLens: its folder, about how large it is, and the digest of its archive."""

    folder: str
    n_ratings: int
    download: int  # bytes of the archive
    unpacked: int  # bytes of the files that are kept
    md5: str | None  # as published beside the archive; ml-latest-small changes, and has none


EDITIONS = {
    "movielens-small": Edition("ml-latest-small", 100_836, 978_202, 2_976_753, None),
    "movielens-25m": Edition(
        "ml-25m", 25_000_095, 261_978_986, 681_309_546, "6b51fb2759a8657d3bfcbfc42b592ada"
    ),
    "movielens-32m": Edition(
        "ml-32m", 32_000_204, 238_950_008, 881_300_000, "d472be332d4daa821edc399621853b57"
    ),
}
GROUPLENS = "https://files.grouplens.org/datasets/movielens"

# Where data is kept if MFLIB_DATA does not say so: data/ beside the package, which git ignores.
DATA = Path(__file__).resolve().parents[1] / "data"

# What a folder of MovieLens holds: the file of ratings, its layout, the file of titles and how to read it.
_LAYOUTS = {
    "ratings.csv": (None, "movies.csv"),
    "u.data": (readers.U_DATA, "u.item"),
    "ratings.dat": (readers.DOUBLE_COLON, "movies.dat"),
}
# What is kept of an archive; the ratings come last, for they make a folder complete.
_KEPT = ("README.txt", "movies.csv", "ratings.csv")
# An archive may have grown by this factor; one that is larger fills the disk.
_GROWTH = 4


def movielens(path=None, progress=None):
    """MovieLens ratings, titles included, from this machine or, for three names, from GroupLens.

    The names are "movielens-small", "movielens-25m" and "movielens-32m". What is on this machine is taken
    without touching the network. Else the archive is fetched over HTTPS, once: an interrupted download is
    continued, size, digest (where GroupLens publishes one), structure and every row are checked, and the
    ratings, the titles and the README are kept in the cache of the user, or in `MFLIB_CACHE`.

    The licence is that of the README: for research, with acknowledgement of F. Maxwell Harper and Joseph A.
    Konstan (2015), The MovieLens Datasets: History and Context, ACM Transactions on Interactive Intelligent
    Systems 5(4), 19; without any claim of endorsement; and not for commercial or revenue-bearing purposes
    without permission from GroupLens.

    Parameters
    ----------
    path : str or path, optional
        A name as above; or a folder with `ratings.csv`, `u.data` or `ratings.dat` (or the file itself),
        absolute, relative to the working folder, below the folder of data (`MFLIB_DATA`, else `data/` of the
        checkout), or below the cache. By default `ml-latest-small`, or what the folder of data itself holds.
    progress : bool, optional
        Whether a download shows a bar; by default where standard error is a terminal.

    Returns
    -------
    MovieLens
        (ratings, titles, source): ratings with MovieLens' ids as labels and the time of each in seconds since
        1970, titles by item label, and the file that was read.

    Raises
    ------
    FileNotFoundError
        Where no such file is found; the message says which file to put where.
    DownloadError
        An OSError, where a name could not be fetched; the message says why and what to do by hand.
    ValueError
        Where a line is no rating; the message names it. Or where `MFLIB_MOVIELENS_URL`, the address of a
        mirror that has the archives, is not `https://…`.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\\n1,31,2.5,1260759144\\n")
    >>> _ = (folder / "movies.csv").write_text("movieId,title,genres\\n31,Dangerous Minds (1995),Drama\\n")
    >>> ratings, titles, source = movielens(folder)
    >>> ratings.n_ratings, titles
    (1, {31: 'Dangerous Minds (1995)'})
    """
    source = movielens_file(path, progress)
    layout, titles_name = _LAYOUTS.get(source.name, (None, "movies.csv"))
    ratings = Ratings.from_table(_table(source, layout))
    titles = source.with_name(titles_name)
    return MovieLens(ratings, readers.read_titles(titles) if titles.exists() else {}, source)


def movielens_file(path=None, progress=None):
    """The file of ratings that `movielens(path)` reads, fetched where it must be.

    Raises
    ------
    FileNotFoundError, DownloadError, ValueError
        Where there is none; the message says where it was looked for, and what to do.
    """
    places = _places(path)
    if found := _first_file(places):
        return found
    if path in EDITIONS:
        return _fetched(path, progress)
    wanted = Path("ml-latest-small" if path is None else path)
    looked = ", ".join(dict.fromkeys(str(place.absolute()) for place in places))
    if wanted.suffix in (".csv", ".data", ".dat"):
        raise FileNotFoundError(f"no such file of ratings: {looked}")
    same = [name for name, edition in EDITIONS.items() if edition.folder == str(wanted)]
    raise FileNotFoundError(
        f"no MovieLens ratings found in {looked}: {_by_hand(wanted)}; "
        f"what is fetched by name is {', '.join(same or EDITIONS)}"
    )


def table():
    """What can be fetched, as rows of text: names, sizes, and where it is on this machine; with a heading."""
    rows = [("name", "ratings", "download", "kept", "where")]
    for name, edition in EDITIONS.items():
        found = _first_file(_places(name))
        where = str(found.absolute()) if found else f"not here: `mflib data {name}` fetches it"
        sizes = (_megabytes(edition.download), _megabytes(edition.unpacked))
        rows.append((name, f"{edition.n_ratings:,}", *sizes, where))
    return rows


def _megabytes(size):
    return f"{size / 1e6:,.0f} MB"


def cache():
    """The folder where fetched data is kept: `MFLIB_CACHE`, else that of the user on this platform."""
    import platformdirs

    return Path(os.environ.get("MFLIB_CACHE") or platformdirs.user_cache_dir("mflib", appauthor=False))


def _data():
    return Path(os.environ.get("MFLIB_DATA") or DATA)


def _places(path):
    """Where ratings may be, the first choice first."""
    places = []
    for wanted in (
        [path, EDITIONS[path].folder] if path in EDITIONS else ["ml-latest-small" if path is None else path]
    ):
        wanted = Path(wanted)
        places += [wanted, _data() / wanted]
        if path is None or wanted.name == _data().name:
            places.append(_data())
    return [*places, cache() / wanted]


def _first_file(places):
    for place in places:
        if place.is_file():
            return place
        for name in _LAYOUTS:
            if (place / name).is_file():
                return place / name
    return None


def _table(source, layout=None):
    return readers.read_csv(source, "userId", "movieId", "rating", "timestamp", layout)


def _by_hand(folder):
    target = (_data() / folder).absolute()
    return (
        f"unpack {folder.name}.zip (grouplens.org/datasets/movielens) so that {target} holds one of "
        f"{', '.join(_LAYOUTS)}, or set MFLIB_DATA to another folder that holds {folder.name}"
    )


def _fetched(name, progress):
    """The file of ratings of an edition from GroupLens; processes that want it at once fetch it once."""
    from filelock import FileLock, Timeout

    from mflib.download import DownloadError, checked_address

    base = checked_address("MFLIB_MOVIELENS_URL", os.environ.get("MFLIB_MOVIELENS_URL") or GROUPLENS)
    folder = cache() / EDITIONS[name].folder
    lock = FileLock(f"{folder}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{name} is being fetched by another process: waiting for it", file=sys.stderr)
            lock.acquire()
        try:
            return _first_file([folder]) or _fetch(name, base, folder, progress)
        finally:
            lock.release()
    except DownloadError as error:
        raise DownloadError(f"{name}: {error}. By hand: {_by_hand(Path(folder.name))}") from error
    except OSError as error:
        raise DownloadError(
            f"{name}: {error.filename or folder} cannot be written ({error.strerror or error}): make room, "
            f"or set MFLIB_CACHE to another folder; {_megabytes(EDITIONS[name].unpacked)} are kept"
        ) from error


def _fetch(name, base, folder, progress):
    """Download, check and unpack an edition, under the lock of its folder."""
    from mflib.archive import ArchiveError, unpack
    from mflib.download import DownloadError, fetch

    edition = EDITIONS[name]
    url = f"{base}/{edition.folder}.zip"
    archive, unpacked = (folder.with_name(f"{folder.name}{suffix}") for suffix in (".zip", ".unpacking"))
    print(f"{name}: fetching {url}, about {_megabytes(edition.download)}, to {folder}", file=sys.stderr)
    if not archive.exists():  # complete, if an interruption came later
        fetch(url, archive, _GROWTH * edition.download, edition.md5, progress)
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    try:
        unpack(archive, edition.folder, _KEPT, unpacked, _GROWTH * edition.unpacked)
        _table(unpacked / "ratings.csv")
        readers.read_titles(unpacked / "movies.csv")
        folder.mkdir(exist_ok=True)
        archive.unlink()  # before the folder is complete: nobody looks for what is left of it then
        for kept in _KEPT:
            os.replace(unpacked / kept, folder / kept)
    except ValueError as error:
        archive.unlink()
        what = str(error).replace(f"{unpacked}{os.sep}", "")
        kind = "is not the archive of MovieLens" if isinstance(error, ArchiveError) else "has a bad row"
        raise DownloadError(f"{url} {kind}: {what}; it was thrown away") from error
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    print(
        f"{name}: these ratings are GroupLens', for research and not for commercial use; acknowledge Harper "
        f"and Konstan (2015), doi.org/10.1145/2827872. The licence is {folder / 'README.txt'}",
        file=sys.stderr,
    )
    return folder / "ratings.csv"
