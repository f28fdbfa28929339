"""Makes what README shows from the code: pictures, the tables of proofs and of speed. Run by `make readme`.

The speed is that of docs/speed.json, which a quiet machine writes anew:
`.venv-bench/bin/python benchmarks/evaluation.py --json docs/speed.json`.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from mflib import datasets, dense, descend, plots, random_factors, verify

STEPS = 500
ROOT = Path(__file__).resolve().parent.parent
SPEED = ROOT / "docs" / "speed.json"


def picture(path: Path) -> None:
    """Ratings with gaps, what a descent makes of them, and the truth they were planted from."""
    ratings, U_true, V_true = datasets.planted(8, 11, 44, n_factors=2, noise=0.0, skew=0.2, seed=17)
    Y, R = ratings.to_dense()
    U, V = random_factors(ratings.shape, 2, seed=2, scale=0.5)
    result = descend(ratings, U, V, "momentum", learning_rate=0.3, iterations=STEPS)
    found, truth = dense.predict(result.U, result.V), dense.predict(U_true, V_true)
    off = np.max(np.abs(found - truth)[R == 0])
    figure = plots.matrices(
        [
            plots.Panel(f"{ratings.n_ratings} ratings, {int(np.sum(R == 0))} gaps", Y, R),
            plots.Panel(f"U Vᵀ after {STEPS} steps: gaps right to {off:.2g}", found),
            plots.Panel("the truth", truth),
        ]
    )
    figure.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})


def proofs() -> str:
    """The ledger as a Markdown table; what differs between machines is left to `mflib verify`."""
    lines = ["| id | statement | proved on | wrong versions refused |", "|---|---|---|---|"]
    for verdict in verify.check_all():
        assert verdict.holds, verdict
        functions = ", ".join(f"`{name}`" for name in verdict.functions)
        statement = verdict.statement.replace("|", r"\|")
        refused = f"{sum(verdict.refused.values())} of {len(verdict.refused)}"
        lines.append(f"| {verdict.id} | {statement} | {functions} | {refused} |")
    return "\n".join(lines)


def speed() -> str:
    """What docs/speed.json says of k = 32 in float32 as a Markdown table, and on which machine."""
    result = json.loads(SPEED.read_text(encoding="utf-8"))
    cases = [case for case in result["cases"] if case["k"] == 32 and case["dtype"] == "float32"]
    lines = [
        "| | " + " | ".join(f"{case['n_ratings']:,} ratings" for case in cases) + " |",
        "|---|" + "---|" * len(cases),
        _row("mflib, nanoseconds a rating", cases, "mflib", lambda found: f"{found['nanoseconds'][1]:.1f}"),
    ]
    for name in dict.fromkeys(name for case in cases for name in case["contenders"]):
        if name != "mflib":
            lines.append(_row(f"{name}, times as long", cases, name, lambda found: f"{found['ratio']:.2g}"))
    copy = f"a copy moves {result['bandwidth'] / 1e9:.0f} GB/s"
    machine = f"{result['processor']}, {result['threads']} threads; {copy}."
    call = f"A call on 100 ratings takes {result['small_call_microseconds']:.0f} µs."
    return "\n".join([*lines, "", f"Measured on {machine} {call}"])


def _row(title, cases, name, of) -> str:
    cells = [of(case["contenders"][name]) if name in case["contenders"] else "–" for case in cases]
    return f"| {title} | " + " | ".join(cells) + " |"


def with_tables(readme: str) -> str:
    """README with the tables between their marks made new."""
    for name, table in (("proofs", proofs), ("speed", speed)):
        marks = rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)"
        new = table()
        readme = re.sub(marks, lambda found, new=new: f"{found[1]}{new}\n{found[2]}", readme, flags=re.DOTALL)
    return readme


def main() -> int:
    """Write all."""
    picture(ROOT / "docs" / "picture.png")
    plots.use_style()
    figure = plots.peers(json.loads(SPEED.read_text(encoding="utf-8")))
    figure.savefig(ROOT / "docs" / "speed.png", dpi=110, metadata={"Software": None})
    readme = ROOT / "README.md"
    readme.write_text(with_tables(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
