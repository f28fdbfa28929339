import os
import signal
import subprocess
import sys

import pytest

from mflib.runs import owner


@pytest.fixture
def process():
    """Another process, whose tags a test takes."""
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_that_runs_is_alive_and_one_that_was_killed_is_dead(process):
    tags = owner.tags(process.pid)
    assert owner.judge(tags) == owner.ALIVE
    process.send_signal(signal.SIGSTOP)
    assert owner.judge(tags) == owner.ALIVE
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert (
        owner.judge(tags) == owner.DEAD
    )  # it is still listed, for its parent has not asked what became of it
    process.wait()
    assert owner.judge(tags) == owner.DEAD


def test_a_number_that_was_given_out_again_does_not_pass_for_the_process(process):
    assert owner.judge({**owner.tags(process.pid), "mflib.pid": str(os.getpid())}) == owner.DEAD


def test_a_process_of_another_machine_is_unknown():
    assert owner.judge({**owner.tags(), "mflib.host": "elsewhere"}) == owner.UNKNOWN


@pytest.mark.parametrize("missing", ["mflib.host", "mflib.pid", "mflib.process_started"])
def test_a_run_without_all_tags_is_unknown(missing):
    tags = owner.tags()
    del tags[missing]
    assert owner.judge(tags) == owner.UNKNOWN
