"""A copy of the package in which one mutant at a time is tested by a fresh process."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from operators import Mutant

# The compiled loops are not among them: each mutant would be compiled for a minute.
MODULES = {
    "dense": "test_dense.py",
    "elementwise": "test_dense.py",
    "quartic": "test_quartic.py",
    "objective": "test_objective.py",
    "arrays": "test_rules.py",
    "rules": "test_rules.py",
    "training": "test_rules.py",
    "sparse": "test_sparse.py",
    "sparse_numba": "test_sparse.py",
    "sparse_numpy": "test_sparse.py",
    "descent": "test_descent.py",
}
LEDGER = "tests/test_verify_ledger.py::test_every_equation_holds"


class Copy:
    """The package and its tests in a folder of their own; one process at a time works there."""

    def __init__(self, root: Path, folder: Path):
        self.folder, self.process = folder, None
        for name in ("mflib", "tests"):
            shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(root / "pyproject.toml", folder)

    def path(self, module: str) -> Path:
        """Where the module lies in this copy."""
        return self.folder / "mflib" / f"{module}.py"

    def python(self, *arguments: str, limit: float | None = None, **env: str) -> tuple[int | None, str]:
        """This interpreter's exit code and output in the copy; past the limit in seconds the code is None."""
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "OPENBLAS_NUM_THREADS": "1", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a group of its own, to end it with all that it started
        )
        try:
            output, _ = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.kill()
            return None, self.process.communicate()[0]
        return self.process.returncode, output

    def kill(self) -> None:
        """End the process and all that it started."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def test(self, module: str, **options) -> tuple[int | None, str]:
        """The tests of the mathematics, those of this module first, up to the first that fails."""
        files = dict.fromkeys((MODULES[module], *MODULES.values()))
        paths = (f"mflib/{module}.py", *(f"tests/{file}" for file in files), LEDGER)
        # Plugins and conftest serve notebooks and runs: their imports would cost each mutant a second.
        pytest = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--noconftest")
        return self.python(*pytest, *paths, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **options)

    def control(self, modules: list[str]) -> float:
        """Most seconds that the unmutated tests take; they must pass, and on this copy."""
        where = self.python("-c", "import mflib; print(mflib.__file__)")[1].strip()
        if not Path(where).is_relative_to(self.folder):
            raise RuntimeError(f"the tests import {where}, not the copy in {self.folder}")
        seconds = []
        for module in modules:
            start = time.perf_counter()
            code, output = self.test(module)
            seconds.append(time.perf_counter() - start)
            if code != 0:
                raise RuntimeError(f"the unmutated control must survive, and does not:\n{output}")
        return max(seconds)

    def judge(self, mutant: Mutant, limit: float) -> str:
        """What becomes of a mutant: survived, killed, timed out, or crashed, which proves nothing."""
        path = self.path(mutant.module)
        original = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        # No bytecode: the next mutant may have the same length and be of the same second.
        code, output = self.test(mutant.module, limit=limit, PYTHONDONTWRITEBYTECODE="1")
        path.write_text(original, encoding="utf-8")
        fates = {0: "survived", 1: "killed", 2: "killed", None: "timed out"}
        return fates.get(code, f"crashed with code {code}, which proves nothing:\n{output}")
