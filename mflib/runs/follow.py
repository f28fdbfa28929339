"""`python -m mflib.runs.follow FOLDER`: bring what a kernel leaves in a folder into one run.

MLflow cannot take a recorded number back. So when a cell is rerun with another outcome, a new run takes the
place of the old one, which is deleted (MLflow can restore it); with the same outcome nothing happens. The
seconds of a rerun are always others: of those the first count.
"""

import json
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

import nbformat
from mlflow.entities import Metric

from mflib.runs import owner, protocol, unsent
from mflib.runs.clock import create_run, end_run
from mflib.runs.collect import complete, lines, log_tags, points
from mflib.runs.kernel import environment
from mflib.runs.outcome import FINISHED, KILLED
from mflib.runs.project import find_notebook
from mflib.runs.series import log_metrics
from mflib.runs.stop import Stop
from mflib.runs.store import open_store
from mflib.text import first_line

EXPERIMENT = "interactive"
_PAUSE = 0.5  # seconds between two looks at the folder


class Follower:
    """The run of a kernel, kept equal to what is in the folder.

    Parameters
    ----------
    folder : Path
        With begun.json.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._begun = json.loads((folder / "begun.json").read_text(encoding="utf-8"))
        self._path = find_notebook(self._begun["notebook"], "recording")
        cells = protocol.without_traces(nbformat.read(self._path, as_version=4)).cells
        self._about = protocol.gather(cells, self._begun["parameters"], environment())
        self._store = open_store()
        self._client, self._experiment = self._store.client(), self._store.experiment(EXPERIMENT)
        self._seen, self._replaced = {}, []
        self._begin()

    def _begin(self) -> None:
        """A run without results yet."""
        tags = {
            "mflib.notebook": self._path.stem,
            "mflib.interactive": "true",
            "mlflow.source.name": self._path.name,
            "mlflow.source.type": "NOTEBOOK",
            **owner.tags(),
        }
        self._run_id = create_run(self._store, self._experiment, self._path.stem, tags)
        self._values, self._files = {}, {}
        log_tags(self._client, self._run_id, protocol.tags(self._about))
        for name, value in self._begun["parameters"].items():
            self._client.log_param(self._run_id, name, value)
        (self.folder / "run_id").write_text(self._run_id)

    def ended(self) -> str | None:
        """The status, once the kernel has ended or records no more."""
        if (self.folder / "ended").exists():
            return FINISHED
        return None if owner.judge(self._begun["kernel"]) == owner.ALIVE else KILLED

    def look(self) -> None:
        """Bring in what is new, once the kernel has written nothing for a while."""
        before, self._seen = self._seen, self._look_of_files()
        if self._seen == before:
            self.bring()

    def _look_of_files(self) -> dict[str, tuple]:
        """Size and time of each file that the kernel has written."""
        found = [path for path in (self.folder / "artifacts").rglob("*") if path.is_file()]
        found += self.folder.glob("metrics.jsonl")
        stats = {str(path.relative_to(self.folder)): path.stat() for path in found}
        return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}

    def bring(self) -> None:
        """Make the run equal to the folder."""
        found = _placed(points(_latest(self.folder)))
        if any(self._outdated(place, found) for place in self._values):
            self._replaced.append(self._run_id)
            self._begin()
        new = [point for place, point in found.items() if place not in self._values]
        log_metrics(self._store, self._run_id, new)
        self._values |= {place: point.value for place, point in found.items() if place not in self._values}
        self._bring_files()
        while self._replaced:
            self._client.delete_run(self._replaced[-1])
            self._replaced.pop()

    def _outdated(self, place: tuple[str, int, int], found: dict) -> bool:
        """Whether a recorded value is not that of the folder any more."""
        if "seconds" in place[0].split("."):
            return False
        return place not in found or found[place].value != self._values[place]

    def _bring_files(self) -> None:
        for name, look in self._look_of_files().items():
            path = Path(name)
            if path.parts[0] == "artifacts" and self._files.get(name) != look:
                inner = "/".join(path.parts[1:-1]) or None
                self._client.log_artifact(self._run_id, str(self.folder / path), inner)
                self._files[name] = look

    def end(self, status: str) -> None:
        """Bring in the rest and complete the run. Cells ran in any order: there is no result to reproduce."""
        (self.folder / "artifacts").mkdir(exist_ok=True)
        self.bring()
        tags = complete(self.folder, self._run_id, self._about, False)
        self._bring_files()
        if status == KILLED:
            tags["error"] = "the kernel was killed"
        log_tags(self._client, self._run_id, tags)
        end_run(self._client, self._run_id, status)

    def leave(self, status: str) -> None:
        """Leave the results in a run folder, to be handed in when the store takes them again."""
        folder = unsent.place(self._store) / self._run_id
        unsent.begin(folder, self._store, parameters=self._begun["parameters"], about=self._about)
        shutil.copytree(self.folder / "artifacts", folder / "artifacts")
        for path in (_latest(self.folder) / "metrics.jsonl", self.folder / "data.jsonl"):
            if path.exists():
                shutil.copy(path, folder)
        tags = complete(folder, self._run_id, self._about, False)
        error = "the kernel was killed" if status == KILLED else ""
        unsent.note(folder, status=status, error=error, seconds=None, tags=tags)


def _placed(points: Iterable) -> dict[tuple[str, int, int], Metric]:
    """The points by name and step; a series and the single number that is its last word share a step."""
    found = {}
    for point in points:
        nth = 1 if (point.key, point.step, 0) in found else 0
        found[point.key, point.step, nth] = point
    return found


def _latest(folder: Path) -> Path:
    """A folder with the last line of each number and each series, in the order of their first ones."""
    last = {}
    for line in lines(folder / "metrics.jsonl"):
        last[line["name"], "steps" in line] = line
    (target := folder / "latest").mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in last.values())
    (target / "metrics.jsonl").write_text(text, encoding="utf-8")
    return target


def main(folder: Path) -> int:
    """Follow a kernel to its end. What goes wrong meanwhile is tried again, and told in follow.log.

    1 where the store takes the run not even at the end: then it waits in a run folder.
    """
    try:
        follower = Follower(folder)
    except Exception as error:
        print(first_line(error), flush=True)
        traceback.print_exc()
        return 1
    print("recording", flush=True)
    with Stop((signal.SIGTERM,)) as stop:
        while (status := follower.ended()) is None and not stop.asked:
            try:
                follower.look()
            except Exception:
                traceback.print_exc()
            time.sleep(_PAUSE)
    try:
        follower.end(status or KILLED)
        taken = True
    except Exception:
        follower.leave(status or KILLED)
        taken = False
    shutil.rmtree(folder)
    return 0 if taken else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
