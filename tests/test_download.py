"""Downloads from a real server on this machine that also lies, stalls and breaks off."""

import hashlib
import random
import re

import pytest
from faults import fill, small_disk
from servers import answering, breaking_off, honest, serving, stalling, without_ranges

from mflib import download

BODY = random.Random(0).randbytes(200_000)
MD5 = hashlib.md5(BODY).hexdigest()
HALF = len(BODY) // 2


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0, 0))
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    with serving() as server:
        server.files["/a.zip"] = BODY
        yield server


@pytest.fixture
def get(server, tmp_path):
    """Fetch the file of the server and return what came; nothing else may stay."""

    def get(**options):
        path = tmp_path / "a.zip"
        download.fetch(f"{server.url}/a.zip", path, **{"largest": 1_000_000, **options})
        assert [path] == list(tmp_path.iterdir())
        return path.read_bytes()

    return get


def ranges(server):
    return [asked for _, asked, _ in server.requests]


@pytest.mark.parametrize("md5", [MD5, None])
def test_a_file_comes_as_it_is(server, get, md5):
    assert get(md5=md5) == BODY
    assert ranges(server) == [None]


@pytest.mark.parametrize("behaviour", [breaking_off(HALF), stalling(HALF)])
def test_what_broke_off_or_stalled_is_continued_where_it_stopped(server, get, behaviour):
    server.behaviours = [behaviour]
    assert get(md5=MD5) == BODY
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert server.requests[1][2].startswith('"')  # If-Range: only if it is still the same file


def test_an_answer_that_never_begins_is_waited_for_a_time_only(server, get, tmp_path):
    server.behaviours = [lambda handler: handler.server.closing.wait(60)] * 3
    with pytest.raises(download.DownloadError, match=r"nothing has come for 0.3 seconds, tried 3 times"):
        get()


def test_a_call_that_failed_is_continued_by_the_next(server, get, tmp_path):
    server.behaviours = [breaking_off(HALF), breaking_off(0), breaking_off(0)]
    broke_off = r"/a\.zip: the connection broke off after 100,000 of 200,000 bytes, tried 3 times"
    with pytest.raises(download.DownloadError, match=broke_off):
        get()
    assert not (tmp_path / "a.zip").exists()
    assert get() == BODY
    assert ranges(server) == [None] + 3 * [f"bytes={HALF}-"]


def test_a_date_names_the_version_where_there_is_no_strong_tag(server, get):
    date = {"ETag": 'W/"1"', "Last_Modified": "Mon, 23 Nov 2026 10:00:00 GMT"}
    server.behaviours = [breaking_off(HALF, **date), lambda handler: honest(handler, **date)]
    assert get() == BODY
    assert server.requests[1][1:] == (f"bytes={HALF}-", date["Last_Modified"])


@pytest.mark.parametrize("headers", [{"ETag": None}, {"ETag": 'W/"1"'}])
def test_what_has_no_version_begins_anew(server, get, headers):
    server.behaviours = [breaking_off(HALF, **headers)]
    assert get() == BODY
    assert ranges(server) == [None, None]


def test_a_server_without_ranges_sends_it_all_again(server, get):
    server.behaviours = [breaking_off(HALF), without_ranges]
    assert get() == BODY
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_file_that_changed_in_between_begins_anew(server, get):
    def change(handler):
        honest(handler, sent=HALF)
        server.files["/a.zip"] = BODY[::-1]

    server.behaviours = [change]
    assert get() == BODY[::-1]
    assert ranges(server) == [None, f"bytes={HALF}-"]


def test_a_part_of_another_address_is_not_continued(server, get, tmp_path):
    server.files["/old/a.zip"] = BODY[::-1]
    date = {"ETag": None, "Last_Modified": "Mon, 23 Nov 2026 10:00:00 GMT"}  # the same of both
    server.behaviours = [breaking_off(HALF, **date)] + [breaking_off(0, **date)] * 2
    with pytest.raises(download.DownloadError):
        download.fetch(f"{server.url}/old/a.zip", tmp_path / "a.zip", 1_000_000)
    server.behaviours = [lambda handler: honest(handler, **date)]
    assert get() == BODY


@pytest.mark.parametrize("note", ["", "[]", '{"url": 1}', '{"size": "x", "version": 1, "url": 1}'])
def test_a_note_beside_the_part_that_is_damaged_begins_anew(server, get, tmp_path, note):
    server.behaviours = [breaking_off(HALF)] + [breaking_off(0)] * 2
    with pytest.raises(download.DownloadError):
        get()
    (tmp_path / "a.zip.part.json").write_text(note)
    server.behaviours = []
    assert get() == BODY
    assert ranges(server)[-1] is None


@pytest.mark.parametrize(
    "where",
    [f"bytes {HALF - 1}-{len(BODY) - 1}/{len(BODY)}", f"bytes {HALF}-{len(BODY)}/{len(BODY) + 1}", None],
)
def test_a_continuation_of_something_else_is_not_taken(server, get, where):
    server.behaviours = [
        breaking_off(HALF),
        lambda handler: handler.reply(206, BODY[HALF:], Content_Range=where),
    ]
    assert get() == BODY
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_of_a_continuation_no_more_is_taken_than_was_announced(server, get):
    where = f"bytes {HALF}-{len(BODY) - 1}/{len(BODY)}"
    more = answering(206, BODY[HALF:] + b"more", Content_Range=where)
    server.behaviours = [breaking_off(HALF), more]
    assert get() == BODY


@pytest.mark.parametrize("code", [412, 416])
def test_a_refusal_to_continue_begins_anew(server, get, code):
    server.behaviours = [breaking_off(HALF), answering(code)]
    assert get() == BODY
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_a_continuation_with_other_bytes_is_seen_by_the_digest_and_begins_anew(server, get):
    def other(handler):
        where = f"bytes {HALF}-{len(BODY) - 1}/{len(BODY)}"
        handler.reply(206, bytes(HALF), Content_Range=where)

    server.behaviours = [breaking_off(HALF), other]
    assert get(md5=MD5) == BODY
    assert ranges(server) == [None, f"bytes={HALF}-", None]


def test_another_digest_is_an_error_that_leaves_nothing_to_continue(server, get, tmp_path):
    server.files["/a.zip"] = BODY[:-1] + b"x"
    found = hashlib.md5(server.files["/a.zip"]).hexdigest()
    with pytest.raises(download.DownloadError, match=f"the MD5 digest {found}, expected {MD5}"):
        get(md5=MD5)
    assert not (tmp_path / "a.zip").exists()
    server.files["/a.zip"] = BODY
    assert get(md5=MD5) == BODY
    assert ranges(server) == [None, None]


def test_more_bytes_than_announced_are_not_taken(server, get):
    server.behaviours = [lambda handler: honest(handler, Content_Length=HALF)]
    assert get() == BODY[:HALF]  # what it is then, the digest or the archive tells


def test_fewer_bytes_than_announced_are_no_file(server, get, tmp_path):
    longer = len(BODY) + 5
    server.behaviours = [lambda handler: honest(handler, Content_Length=longer, ETag=None)] * 3
    with pytest.raises(download.DownloadError, match=r"broke off after 200,000 of 200,005 bytes"):
        get()
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (None, "does not say how large"),
        ("-5", "does not say how large"),
        ("1000001", "announced as 1000001 bytes, expected at most 1,000,000"),
        ("9" * 5000, "announced as 9999999"),
    ],
)
def test_a_file_of_unknown_or_unexpected_size_is_refused_unread(server, get, tmp_path, length, message):
    server.behaviours = [lambda handler: honest(handler, Content_Length=length)]
    with pytest.raises(download.DownloadError, match=message):
        get()
    assert len(server.requests) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("code", "tries"), [(404, 1), (403, 1), (500, 3), (503, 3), (204, 1)])
def test_an_error_of_the_server_is_said_and_only_what_may_pass_is_tried_again(server, get, code, tries):
    server.behaviours = [answering(code)] * 3
    with pytest.raises(download.DownloadError, match=rf"/a\.zip:? (it )?answers {code} "):
        get()
    assert len(server.requests) == tries


def test_an_error_that_passes_is_not_noticed(server, get):
    server.behaviours = [answering(503), answering(500)]
    assert get() == BODY


def test_a_redirection_within_the_server_is_followed_also_to_continue(server, get):
    server.files["/b.zip"] = BODY
    there = answering(302, Location="/b.zip")
    server.behaviours = [there, breaking_off(HALF), there]
    assert get() == BODY
    assert [path for path, *_ in server.requests] == ["/a.zip", "/b.zip"] * 2
    assert ranges(server)[-1] == f"bytes={HALF}-"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("http://127.0.0.2/a.zip", "leads to another server, http://127.0.0.2/a.zip: not followed"),
        ("https://127.0.0.1/a.zip", "leads to another server, https://127.0.0.1/a.zip: not followed"),
        ("file:///etc/passwd", "answers 302 "),
    ],
)
def test_a_redirection_elsewhere_is_not_followed(server, get, where, message):
    server.behaviours = [answering(302, Location=where)]
    with pytest.raises(download.DownloadError, match=re.escape(message)):
        get()


def test_a_redirection_in_a_circle_ends(server, get):
    server.behaviours = [answering(302, Location="/a.zip")] * 50
    with pytest.raises(download.DownloadError, match="answers 302"):
        get()


def test_no_server_is_said_after_a_few_tries(server, get):
    server.server_close()
    with pytest.raises(download.DownloadError, match=r"broke off \(.*refused\), tried 3 times"):
        get()


def test_a_name_without_a_network_is_said_at_once(monkeypatch, tmp_path):
    def no_name(*arguments, **options):
        raise download.socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(download.socket, "getaddrinfo", no_name)
    with pytest.raises(
        download.DownloadError, match=r"the server is not found \(Name or service not known\)"
    ):
        download.fetch("https://files.grouplens.org/a.zip", tmp_path / "a.zip", 1)


def test_a_server_without_a_good_certificate_is_refused(server, tmp_path):
    """TLS is spoken by this server, with a certificate of its own making."""
    import ssl
    import subprocess

    key = tmp_path / "key.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    try:
        subprocess.run(
            [*made, "-keyout", str(key), "-out", str(key) + ".crt"], check=True, capture_output=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("openssl, which makes a certificate, is not there")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{key}.crt", key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with pytest.raises(download.DownloadError, match=r"the certificate of the server is not accepted \("):
        download.fetch(f"https://127.0.0.1:{server.server_port}/a.zip", tmp_path / "a.zip", 1_000_000)
    assert server.requests == []


def test_a_full_disk_is_said_and_when_there_is_room_it_goes_on(server, tmp_path):
    folder = tmp_path / "small"
    with small_disk(folder, 1):
        server.files["/a.zip"] = body = BODY * 4
        (folder / "ballast").write_bytes(bytes(512 << 10))
        path = folder / "a.zip"
        with pytest.raises(download.DownloadError, match=r"a\.zip\.part cannot be written: No space left"):
            download.fetch(f"{server.url}/a.zip", path, 1_000_000)
        (folder / "ballast").unlink()
        download.fetch(f"{server.url}/a.zip", path, 1_000_000)
        assert path.read_bytes() == body
    assert re.match(r"bytes=[1-9]\d*-$", ranges(server)[-1])


def test_a_disk_that_is_full_to_the_last_byte_is_said(server, tmp_path):
    folder = tmp_path / "small"
    with small_disk(folder, 1):
        fill(folder)
        with pytest.raises(download.DownloadError, match=r"cannot be written: No space left"):
            download.fetch(f"{server.url}/a.zip", folder / "a.zip", 1_000_000)
        (folder / "ballast").unlink()
        download.fetch(f"{server.url}/a.zip", folder / "a.zip", 1_000_000)


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_a_bar_is_shown_where_it_is_asked_for(server, get, capsys, progress, shown):
    get(progress=progress)
    assert ("a.zip: 100%" in capsys.readouterr().err) == shown


@pytest.mark.parametrize(
    "url",
    [
        "http://files.grouplens.org/data",
        "ftp://127.0.0.1/",
        "file:///tmp",
        "https://",
        "127.0.0.1:80",
        "http://127.0.0.1.example.org/",
        "http://localhost.example.org/",
        "https://a:99999/",
        "https://[::1/",
        "https://a b/",
        "https://a/?x=1",
        "",
    ],
)
def test_an_address_that_is_not_safe_is_refused(url):
    message = rf"^MIRROR must be an address https://… \(http://… on this machine\), got {re.escape(url)}$"
    with pytest.raises(ValueError, match=message):
        download.checked_address("MIRROR", url)


def test_a_password_in_an_address_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match=r"^MIRROR must hold no user and no password") as error:
        download.checked_address("MIRROR", "https://ada:secret@files.org/data")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("url", ["https://files.org/data", "http://localhost:8000", "http://[::1]:80/a"])
def test_a_safe_address_is_taken(url):
    assert download.checked_address("MIRROR", url) == download.checked_address("MIRROR", f"{url}/") == url


@pytest.mark.soak
def test_a_large_file_comes_whole_however_often_it_breaks_off(server, tmp_path, monkeypatch):
    rng = random.Random(1)
    server.files["/a.zip"] = body = rng.randbytes(100_000_000)
    monkeypatch.setattr(download, "PAUSES", (0,) * 200)
    server.behaviours = [breaking_off(rng.randrange(2_000_000)) for _ in range(100)]
    path = tmp_path / "a.zip"
    download.fetch(f"{server.url}/a.zip", path, 10**9, hashlib.md5(body).hexdigest())
    assert path.read_bytes() == body
    assert len(server.requests) > 50
