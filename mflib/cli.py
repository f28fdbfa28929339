"""`mflib …`: the command line, a thin face over mflib.runs."""

import argparse
import importlib.metadata
import json
import signal
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from mflib.runs.files import write_text
from mflib.runs.project import InputError, find_notebook, find_params, nearest, root
from mflib.runs.startup import quicken
from mflib.text import first_line, message

HELD, DID_NOT, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Carry out one command.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 if it held, 1 if it did not, 2 for wrong usage or input, 130 after Ctrl-C.
    """
    given = _parser().parse_args(arguments)
    if arguments is None:  # the process is ours
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be asked to end is as Ctrl-C
        quicken()
    try:
        return given.command(given)
    except InputError as error:
        print(f"mflib: {message(error)}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        print("mflib: stopped by Ctrl-C or SIGTERM", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        of_store = type(error).__module__.startswith(("mlflow.", "sqlite3"))
        if not of_store and not isinstance(error, OSError):
            raise  # a mistake in mflib, of which the traceback tells where
        from mflib.runs.store import locate

        what = "the store failed: " if of_store else ""
        print(f"mflib: {what}{message(locate().hide(first_line(error)))}", file=sys.stderr)
        return DID_NOT


class _Parser(argparse.ArgumentParser):
    """Repeats arguments in its messages, as text."""

    def error(self, problem):
        super().error(message(problem))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mflib", description="Matrix factorization, executed and recorded.")
    version = importlib.metadata.version("mflib")
    parser.add_argument("--version", action="version", version=f"mflib {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute notebooks and record each as a run")
    run.set_defaults(command=_run)
    run.add_argument("params", nargs="*", metavar="PARAMS.yaml", help="by default params/default.yaml")
    run.add_argument("-p", dest="assignments", action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--notebook", metavar="N", help="this one alone; without PARAMS, with its defaults")
    run.add_argument(
        "--jobs", type=_count, default=1, metavar="J", help="notebooks that run at the same time"
    )

    sweep = commands.add_parser("sweep", help="execute a notebook at many points; goes on where it stopped")
    sweep.set_defaults(command=_sweep)
    sweep.add_argument("params", metavar="PARAMS.yaml", help="with a grid or a list of points under `sweep:`")
    sweep.add_argument(
        "--jobs", type=_count, metavar="J", help="points that run at the same time; 1 by default"
    )
    sweep.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler, whose workers run them")
    sweep.add_argument("--metric", metavar="M", help="what ranks them; by default rmse.validation, or loss")

    compare = commands.add_parser("compare", help="put runs side by side, and rank those that are comparable")
    compare.set_defaults(command=_compare)
    compare.add_argument("runs", nargs="*", metavar="RUN", help="id, the beginning of one, or `latest`")
    compare.add_argument("--experiment", metavar="E", help="all of its runs; by default of the latest")
    compare.add_argument("--metric", metavar="M", help="that ranks; by default rmse.validation, or loss")
    compare.add_argument("--html", type=Path, metavar="FILE", help="write a page that needs no network")
    compare.add_argument("--png", type=Path, metavar="FILE", help="write the histories as curves")
    compare.add_argument("--anyway", action="store_true", help="rank also what is not comparable")

    reproduce = commands.add_parser("reproduce", help="execute a recorded run again: does the same come out?")
    reproduce.set_defaults(command=_reproduce)
    reproduce.add_argument("run", metavar="RUN", help="its id, the beginning of one, or `latest`")
    reproduce.add_argument("--strict", action="store_true", help="nothing but the same bits will do")
    reproduce.add_argument("--tree", action="store_true", help="the notebook of the checkout instead")

    verify = commands.add_parser("verify", help="prove every equation on the functions that are shipped")
    verify.set_defaults(command=_verify)
    verify.add_argument("ids", nargs="*", metavar="ID", help="such as E08; all where none is named")
    verify.add_argument("--seed", type=_seed, default=0, metavar="S", help="of the random problems")
    verify.add_argument("--json", type=Path, metavar="FILE", help="write all findings there")

    data = commands.add_parser("data", help="list the ratings that are known by name, or fetch some")
    data.set_defaults(command=_data)
    data.add_argument("name", nargs="?", metavar="NAME", help="by default, list the names and where they are")

    doctor = commands.add_parser("doctor", help="is everything as it has to be, and if not, what to do")
    doctor.set_defaults(command=_doctor)
    doctor.add_argument("--fix", action="store_true", help="heal the store, complete what the dead left")

    ui = commands.add_parser("ui", help="MLflow's page on the recorded runs")
    ui.set_defaults(command=_ui)
    ui.add_argument("--port", type=_port, default=5000, metavar="P", help="5000 by default, 0 for a free one")

    cluster = commands.add_parser("cluster", help="a Dask scheduler and workers on this machine, to try it")
    cluster.set_defaults(command=_cluster)
    cluster.add_argument("--workers", type=_count, metavar="W", help="by default one for each two cores")
    cluster.add_argument(
        "--port", type=_port, default=8786, metavar="P", help="8786 by default, 0 for a free one"
    )
    return parser


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {count}")
    return count


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {seed}")
    return seed


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65536:
        raise argparse.ArgumentTypeError(f"expected a port below 65536, got {port}")
    return port


def _executions(given: argparse.Namespace) -> list:
    """What the arguments ask for, checked."""
    from mflib.runs import params

    if given.notebook is not None and not given.params:
        executions = [params.with_defaults(given.notebook)]
    else:
        files = [find_params(name) for name in given.params or [str(root() / "params" / "default.yaml")]]
        executions = [one for file in files for one in params.read_params(file)]
        if given.notebook is not None:
            notebook = find_notebook(given.notebook, "--notebook")
            executions = [one for one in executions if one.notebook == notebook]
            if not executions:
                raise InputError(f"--notebook {given.notebook}: is not listed in {', '.join(given.params)}")
    return params.override(executions, given.assignments)


def _run(given: argparse.Namespace) -> int:
    from mflib.runs import batch, report
    from mflib.runs.stop import Stop, interrupt
    from mflib.runs.store import open_store

    executions = _executions(given)
    progress = report.Progress(executions)
    with Stop() as stop:
        with stop.by(interrupt):
            store = open_store()
        outcomes = batch.execute_all(executions, store, stop, given.jobs, progress.show, progress.done)
    print(f"\n{report.table(executions, outcomes)}\n\n{report.closing(outcomes, store)}")
    if stop.asked:
        return INTERRUPTED
    return HELD if all(outcome.status == report.FINISHED for outcome in outcomes) else DID_NOT


def _sweep(given: argparse.Namespace) -> int:
    from mflib.runs.stop import Stop, interrupt
    from mflib.runs.store import open_store
    from mflib.runs.sweep import read_sweep

    if given.cluster is not None and given.jobs is not None:
        raise InputError("--jobs and --cluster: leave one out; a cluster runs a point for each thread it has")
    sweep = read_sweep(find_params(given.params))
    with Stop() as stop, ExitStack() as opened:
        with stop.by(interrupt):
            if given.cluster is not None:
                from mflib.runs import sweep_cluster

                client = opened.enter_context(sweep_cluster.connected(given.cluster))
            from mflib.runs import batch
            from mflib.runs.sweep_run import run_sweep

            store = open_store()
            if given.cluster is None:
                execute_all = partial(batch.execute_all, jobs=given.jobs or 1)
            else:
                sweep_cluster.check(client, store)
                execute_all = partial(sweep_cluster.execute_all, client)
        finished = run_sweep(sweep, store, stop, execute_all, given.metric)
    if stop.asked:
        return INTERRUPTED
    return HELD if finished else DID_NOT


def _reproduce(given: argparse.Namespace) -> int:
    from mflib.runs import batch, report, reproduce
    from mflib.runs.stop import Stop, interrupt
    from mflib.runs.store import open_store

    with Stop() as stop:
        with stop.by(interrupt):
            store = open_store()
            original = reproduce.original(store, given.run, given.tree)
        progress = report.Progress([original.execution])
        (outcome,) = batch.execute_all([original.execution], store, stop, 1, progress.show, progress.done)
        if stop.asked:
            return INTERRUPTED
        found = reproduce.judge(store, original, outcome)
    print(f"\n{reproduce.in_words(found)}")
    return HELD if found.holds(given.strict) else DID_NOT


def _verify(given: argparse.Namespace) -> int:
    from mflib import text, verify

    if unknown := [id for id in given.ids if id not in verify.IDS]:
        raise InputError(f"{unknown[0]}: no such equation{nearest(unknown[0], verify.IDS)}")
    if given.json:
        write_text(given.json, "")  # or one would hear at the end that it cannot be written
    verdicts = verify.check_all(given.seed, given.ids or verify.IDS)
    rows = verify.rows(verdicts)
    print(text.table([tuple(rows[0]), *(tuple(map(str, row.values())) for row in rows)], right={5, 6}))
    for verdict in verdicts:
        for failure in verdict.failures:
            print(f"{verdict.id} {failure}")
    if given.json:
        write_text(given.json, json.dumps(verify.as_json(verdicts, given.seed), indent=1) + "\n")
    print(verify.FALSE_PASS_IN_WORDS)
    failed = [verdict.id for verdict in verdicts if not verdict.holds]
    named = ", ".join(given.ids) or f"{verdicts[0].id} to {verdicts[-1].id}"
    ending = f"fail: {', '.join(failed)}" if failed else f"hold: {named}"
    print(f"{len(failed) or len(verdicts)} of {len(verdicts)} equations {ending} (seed {given.seed})")
    return DID_NOT if failed else HELD


def _compare(given: argparse.Namespace) -> int:
    from mflib.runs import compare, compare_page, compare_report
    from mflib.runs.settings import chosen
    from mflib.runs.store import open_store

    store = open_store()
    comparison = compare.compare(chosen(store, given.runs, given.experiment), given.metric, given.anyway)
    print("\n".join([compare_report.table(comparison), "", *compare_report.verdicts(comparison)]))
    compare_page.write(store.client(), comparison, given.html, given.png)
    if comparison.obstacles and not comparison.ranked:
        differs = ", ".join(dict.fromkeys(one.partition(":")[0] for one in comparison.obstacles))
        raise InputError(f"not comparable ({differs}); --anyway ranks them all the same")
    return HELD


def _data(given: argparse.Namespace) -> int:
    from mflib import movielens, text

    if given.name is None:
        print(text.table(movielens.table(), right={1, 2, 3}))
        return HELD
    if given.name not in movielens.EDITIONS:
        raise InputError(f"{given.name}: no such data{nearest(given.name, movielens.EDITIONS)}")
    try:
        print(movielens.movielens_file(given.name).absolute())
    except ValueError as error:  # MFLIB_MOVIELENS_URL
        raise InputError(str(error)) from None
    return HELD


def _doctor(given: argparse.Namespace) -> int:
    from mflib.runs import doctor

    held = True
    for check, state, text in doctor.examine(given.fix):
        print(f"{check:8}  {state:7}  {message(text)}", flush=True)
        held = held and state != doctor.PROBLEM
    return HELD if held else DID_NOT


def _ui(given: argparse.Namespace) -> int:
    from mflib.runs.page import serve
    from mflib.runs.store import open_store

    return serve(open_store(), given.port)


def _cluster(given: argparse.Namespace) -> int:
    from mflib.local_cluster import serve

    return serve(given.workers, given.port)


if __name__ == "__main__":
    sys.exit(main())
