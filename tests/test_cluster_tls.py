"""A cluster with Dask's TLS settings as docs/cluster/tls.yaml has them: real certificates and processes."""

import contextlib
import gc
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")

import dask
import yaml
from distributed import Client

from mflib import cluster, datasets, descend, random_factors
from mflib.runs import scheduler
from mflib.runs.project import InputError

DOCS = Path(__file__).parents[1] / "docs"


def certificates(folder):
    """By the commands of the page, as they stand there."""
    page = (DOCS / "cluster.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    (openssl (?:.*\\\n)*.*)$", page, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(["sh", "-c", command], cwd=folder, check=True, stderr=subprocess.DEVNULL)


def settings_of_the_page(folder):
    """A folder of settings for Dask, with certificates beside it."""
    certificates(folder)
    (config := folder / "config").mkdir()
    text = (DOCS / "cluster" / "tls.yaml").read_text(encoding="utf-8")
    assert text.count("/etc/dask/tls/") == 7
    (config / "tls.yaml").write_text(text.replace("/etc/dask/tls/", f"{folder}/"), encoding="utf-8")
    return config


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


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_a_descent_over_tls_and_a_client_without_certificates_is_refused(tmp_path, monkeypatch):
    config = settings_of_the_page(tmp_path)
    ratings = datasets.planted(60, 40, 1000, n_factors=2, seed=1).ratings
    start = random_factors(ratings.shape, 3, seed=2, scale=0.3)
    with (
        dask_process(config, "scheduler", "--port", "0", "--no-dashboard") as address,
        dask_process(config, "worker", address, "--nthreads", "1", "--no-dashboard"),
    ):
        settings = yaml.safe_load((config / "tls.yaml").read_text(encoding="utf-8"))
        with dask.config.set(dask.config.merge(dask.config.config, settings)), Client(address) as client:
            found = cluster.descend(ratings, *start, client=client, iterations=5, n_blocks=3)
            assert all(worker.startswith("tls://") for worker in client.scheduler_info()["workers"])
            scheduler.look(address)
            with pytest.raises(InputError, match="encryption required by Dask configuration"):
                scheduler.look(address.replace("tls:", "tcp:"))
            other = {"distributed.comm.tls.client.key": str(tmp_path / "ca-key.pem")}
            with (
                dask.config.set(other),
                pytest.raises(InputError, match=r"client\.cert .*, client\.key .* fit"),
            ):
                scheduler.look(address)
        with pytest.raises((OSError, TypeError, ValueError), match=r"TLS|ssl|encrypt|connect"):
            Client(address, timeout=3)
        gc.collect()  # or Dask may do it while it starts the next client, and wait for itself for ever
        with pytest.raises(OSError, match=r"[Cc]onnect"):
            Client(address.replace("tls:", "tcp:"), timeout=3)
    np.testing.assert_allclose(found.U, descend(ratings, *start, iterations=5).U, rtol=1e-9)


@pytest.mark.soak
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")
def test_mflib_cluster_reads_the_same_settings(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "mflib.cli", "cluster", "--port", "0", "--workers", "1"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DASK_CONFIG": str(settings_of_the_page(tmp_path))},
    )
    try:
        assert process.stdout.readline().startswith("scheduler  tls://127.0.0.1:")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_the_other_example_files_are_what_their_readers_want():
    """The fields that the resource of the operator requires; ports that are named are there."""
    text = (DOCS / "cluster" / "cluster.yaml").read_text(encoding="utf-8")
    resource = yaml.safe_load(text)
    assert (resource["apiVersion"], resource["kind"]) == ("kubernetes.dask.org/v1", "DaskCluster")
    worker, scheduler = (resource["spec"][part] for part in ("worker", "scheduler"))
    for part, name in ((worker, "worker"), (scheduler, "scheduler")):
        (container,) = part["spec"]["containers"]
        assert (container["name"], container["args"][0]) == (name, f"dask-{name}")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"]: port["port"] for port in scheduler["service"]["ports"]} == ports
    selector = {"dask.org/cluster-name": resource["metadata"]["name"], "dask.org/component": "scheduler"}
    assert scheduler["service"]["selector"] == selector
    compile((DOCS / "cluster" / "slurm.py").read_text(encoding="utf-8"), "slurm.py", "exec")
    page = (DOCS / "cluster.md").read_text(encoding="utf-8")
    for file in (DOCS / "cluster").iterdir():
        assert f"(cluster/{file.name})" in page
