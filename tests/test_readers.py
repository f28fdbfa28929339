"""Rating files: what is good is read, what is bad is named with its line."""

import gzip

import numpy as np
import pytest

from mflib import Ratings, readers

HEADER = "userId,movieId,rating,timestamp\n"
GOOD = HEADER + "1,31,2.5,100\n2,31,4,200\n"


@pytest.fixture
def read(tmp_path):
    """Ratings of a file with this content."""

    def read(content, name="ratings.csv", **columns):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Ratings.from_csv(path, **columns)

    return read


WAYS = {
    "no end of line": GOOD.rstrip("\n"),
    "CRLF": GOOD.replace("\n", "\r\n"),
    "CR": GOOD.replace("\n", "\r"),
    "byte order mark": "\ufeff" + GOOD,
    "blank lines": GOOD.replace("\n", "\n\n"),
    "blank start": "\n\n" + GOOD,
    "quotes": GOOD.replace("31", '"31"').replace("rating", '"rating"'),
    "header of two lines": GOOD.replace("timestamp", 'timestamp,"a\nnote"').replace("00\n", "00,x\n"),
}


@pytest.mark.parametrize("content", WAYS.values(), ids=WAYS)
def test_a_file_may_be_written_in_many_ways(read, content):
    ratings = read(content)
    assert (ratings.user_labels, ratings.item_labels) == ([1, 2], [31])
    np.testing.assert_array_equal(ratings.values, [2.5, 4])
    np.testing.assert_array_equal(ratings.times, [100, 200])


def test_a_compressed_file_is_unpacked(read):
    assert read(gzip.compress(GOOD.encode()), "ratings.csv.gz").digest == read(GOOD).digest


@pytest.mark.parametrize(
    "packed", [GOOD.encode(), gzip.compress(GOOD.encode() * 99)[:-20]], ids=["not packed", "cut short"]
)
def test_a_file_that_cannot_be_unpacked_is_named(read, packed):
    with pytest.raises(ValueError, match=r"ratings\.csv\.gz cannot be read: "):
        read(packed, "ratings.csv.gz")


def test_columns_are_found_by_name_and_others_skipped(read):
    ratings = read(
        "note,stars,what,who\nx,5,Alien,ann\ny,3,Brazil,bob\n", user="who", item="what", rating="stars"
    )
    assert (ratings.user_labels, ratings.item_labels, ratings.times) == (
        ["ann", "bob"],
        ["Alien", "Brazil"],
        None,
    )
    np.testing.assert_array_equal(ratings.values, [5, 3])


def test_fields_in_quotes_hold_commas_and_line_ends(read):
    ratings = read(HEADER + '"Doe, Ann","The ""Alien""\n(1979)",5,1\n')
    assert (ratings.user_labels, ratings.item_labels) == (["Doe, Ann"], ['The "Alien"\n(1979)'])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("1,32,3", r"line 3: 4 fields are expected \(userId, movieId, rating, timestamp\), got 3"),
        ("1,32,3,5,6", r"line 3: 4 fields are expected .*, got 5"),
        ("1,32,3,5,6\n1,33,good,5", "line 3: 4 fields"),
        (",32,3,5", "line 3: the user is missing"),
        ('1,"",3,5', "line 3: the item is missing"),
        ("1,32,,5", "line 3: the rating is missing"),
        ("1,32,3,", "line 3: the time is missing"),
        ("1,32,good,5", "line 3: the rating is 'good', expected a number"),
        ("1,32,1_0,5", "line 3: the rating is '1_0', expected a number"),
        ("1,32,１,5", "line 3: the rating is '１', expected a number"),
        ("1,32,NA,5", "line 3: the rating is 'NA', expected a number"),
        ("1,32,nan,5", "line 3: the rating is nan, expected a finite number"),
        ("1,32,-inf,5", "line 3: the rating is -inf, expected a finite number"),
        ("1,32,1e999,5", "line 3: the rating is inf, expected a finite number"),
        (
            "1,32,3,yesterday",
            "line 3: the time is 'yesterday', expected a number or a date like .* time=None",
        ),
        ("1,32,3,nan", "line 3: the time is missing"),
        ("1,32,3,2020-01-01", "the times must be all numbers or all dates; or read it with time=None"),
        ("\n\n1,31,3,5", r"line 5: user 1 has rated item 31 already \(.*line 2\): keep one rating"),
    ],
)
def test_a_bad_line_is_named(read, bad, message):
    with pytest.raises(ValueError, match=message):
        read(HEADER + "1,31,2.5,100\n" + bad + "\n9,9,1,1\n")


def test_a_line_that_is_not_utf8_is_named_wherever_it_stands(read):
    """The decoder works on blocks: it used to name the line where its block began."""
    lines = "".join(f"{user},31,3,100\n" for user in range(2000))
    with pytest.raises(ValueError, match=r"line 2002: not UTF-8 text, save the file as UTF-8"):
        read((HEADER + lines + "Zoë,31,3,100\n").encode("latin-1"))


def test_the_line_is_named_where_blank_lines_and_quotes_stand_before_it(read):
    with pytest.raises(ValueError, match="line 6: the rating is nan"):
        read(HEADER + '\n"a\nb",1,2,3\n\nc,1,nan,3\n')


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_is_an_error(read, content):
    with pytest.raises(ValueError, match=r"ratings\.csv is empty: a header and one line a rating are needed"):
        read(content)


@pytest.mark.parametrize("content", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_a_file_without_a_rating_is_an_error(read, content):
    """A header without a line end used to be reported as a block boundary."""
    with pytest.raises(ValueError, match=r"ratings\.csv has no rating: one line a rating is needed"):
        read(content)


def test_a_missing_column_is_an_error_with_the_nearest_name(read):
    with pytest.raises(ValueError, match=r"user='userId' is no column of .*: did you mean 'userid'\?"):
        read(GOOD.replace("userId", "userid"))
    with pytest.raises(ValueError, match=r"item='what' is no column of .*: found 'userId', 'movieId'"):
        read(GOOD, item="what")
    with pytest.raises(ValueError, match=r"rating='stars' is no column"):
        read(GOOD, rating="stars")
    with pytest.raises(ValueError, match=r"time='timestmp' is no column of .*: did you mean 'timestamp'\?"):
        read(GOOD, time="timestmp")


def test_a_column_that_comes_twice_is_an_error_that_names_it(read):
    """The first of two of a name used to be taken in silence, and one column for two arguments."""
    twice = "userId,movieId,rating,x,x\n1,2,3,4,5\n"
    assert read(twice).n_ratings == 1  # of others it is no matter
    with pytest.raises(
        ValueError, match=r"rating='rating' names 2 columns of .*ratings.csv: rename all but one"
    ):
        read(twice.replace("x,x", "x,rating"))
    with pytest.raises(ValueError, match=r"time='timestamp' names 2 columns"):
        read(twice.replace("x,x", "timestamp,timestamp"))
    with pytest.raises(
        ValueError, match=r"user and item are both the column 'userId' of .*ratings.csv: name an"
    ):
        read(GOOD, item="userId")
    with pytest.raises(ValueError, match=r"rating and time are both the column 'timestamp'"):
        read(GOOD, rating="timestamp")


def test_a_path_that_is_no_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nope\.csv does not exist: give the path of a file"):
        Ratings.from_csv(tmp_path / "nope.csv")
    with pytest.raises(FileNotFoundError, match=r"is a folder, not a file: give the path of a file"):
        Ratings.from_csv(tmp_path)


@pytest.fixture
def small_blocks(monkeypatch):
    """The kinds of columns are guessed from the first block."""
    monkeypatch.setattr(readers, "BLOCK", 1 << 12)


@pytest.mark.parametrize("n", [1, 2000])
def test_text_among_numbers_makes_text_of_that_column_alone(read, n, small_blocks):
    """Text after the block from which kinds are guessed made text of both columns."""
    ratings = read(HEADER + "".join(f"{user},31,3,4\n" for user in range(n)) + "bob,31,3,4\n")
    assert (ratings.user_labels[0], ratings.user_labels[-1], ratings.item_labels) == ("0", "bob", [31])


def test_ids_past_64_bits_stay_apart(read):
    """They were read as floats, and two users became one."""
    ratings = read(HEADER + "12345678901234567890,31,3,4\n12345678901234567891,31,3,4\n")
    assert ratings.user_labels == ["12345678901234567890", "12345678901234567891"]


@pytest.mark.parametrize("id", ["2.50", "1e3", "nan", "NA", "true", "2020-01-01", "12:30:00"])
def test_ids_that_are_no_whole_numbers_are_kept_as_written(read, id):
    assert read(HEADER + f"{id},31,3,4\n").user_labels == [id]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1.5", 1.5),
        ("2020-01-31", np.datetime64("2020-01-31")),
        ("2020-01-31 10:30:00", np.datetime64("2020-01-31T10:30")),
        ("2020-01-31T10:30:00.25", np.datetime64("2020-01-31T10:30:00.250")),
        ("2020-01-31T10:30:00+02:00", np.datetime64("2020-01-31T08:30")),
    ],
)
def test_times_are_numbers_or_dates(read, written, expected):
    (time,) = read(HEADER + f"1,31,3,{written}\n").times
    assert time == expected


def test_times_that_turn_to_fractions_late_are_read(read, small_blocks):
    lines = "".join(f"{user},31,3,{user}\n" for user in range(2000))
    np.testing.assert_array_equal(read(HEADER + lines + "2000,31,3,0.5\n").times[-2:], [1999, 0.5])


@pytest.mark.parametrize("users", [range(2000), [f"u{user}" for user in range(2000)]])
def test_ids_are_the_same_whatever_blocks_they_are_read_in(read, users, monkeypatch):
    content = HEADER + "".join(f"{user},{row % 7},3,4\n" for row, user in enumerate(users))
    whole = read(content)
    monkeypatch.setattr(readers, "BLOCK", 1 << 10)
    assert read(content).digest == whole.digest
    assert whole.user_labels == sorted(users)


def test_whole_numbers_are_one_id_however_they_are_written(read):
    """Text further down makes all of the column text at first, where 7 and 007 differ."""
    with pytest.raises(ValueError, match="line 4: user 7 has rated item 31 already"):
        read(HEADER + "7,31,3,0.5\n8,31,3,4\n007,31,3,4\n")


def test_values_are_kept_in_the_kind_asked_for(read):
    assert (read(GOOD, dtype="float32").values.dtype, read(GOOD).values.dtype) == (np.float32, np.float64)
    with pytest.raises(ValueError, match=r"line 2: the rating is 1e\+300, too large for float32"):
        read(HEADER + "1,31,1e300,4\n", dtype=np.float32)


def test_times_are_read_where_asked_for_and_there(read):
    assert read(GOOD, time=None).times is None
    assert read("userId,movieId,rating\n1,31,3\n").times is None
    np.testing.assert_array_equal(read(GOOD.replace("timestamp", "when"), time="when").times, [100, 200])


@pytest.mark.parametrize(("layout", "between"), [(readers.U_DATA, "\t"), (readers.DOUBLE_COLON, "::")])
def test_layouts_without_a_header_are_read(tmp_path, layout, between):
    path = tmp_path / "u.data"
    path.write_text("196\t242\t3\t881250949\n186\t302\t4.5\t891717742\n".replace("\t", between))
    table = readers.read_csv(path, *layout.names, layout=layout)
    assert (table.users.labels, table.items.labels) == ([186, 196], [242, 302])
    np.testing.assert_array_equal(
        np.c_[table.users.codes, table.items.codes, table.values], [[1, 0, 3], [0, 1, 4.5]]
    )
    np.testing.assert_array_equal(table.times, [881250949, 891717742])


@pytest.mark.parametrize(("layout", "between"), [(readers.U_DATA, "\t"), (readers.DOUBLE_COLON, "::")])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("186\t302\t4", r"line 2: 4 fields are expected \(userId, movieId, rating, timestamp\), got 3"),
        ("186\t302\tgood\t5", "line 2: the rating is 'good'"),
        ("186\t\t4\t5", "line 2: the item is missing"),
        ("196\t242\t4\t5", r"line 2: user 196 has rated item 242 already \(.*line 1\)"),
        ("186\t302\tinf\t5", "line 2: the rating is inf"),
    ],
)
def test_a_bad_line_of_a_layout_without_a_header_is_named(tmp_path, layout, between, bad, message):
    """Fields parted by :: used to be counted with the empty ones between."""
    path = tmp_path / "u.data"
    path.write_text(f"196\t242\t3\t881250949\n{bad}\n".replace("\t", between))
    with pytest.raises(ValueError, match=message):
        Ratings.from_table(readers.read_csv(path, *layout.names, layout=layout))


def test_an_empty_file_without_a_header_is_an_error(tmp_path):
    (tmp_path / "u.data").write_text("")
    with pytest.raises(ValueError, match=r"u\.data has no rating: one line a rating is needed"):
        readers.read_csv(tmp_path / "u.data", *readers.U_DATA.names, layout=readers.U_DATA)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("movies.csv", 'movieId,title,genres\n1,"Amélie, again",Drama\ntt7,Alien,\n'.encode()),
        ("u.item", "1|Amélie, again|1995\ntt7|Alien|1979\n".encode("latin-1")),
        ("movies.dat", "1::Amélie, again::Drama\ntt7::Alien::\n".encode("latin-1")),
        ("movies.dat", "1::Amélie, again::Drama\ntt7::Alien::\n".encode()),
    ],
)
def test_titles_are_read_in_every_layout_and_encoding(tmp_path, name, content):
    """ml-10m is UTF-8, those before it Latin-1."""
    (tmp_path / name).write_bytes(content)
    assert readers.read_titles(tmp_path / name) == {1: "Amélie, again", "tt7": "Alien"}


def test_an_empty_file_of_titles_has_none(tmp_path):
    (tmp_path / "movies.csv").write_text("")
    assert readers.read_titles(tmp_path / "movies.csv") == {}
