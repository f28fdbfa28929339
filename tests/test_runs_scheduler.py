"""What is said of an address where no scheduler of Dask answers, whoever does, and of settings of TLS."""

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from servers import serving

pytest.importorskip("distributed")

import dask

from mflib.runs import scheduler
from mflib.runs.project import InputError

TLS = "distributed.comm.tls"


def said(address):
    with pytest.raises(InputError) as refused:
        scheduler.look(address)
    return str(refused.value)


NO_ADDRESSES = """tcp:/x 127.0.0.1 http://127.0.0.1:5000 tcp://127.0.0.1:8786/ 8786 :8786 tcp://
tcp://127.0.0.1:99999 tcp://127.0.0.1:-1 tcp://[::1 inproc://1/2/3"""


@pytest.mark.parametrize("address", ["", *NO_ADDRESSES.split()])
def test_what_is_no_address_is_said_at_once(address):
    assert said(address).startswith("expected tcp://HOST:PORT or tls://HOST:PORT; give the address of a")


@contextmanager
def listening(greet):
    """The address of a server that does nothing but this with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve():
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return
                greet(kept[-1])

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


GREETINGS = {
    "silence": (lambda connection: None, "no scheduler of Dask answers there within"),
    "a word": (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "something else than"),
    "closes": (lambda connection: connection.close(), "no scheduler of Dask answers there within"),
}


@pytest.mark.parametrize("greeting", GREETINGS)
def test_whoever_listens_there_is_not_waited_for_without_end(monkeypatch, greeting):
    monkeypatch.setattr(scheduler, "ANSWER", 0.5)
    greet, words = GREETINGS[greeting]
    with listening(greet) as address:
        assert said(address).startswith(words)


def mflib(*arguments, **env):
    ran = subprocess.run(
        [sys.executable, "-m", "mflib.cli", *arguments],
        env=os.environ | env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.soak
def test_the_port_of_a_web_server_is_refused_with_2_and_a_line_and_nothing_of_dask(project):
    project.notebook("01_point", parameters="k: int = 1")
    params = str(project.params("runs: [{notebook: 01_point}]\nsweep: {k: [1, 2]}"))
    with serving() as server:
        for scheme in ("tcp", "http"):
            address = server.url.replace("http", scheme)
            code, out, err = mflib("sweep", params, "--cluster", address)
            assert (code, out) == (2, "")
            assert re.fullmatch(rf"mflib: --cluster {address}: [^\n]*as `mflib cluster` prints it\n", err)


def wrong_settings(folder):
    """Settings of TLS, and what is said of them."""
    text, there = folder / "no certificate.pem", folder / "nowhere.pem"
    text.write_text("hello")
    return [
        (
            {"ca-file": there, "client.cert": text},
            f"{TLS}.ca-file is {there}: No such file or directory; give",
        ),
        ({"ca-file": text}, f"{TLS}.client.cert is missing, without which there is no TLS: give the path of"),
        ({"client.cert": text}, f"{TLS}.ca-file is missing"),
        ({"ca-file": text, "client.cert": there}, f"{TLS}.client.cert is {there}: No such file"),
        (
            {"ca-file": text, "client.cert": text, "client.key": there},
            f"{TLS}.client.key is {there}: No such",
        ),
        ({"ca-file": text, "client.cert": text}, f"{TLS}.ca-file is {text}: no certificate ("),
        ({"ca-file": folder, "client.cert": text}, f"{TLS}.ca-file is {folder}: Is a directory"),
        ({"min-version": 7}, f"{TLS}.min-version='7' is not supported, expected one of"),
    ]


def test_a_wrong_setting_of_tls_is_named_with_its_file(tmp_path):
    for settings, words in wrong_settings(tmp_path):
        with dask.config.set({f"{TLS}.{name}": str(value) for name, value in settings.items()}):
            assert words in said("tls://127.0.0.1:1")


def test_wrong_settings_of_tls_matter_without_it_too_where_dask_reads_them(tmp_path):
    there = {"ca-file": str(tmp_path / "nowhere.pem"), "client.cert": str(tmp_path / "nowhere.pem")}
    with dask.config.set({f"{TLS}.{name}": value for name, value in there.items()}):
        assert "ca-file is " in said("tcp://127.0.0.1:1")


def test_a_cluster_with_wrong_settings_of_tls_is_refused_with_2_and_a_line(tmp_path):
    files = {
        f"{role}.{kind}": tmp_path / "x.pem" for role in ("scheduler", "worker") for kind in ("cert", "key")
    }
    files["ca-file"] = tmp_path / "nowhere.pem"
    env = {
        f"DASK_{TLS}.{name}".replace(".", "__").replace("-", "_").upper(): str(path)
        for name, path in files.items()
    }
    code, out, err = mflib("cluster", "--port", "0", "--workers", "1", **env)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"mflib: Dask's setting {TLS}.ca-file is {files['ca-file']}: No such [^\n]*\n", err)
