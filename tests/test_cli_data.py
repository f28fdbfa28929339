"""`mflib data`, in processes of its own that are stopped, killed, and several at once."""

import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from servers import answering, archive, honest, serving, stalling

from mflib import cli, movielens

SMALL, ARCHIVE = "movielens-small", "/ml-latest-small.zip"


@pytest.fixture
def server(project, monkeypatch):
    """A server that has movielens-small, for processes as well; no data at hand and an empty cache."""
    monkeypatch.setattr(movielens, "DATA", project.root / "data")
    monkeypatch.setenv("MFLIB_DATA", str(project.root / "data"))
    monkeypatch.setenv("MFLIB_CACHE", str(project.root / "cache"))
    with serving() as server:
        monkeypatch.setenv("MFLIB_MOVIELENS_URL", server.url)
        server.files[ARCHIVE] = archive()
        yield server


def test_the_names_are_listed_with_what_they_take_and_where_they_are(server, project, capsys):
    (folder := project.root / "data" / "ml-25m").mkdir(parents=True)
    (folder / "ratings.csv").touch()
    assert cli.main(["data"]) == 0
    heading, _, small, larger, largest = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "ratings", "download", "kept", "where"]
    assert small.split(maxsplit=6)[:6] == [SMALL, "100,836", "1", "MB", "3", "MB"]
    assert small.endswith("not here: `mflib data movielens-small` fetches it")
    assert larger.split() == [
        "movielens-25m",
        "25,000,095",
        "262",
        "MB",
        "681",
        "MB",
        f"{folder}/ratings.csv",
    ]
    assert largest.startswith("movielens-32m    32,000,204")
    assert server.requests == []


def test_a_name_is_fetched_and_where_it_is_is_printed(server, project, capsys):
    source = project.root / "cache/ml-latest-small/ratings.csv"
    for _ in range(2):
        assert cli.main(["data", SMALL]) == 0
        assert capsys.readouterr().out == f"{source}\n"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("name", "url", "message"),
    [
        ("movielens-smal", None, "movielens-smal: no such data; did you mean 'movielens-small'?"),
        ("x", None, "x: no such data; valid are 'movielens-small', 'movielens-25m', 'movielens-32m'"),
        (SMALL, "http://example.org", "MFLIB_MOVIELENS_URL must be an address https://…"),
    ],
)
def test_wrong_input_is_exit_2(server, monkeypatch, capsys, name, url, message):
    if url:
        monkeypatch.setenv("MFLIB_MOVIELENS_URL", url)
    assert cli.main(["data", name]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"mflib: {message}")
    assert server.requests == []


def test_what_cannot_be_fetched_is_exit_1_and_one_line_says_what_to_do(server, capsys):
    server.behaviours = [answering(403)]
    assert cli.main(["data", SMALL]) == 1
    problem = capsys.readouterr().err.splitlines()[-1]
    assert problem.startswith(f"mflib: {SMALL}: {server.url}{ARCHIVE} answers 403 Forbidden. By hand: unpack")


def stopped_at(server, project, process, size):
    """Wait until that much of the archive has come."""
    part = project.root / "cache" / "ml-latest-small.zip.part"
    deadline = time.monotonic() + 60
    while not part.exists() or part.stat().st_size < size:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_what_a_stopped_or_killed_process_had_is_continued_by_the_next(server, project, number, code):
    half = len(server.files[ARCHIVE]) // 2
    server.behaviours = [stalling(half)]
    process = project.start("data", SMALL)
    stopped_at(server, project, process, half)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert movielens.movielens(SMALL).ratings.n_ratings == 399
    assert [asked for _, asked, _ in server.requests] == [None, f"bytes={half}-"]


def test_of_two_processes_at_once_one_fetches_and_the_other_waits(server, project):
    """The second takes over when the first is killed."""
    half = len(server.files[ARCHIVE]) // 2
    server.behaviours = [stalling(half)]
    first = project.start("data", SMALL)
    stopped_at(server, project, first, half)
    second = project.start("data", SMALL)
    assert second.stderr.readline() == f"{SMALL} is being fetched by another process: waiting for it\n"
    assert len(server.requests) == 1
    first.kill()
    first.communicate()
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out) == (0, f"{project.root}/cache/ml-latest-small/ratings.csv\n"), err
    assert [asked for _, asked, _ in server.requests] == [None, f"bytes={half}-"]


@pytest.mark.soak
def test_eight_processes_at_once_fetch_it_once(server, project):
    server.files[ARCHIVE] = archive(stored=True, more=[("ml-latest-small/tags.csv", "x" * 3_000_000)])
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: project.mflib("data", SMALL), range(8)))
    assert [one.returncode for one in done] == [0] * 8
    assert {one.stdout for one in done} == {f"{project.root}/cache/ml-latest-small/ratings.csv\n"}
    assert len(server.requests) == 1


@pytest.mark.soak
def test_killed_again_and_again_it_is_fetched_in_the_end(server, project):
    """Whatever it was doing: asking, receiving, unpacking, reading."""
    rng = random.Random(0)
    server.files[ARCHIVE] = body = archive(
        stored=True, more=[("ml-latest-small/tags.csv", rng.randbytes(3_500_000))]
    )

    def slowly(handler):
        honest(handler, sent=rng.randrange(len(body) // 4))
        time.sleep(rng.random())

    server.behaviours = [slowly] * 15
    killed = 0
    for _ in range(40):
        process = project.start("data", SMALL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.3 + rng.random() * 0.7)
        process.kill()
        process.communicate()
        killed += process.returncode < 0
        if process.returncode == 0:
            break
    assert killed > 5
    assert movielens.movielens(SMALL).ratings.n_ratings == 399
    left = {path.name for path in (project.root / "cache").rglob("*") if path.is_file()}
    assert left == {"README.txt", "movies.csv", "ratings.csv", "ml-latest-small.lock"}
