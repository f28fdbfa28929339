"""Change the mathematics a little in one place and see a test fail, for every place: `make mutants`.

Each mutant is tested in a copy of the package, by a fresh process: nothing here is touched, and no process
that has run a compiled kernel is forked. What survives is killed by a new test, or listed in equivalent.toml
with the reason why it means the same program.
"""

import argparse
import json
import queue
import signal
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from copies import MODULES, Copy
from operators import KEY, Mutant, mutants
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LEAST = 0.95


def judge_all(modules: list[str], jobs: int) -> tuple[list[Mutant], list[str]]:
    """Every mutant and what becomes of it, `jobs` at a time; Ctrl-C leaves nothing behind."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        folders = [Path(folder).resolve() / str(job) for job in range(jobs)]
        copies = [Copy(source, own) for source, own in zip([ROOT, *folders], folders, strict=False)]
        try:
            every = [
                mutant
                for name in modules
                for mutant in mutants(name, copies[0].path(name).read_text("utf-8"))
            ]
            limit = max(60, 5 * max(pool.map(lambda copy: copy.control(modules), copies)))
            free = queue.SimpleQueue()
            for copy in copies:
                free.put(copy)

            def judge(mutant):
                copy = free.get()
                fate = copy.judge(mutant, limit)
                free.put(copy)
                return fate

            return every, list(tqdm(pool.map(judge, every), total=len(every), unit="mutant", disable=None))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies:
                copy.kill()


def report(every: list[Mutant], fates: list[str], reasons: dict[tuple, str]) -> bool:
    """Print the score of each module and what is left to do; whether nothing is and the score will do."""
    counts = {module: Counter() for module in [*dict.fromkeys(mutant.module for mutant in every), "all"]}
    survived, left = [], []
    for mutant, fate in zip(every, fates, strict=True):
        if fate == "survived":
            survived.append(mutant.key)
        if fate.startswith("crashed"):
            left.append(f"{as_toml(mutant.key)}\n# {fate}")
        fate = "with reason" if fate == "survived" and mutant.key in reasons else fate.split()[0]
        for module in (mutant.module, "all"):
            counts[module].update(["mutants", fate])
    left += [
        f"{as_toml(key)}\n# survived: a test is missing"
        for key in dict.fromkeys(survived)
        if key not in reasons
    ]
    judged = {mutant.module for mutant in every}
    gone = [key for key in reasons if key[0] in judged and key not in survived]
    left += [f"{as_toml(key)}\n# listed, but no such mutant survives" for key in gone]

    print(f"{'module':8} mutants  killed  timed out  survived  the same program  score")
    for module, n in counts.items():
        killed = n["killed"] + n["timed"]
        score = killed / max(n["mutants"] - n["with reason"], 1)
        print(
            f"{module:8} {n['mutants']:7} {killed:7} {n['timed']:10} {n['survived']:9} {n['with reason']:17} "
            f"{score:6.1%}"
        )
    print("(killed includes those that timed out; score = killed / (mutants - the same program))")
    for mutant in (mutant for mutant, fate in zip(every, fates, strict=True) if fate == "timed out"):
        print(f"timed out: {mutant.becomes}  ({mutant.module}, {mutant.operator})")
    print("\n\n".join(["", *left]) if left else "no mutant is left without a reason")
    return not left and score >= LEAST


def as_toml(key: tuple[str, ...]) -> str:
    """An entry of equivalent.toml, but for the reason."""
    fields = zip(KEY, map(json.dumps, key), strict=True)
    return "\n".join(["[[equivalent]]", *(f"{name} = {text}" for name, text in fields)])


def main() -> int:
    """0 where every mutant is killed or listed with a reason, 130 after Ctrl-C, else 1."""
    parser = argparse.ArgumentParser(prog="python tests/mutants", description=__doc__.splitlines()[0])
    parser.add_argument(
        "modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; all by default"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    given = parser.parse_args()
    if unknown := set(given.modules) - set(MODULES):
        parser.error(f"unknown module {', '.join(unknown)}: choose from {', '.join(MODULES)}")
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8")).get("equivalent", [])
    reasons = {tuple(entry[name] for name in KEY): entry["reason"] for entry in listed}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        every, fates = judge_all(given.modules or list(MODULES), given.jobs)
    except KeyboardInterrupt:
        return 130
    return 0 if report(every, fates, reasons) else 1


if __name__ == "__main__":
    sys.exit(main())
