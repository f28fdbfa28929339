"""MovieLens: where it is looked for, and how it is fetched by name from a real server that may also lie."""

import hashlib
import io
import re
import stat
import struct
import subprocess
import threading
import zipfile

import numpy as np
import pytest
from faults import small_disk
from servers import RATINGS, README, answering, archive, breaking_off, honest, serving

from mflib import datasets, download, movielens
from mflib.download import DownloadError

CSV = "userId,movieId,rating,timestamp\n7,31,2.5,100\n"
TITLES = 'movieId,title,genres\n31,"Dunes, the",x\n'
FILES = {
    "ratings.csv": (CSV, "movies.csv", TITLES),
    "u.data": ("7\t31\t2.5\t100\n", "u.item", "31|Dunes, the|1995\n"),
    "ratings.dat": ("7::31::2.5::100\n", "movies.dat", "31::Dunes, the::x\n"),
}


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Put the files of a layout into a folder below an empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MFLIB_DATA", raising=False)
    monkeypatch.setattr(movielens, "DATA", tmp_path / "checkout" / "data")

    def put(folder, name="ratings.csv", titles=True):
        ratings, titles_name, content = FILES[name]
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_text(ratings)
        if titles:
            (tmp_path / folder / titles_name).write_text(content)
        return tmp_path / folder

    return put


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("by", ["folder", "file", "text"])
def test_movielens_is_read_in_each_layout_with_its_titles(put, name, by):
    folder = put("data", name)
    ratings, titles, source = movielens.movielens(
        {"folder": folder, "file": folder / name, "text": "data"}[by]
    )
    assert (ratings.user_labels, ratings.item_labels, titles) == ([7], [31], {31: "Dunes, the"})
    np.testing.assert_array_equal([*ratings.values, *ratings.times], [2.5, 100])
    assert source.samefile(folder / name)


def test_titles_may_be_missing(put):
    assert movielens.movielens(put("data", titles=False)).titles == {}


@pytest.mark.parametrize(
    ("folder", "path"),
    [("x", "x"), ("x/y", "x/y/ratings.csv"), ("ml-latest-small", None), (".", None)],
)
def test_movielens_is_found_below_mflib_data(put, monkeypatch, tmp_path, folder, path):
    put(f"store/{folder}")
    monkeypatch.setenv("MFLIB_DATA", str(tmp_path / "store"))
    assert movielens.movielens(path).source.samefile(tmp_path / "store" / folder / "ratings.csv")


def test_mflib_data_may_be_the_folder_that_is_asked_for_by_name(put, monkeypatch):
    """Asked for as ml-latest-small, it was looked for in ml-latest-small/ml-latest-small alone."""
    folder = put("store/ml-latest-small")
    monkeypatch.setenv("MFLIB_DATA", str(folder))
    assert movielens.movielens("ml-latest-small").source.samefile(folder / "ratings.csv")


def test_a_folder_at_hand_comes_before_mflib_data(put, monkeypatch):
    here, there = put("ml-latest-small"), put("store/ml-latest-small")
    monkeypatch.setenv("MFLIB_DATA", str(there.parent))
    assert movielens.movielens().source.samefile(here / "ratings.csv")


def test_movielens_is_found_in_the_data_folder_of_the_checkout(put):
    folder = put("checkout/data/ml-latest-small")
    assert movielens.movielens().source.samefile(folder / "ratings.csv")


def test_missing_movielens_says_which_file_to_put_where(put, monkeypatch, tmp_path):
    def remedy(name, folder, names):
        return (
            rf"found in {re.escape(str(tmp_path))}/{name}, .*: unpack {name}\.zip .* so that "
            rf"{re.escape(str(tmp_path / folder / name))} holds one of ratings\.csv, u\.data, ratings\.dat"
            rf", or set MFLIB_DATA to another folder that holds {name}; what is fetched by name is {names}$"
        )

    with pytest.raises(
        FileNotFoundError, match=remedy("ml-latest-small", "checkout/data", "movielens-small")
    ):
        movielens.movielens()
    monkeypatch.setenv("MFLIB_DATA", str(tmp_path / "store"))
    with pytest.raises(FileNotFoundError, match=remedy("ml-25m", "store", "movielens-25m")):
        movielens.movielens("ml-25m")
    with pytest.raises(FileNotFoundError, match=remedy("ml-1m", "store", ", ".join(movielens.EDITIONS))):
        movielens.movielens("ml-1m")


def test_missing_file_is_not_taken_for_an_archive(put, tmp_path):
    path = tmp_path / "mine.csv"
    with pytest.raises(FileNotFoundError, match=rf"^no such file of ratings: {re.escape(str(path))}$"):
        movielens.movielens(path)


def test_a_bad_line_of_movielens_is_named(put):
    folder = put("data")
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n7,31,good,100\n")
    with pytest.raises(ValueError, match=r"ratings\.csv, line 2: the rating is 'good', expected a number"):
        movielens.movielens(folder)


def test_ml_latest_small_is_what_its_readme_says(movielens_folder):
    ratings, titles, _ = movielens.movielens(movielens_folder)
    assert (ratings.n_ratings, ratings.shape, len(titles)) == (100_836, (610, 9724), 9742)
    assert (ratings.values.min(), ratings.values.max(), set((2 * ratings.values) % 1)) == (0.5, 5, {0})
    assert titles[ratings.item_labels[0]] == "Toy Story (1995)"
    assert ratings.user_counts.min() >= 20
    assert 8e8 < ratings.times.min() < ratings.times.max() < 2e9


SMALL, ARCHIVE = "movielens-small", "/ml-latest-small.zip"


@pytest.fixture
def server(put, tmp_path, monkeypatch):
    """A server that has movielens-small; an empty cache, no data at hand."""
    monkeypatch.setattr(download, "PAUSES", (0,))
    monkeypatch.setenv("MFLIB_CACHE", str(tmp_path / "cache"))
    with serving() as server:
        monkeypatch.setenv("MFLIB_MOVIELENS_URL", f"{server.url}/")
        server.files[ARCHIVE] = archive()
        yield server


def cached(tmp_path):
    """What the cache holds, locks aside."""
    files = (path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock")
    return sorted(str(path.relative_to(tmp_path / "cache")) for path in files)


KEPT = [f"ml-latest-small/{name}" for name in ("README.txt", "movies.csv", "ratings.csv")]


def test_ratings_are_fetched_by_name_once_with_their_licence(server, tmp_path, capsys):
    ratings, titles, source = datasets.movielens(SMALL)
    assert (ratings.n_ratings, titles) == (399, {31: "Dangerous Minds (1995)"})
    assert source == tmp_path / "cache/ml-latest-small/ratings.csv"
    assert cached(tmp_path) == KEPT
    assert source.with_name("README.txt").read_text() == README
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert f"fetching {server.url}{ARCHIVE}" in said
    assert "not for commercial use; acknowledge Harper and Konstan (2015), doi.org/10.1145/2827872. " in said
    assert f"The licence is {source.with_name('README.txt')}" in said
    assert datasets.movielens(SMALL).ratings.digest == ratings.digest
    assert datasets.movielens("ml-latest-small").source == datasets.movielens().source == source
    assert capsys.readouterr().err == ""
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", movielens.EDITIONS)
def test_every_name_has_its_archive_and_those_that_do_not_change_their_digest(server, monkeypatch, name):
    edition = movielens.EDITIONS[name]
    body = archive(edition.folder)
    server.files[f"/{edition.folder}.zip"] = body
    if name != SMALL:
        with pytest.raises(DownloadError, match=f"the MD5 digest .* expected {edition.md5}: not the file"):
            movielens.movielens(name)
        new = edition._replace(md5=hashlib.md5(body).hexdigest())
        monkeypatch.setitem(movielens.EDITIONS, name, new)
    assert movielens.movielens(name).source.parent.name == edition.folder


@pytest.mark.parametrize(
    "folder",
    [SMALL, "ml-latest-small", "store/ml-latest-small", f"store/{SMALL}", "checkout/data/ml-latest-small"],
)
def test_what_is_there_is_taken_without_the_network(server, put, tmp_path, monkeypatch, folder):
    there = put(folder)
    if folder.startswith("store"):
        monkeypatch.setenv("MFLIB_DATA", str(tmp_path / "store"))
    assert movielens.movielens(SMALL).source.samefile(there / "ratings.csv")
    assert server.requests == []
    assert not (tmp_path / "cache").exists()


def test_mflib_data_may_be_the_folder_of_the_edition(server, put, monkeypatch):
    folder = put("store/ml-latest-small")
    monkeypatch.setenv("MFLIB_DATA", str(folder))
    assert movielens.movielens(SMALL).source.samefile(folder / "ratings.csv")


def test_mflib_data_that_holds_another_edition_is_not_taken_for_it(server, put, monkeypatch, tmp_path):
    monkeypatch.setenv("MFLIB_DATA", str(put("store/ml-25m")))
    assert movielens.movielens(SMALL).source.is_relative_to(tmp_path / "cache")


def test_the_cache_is_that_of_the_platform_where_mflib_cache_is_not_set(monkeypatch):
    import platformdirs

    monkeypatch.delenv("MFLIB_CACHE")
    assert str(movielens.cache()) == platformdirs.user_cache_dir("mflib", appauthor=False)


@pytest.mark.parametrize("after", [0, 200, -1])
def test_a_download_that_broke_off_is_continued(server, tmp_path, after):
    """Of -1, all but the last byte has come."""
    server.behaviours = [breaking_off(after), breaking_off(0)]
    with pytest.raises(DownloadError, match=r"broke off after .*, tried 2 times; the next call goes on"):
        movielens.movielens(SMALL)
    assert movielens.movielens(SMALL).ratings.n_ratings == 399
    asked = server.requests[-1][1]
    assert asked == (f"bytes={after % len(server.files[ARCHIVE])}-" if after else None)
    assert cached(tmp_path) == KEPT


def link(name):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def bomb():
    """Ratings of 20 MB of zeros in an archive of 20 kB."""
    return archive(ratings="0" * 20_000_000)


def bomb_that_lies():
    """The same, said to be of 1,000 bytes."""
    return bomb().replace(struct.pack("<I", 20_000_000), struct.pack("<I", 1000))


def encrypted():
    """The flag of encryption, set in the head of every member and in the directory of the archive."""
    body = bytearray(archive())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = body.find(mark)
        while at >= 0:
            body[at + offset] |= 1
            at = body.find(mark, at + 1)
    return bytes(body)


def compressed_by(method):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as opened:
        for name in ("README.txt", "movies.csv", "ratings.csv"):
            opened.writestr(f"ml-latest-small/{name}", RATINGS)
    return buffer.getvalue()


def with_one_byte_changed():
    body = bytearray(archive(stored=True))
    body[body.find(b"1260759144")] ^= 1
    return bytes(body)


HOSTILE = {
    "page": (lambda: b"<!DOCTYPE html><p>Please log in", "is no zip file.*begins with b'<!DOCTYPE html>"),
    "empty": (lambda: b"", "is no zip file, or is damaged"),
    "cut": (lambda: archive()[:-30], "is no zip file, or is damaged"),
    "changed": (with_one_byte_changed, "is no zip file, or is damaged .*CRC"),
    "above": (lambda: archive(more=[("../evil", "x")]), r"holds '\.\./evil', expected files in ml-latest-"),
    "within": (lambda: archive(more=[("ml-latest-small/../../evil", "x")]), "expected files in ml-latest"),
    "dots": (lambda: archive(more=[("ml-latest-small/..", "x")]), "expected files in ml-latest-small/ alone"),
    "absolute": (lambda: archive(more=[("/tmp/evil", "x")]), "holds '/tmp/evil', expected files"),
    "drive": (lambda: archive(more=[("C:\\evil", "x")]), "expected files in ml-latest-small/ alone"),
    "backslash": (lambda: archive(more=[("ml-latest-small/..\\evil", "x")]), "expected files in"),
    "zero": (
        lambda: archive(more=[("ml-latest-small/a_b", "x")]).replace(b"a_b", b"a\0b"),
        r"holds 'ml-latest-small/a\\x00b', expected files in",
    ),
    "other folder": (lambda: archive("ml-25m"), r"holds 'ml-25m/', expected files in ml-latest-small/"),
    "link": (
        lambda: archive(more=[(link("ml-latest-small/tags.csv"), "/etc")]),
        "'ml-latest-small/tags.csv', wh",
    ),
    "link of ratings": (
        lambda: archive(ratings=None, more=[(link("ml-latest-small/ratings.csv"), "/etc/passwd")]),
        "which is a link or something else",
    ),
    "link of folder": (lambda: archive(more=[(link("ml-latest-small/x/"), "/etc")]), "expected files in"),
    "twice": (lambda: archive(more=[("ml-latest-small/ratings.csv", "x")]), "ratings.csv' twice"),
    "many": (lambda: archive(more=[(f"ml-latest-small/{i}", "") for i in range(100)]), "holds 105 files"),
    "bomb": (bomb, "unpacks to 20,000,096 bytes, expected at most 11,907,012"),
    "bomb that lies": (bomb_that_lies, "is damaged .Bad CRC-32 for file 'ml-latest-small/ratings.csv'"),
    "encrypted": (encrypted, "is encrypted"),
    "lzma": (lambda: compressed_by(zipfile.ZIP_LZMA), "compressed in a way that can fill the memory"),
    "bzip2": (lambda: compressed_by(zipfile.ZIP_BZIP2), "compressed in a way that can fill the memory"),
    "without ratings": (lambda: archive(ratings=None), "lacks ml-latest-small/ratings.csv"),
    "without licence": (lambda: archive(readme=None), "lacks ml-latest-small/README.txt"),
    "bad row": (
        lambda: archive(ratings=f"{RATINGS}7,31,good,1\n"),
        "row: ratings.csv, line 401: the rating is 'g",
    ),
    "other columns": (lambda: archive(ratings="a,b\n1,2\n"), "'userId' is no column of ratings.csv"),
    "no rows": (lambda: archive(ratings="userId,movieId,rating,timestamp\n"), "ratings.csv has no rating"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_not_the_archive_is_refused_and_leaves_nothing(server, tmp_path, kind):
    make, message = HOSTILE[kind]
    good, server.files[ARCHIVE] = server.files[ARCHIVE], make()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DownloadError, match=message) as error:
        movielens.movielens(SMALL)
    assert re.match(rf"{SMALL}: {server.url}{ARCHIVE} (is not the archive|has a bad row)", str(error.value))
    assert "By hand: unpack ml-latest-small.zip" in str(error.value)
    assert cached(tmp_path) == []
    new = {path.name for path in set(tmp_path.rglob("*")) - set(before)}
    assert new == {"cache", "ml-latest-small.lock"}
    server.files[ARCHIVE] = good
    assert movielens.movielens(SMALL).ratings.n_ratings == 399


def test_an_announced_size_beyond_all_growth_is_refused(server):
    server.behaviours = [lambda handler: honest(handler, Content_Length=10**9)]
    with pytest.raises(DownloadError, match="announced as 1000000000 bytes, expected at most 3,912,808"):
        movielens.movielens(SMALL)


def test_without_a_server_the_error_says_what_to_put_where(server, tmp_path):
    server.behaviours = [answering(404)]
    folder = tmp_path / "checkout/data/ml-latest-small"
    message = (
        f"{SMALL}: {server.url}{ARCHIVE} answers 404 Not Found. By hand: unpack ml-latest-small.zip "
        f"(grouplens.org/datasets/movielens) so that {folder} holds one of ratings.csv"
    )
    with pytest.raises(DownloadError, match=re.escape(message)):
        movielens.movielens(SMALL)
    assert isinstance(DownloadError(), OSError)


def test_an_address_that_is_not_safe_is_refused_before_anything_is_written(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MFLIB_MOVIELENS_URL", "http://files.grouplens.org")
    with pytest.raises(ValueError, match="MFLIB_MOVIELENS_URL must be an address https"):
        movielens.movielens(SMALL)
    assert not (tmp_path / "cache").exists()


def test_grouplens_is_asked_over_https():
    assert movielens.GROUPLENS.startswith("https://files.grouplens.org/")


def test_threads_that_want_the_same_fetch_it_once(server, tmp_path, capsys):
    waits = threading.Event()

    def slowly(handler):
        waits.wait(20)
        honest(handler)

    server.behaviours = [slowly]
    found = []
    threads = [threading.Thread(target=lambda: found.append(movielens.movielens_file(SMALL))) for _ in "ab"]
    for thread in threads:
        thread.start()
    while "waiting" not in (said := capsys.readouterr().err):
        assert any(thread.is_alive() for thread in threads)
    assert f"{SMALL} is being fetched by another process: waiting for it" in said
    waits.set()
    for thread in threads:
        thread.join()
    assert found == 2 * [tmp_path / "cache/ml-latest-small/ratings.csv"]
    assert len(server.requests) == 1


def test_a_full_disk_while_it_is_unpacked_keeps_the_archive_until_there_is_room(server, tmp_path):
    """Compressed it has room, unpacked not."""
    rows = "".join(f"{u},31,2.5,1260759144\n" for u in range(100_000))
    server.files[ARCHIVE] = archive(ratings=f"userId,movieId,rating,timestamp\n{rows}")
    with small_disk(tmp_path / "cache", 2):
        with pytest.raises(
            DownloadError, match=r"\(No space left on device\): make room, or set MFLIB_CACHE"
        ) as e:
            movielens.movielens(SMALL)
        assert "3 MB are kept" in str(e.value)
        assert cached(tmp_path) == ["ml-latest-small.zip"]
        subprocess.run(["mount", "-o", "remount,size=8m", str(tmp_path / "cache")], check=True)
        assert movielens.movielens(SMALL).ratings.n_ratings == 100_000
        assert cached(tmp_path) == KEPT
    assert len(server.requests) == 1


def test_a_cache_that_cannot_be_written_is_said(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MFLIB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DownloadError, match=rf"{tmp_path}/file.* cannot be written \(Not a directory\)"):
        movielens.movielens(SMALL)


def test_what_a_killed_process_left_while_unpacking_does_not_matter(server, tmp_path):
    """The archive was complete, a file half unpacked, one in its place."""
    for folder in ("ml-latest-small.unpacking", "ml-latest-small"):
        (tmp_path / "cache" / folder).mkdir(parents=True)
        (tmp_path / "cache" / folder / "README.txt").write_text("half")
    (tmp_path / "cache/ml-latest-small.zip").write_bytes(archive())
    assert movielens.movielens(SMALL).ratings.n_ratings == 399
    assert (tmp_path / "cache/ml-latest-small/README.txt").read_text() == README
    assert server.requests == []
    assert cached(tmp_path) == KEPT
