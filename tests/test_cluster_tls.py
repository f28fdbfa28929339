"""A cluster with Dask's TLS settings as docs/cluster/tls.yaml has them: real certificates and processes."""

import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")
pytest.importorskip("cryptography")

import dask
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from distributed import Client

from mflib import cluster, datasets, descend, random_factors

EXAMPLE = Path(__file__).parents[1] / "docs" / "cluster" / "tls.yaml"


def certificates(folder):
    """An authority, and a certificate of it for every machine, under the names of the example."""

    def name(of):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, of)])

    def signed(of, key, ca, authority_key):
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(name("mflib-ca"), name(of), key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        return builder.sign(authority_key, hashes.SHA256())

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(signed("mflib-ca", authority_key, True, authority_key).public_bytes(pem))
    (folder / "cert.pem").write_bytes(signed("mflib", key, False, authority_key).public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *form))


@contextlib.contextmanager
def dask_process(config, *arguments):
    """`dask scheduler` or `dask worker` that reads this folder of settings; its address once it has one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments, "--host", "tls://127.0.0.1"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"DASK_CONFIG": str(config)},
        start_new_session=True,
    )
    try:
        for line in process.stderr:
            if found := re.search(r"(?:Scheduler at|Registered to): +(tls://\S+)", line):
                break
        else:
            pytest.fail(f"dask {arguments[0]} has ended")
        yield found[1]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)


def test_a_descent_over_tls_and_a_client_without_certificates_is_refused(tmp_path, monkeypatch):
    certificates(tmp_path)
    config = tmp_path / "config"
    config.mkdir()
    text = EXAMPLE.read_text(encoding="utf-8")
    assert text.count("/etc/dask/tls/") == 7
    (config / "distributed.yaml").write_text(text.replace("/etc/dask/tls/", f"{tmp_path}/"), encoding="utf-8")
    ratings = datasets.planted(60, 40, 1000, n_factors=2, seed=1).ratings
    start = random_factors(ratings.shape, 3, seed=2, scale=0.3)
    with (
        dask_process(config, "scheduler", "--port", "0", "--no-dashboard") as address,
        dask_process(config, "worker", address, "--nthreads", "1", "--no-dashboard"),
    ):
        settings = yaml.safe_load((config / "distributed.yaml").read_text(encoding="utf-8"))
        with dask.config.set(dask.config.merge(dask.config.config, settings)), Client(address) as client:
            found = cluster.descend(ratings, *start, client=client, iterations=5, n_blocks=3)
            assert all(worker.startswith("tls://") for worker in client.scheduler_info()["workers"])
        with pytest.raises((OSError, TypeError, ValueError), match=r"TLS|ssl|encrypt|connect"):
            Client(address, timeout=3)
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            Client(address.replace("tls:", "tcp:"), timeout=3)
    np.testing.assert_allclose(found.U, descend(ratings, *start, iterations=5).U, rtol=1e-9)
