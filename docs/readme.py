"""Makes what README shows from the code: pictures, the table of proofs, those of speed and of
models; and all figures of docs/scaling.md. Run by `make readme`.

Their figures are not measured here: docs/speed.json is a copy of what `make bench` wrote, docs/models.json of
what `make bench-models` wrote, docs/cluster.json of what `make bench-cluster` wrote.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from mflib import datasets, dense, descend, plots, random_factors, verify

STEPS = 500
ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))
import cluster_report  # noqa: E402
import models_report  # noqa: E402
import speed  # noqa: E402


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


def proofs(verdicts: list) -> str:
    """The ledger as a Markdown table; what differs between machines is left to `mflib verify`."""
    lines = ["| id | statement | proved on | wrong versions refused |", "|---|---|---|---|"]
    for verdict in verdicts:
        assert verdict.holds, verdict
        functions = ", ".join(f"`{name}`" for name in verdict.functions)
        statement = verdict.statement.replace("|", r"\|")
        refused = f"{sum(verdict.refused.values())} of {len(verdict.refused)}"
        lines.append(f"| {verdict.id} | {statement} | {functions} | {refused} |")
    return "\n".join(lines)


def with_proofs(readme: str, verdicts: list) -> str:
    """README with the table of proofs, from what `verify.check_all` found, between its marks made new."""
    return _between("proofs", proofs(verdicts), readme)


def with_speed(readme: str) -> str:
    """README with the tables of speed between their marks made new."""
    return _between("speed", speed.table(measured("speed")), readme)


def with_models(readme: str) -> str:
    """README with the tables of models between their marks made new."""
    return _between("models", models_report.table(measured("models")), readme)


def with_scaling(page: str) -> str:
    """docs/scaling.md with what is between its marks made new."""
    found = measured("cluster")
    for name, text in (
        ("figures", cluster_report.table_of_figures(found)),
        ("model", cluster_report.text_of_model(found)),
        ("plan", cluster_report.table_of_plan(found)),
    ):
        page = _between(name, text, page)
    return page


def measured(what: str) -> dict:
    """What `make bench` ("speed"), `make bench-models` or `make bench-cluster` once found."""
    return json.loads((ROOT / "docs" / f"{what}.json").read_text(encoding="utf-8"))


def _between(name: str, text: str, readme: str) -> str:
    return re.sub(
        rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)",
        lambda marks: f"{marks[1]}{text}\n{marks[2]}",
        readme,
        flags=re.DOTALL,
    )


def main() -> int:
    """Write all."""
    picture(ROOT / "docs" / "picture.png")
    speed.picture(measured("speed"), ROOT / "docs" / "speed.png")
    models_report.picture(measured("models"), ROOT / "docs" / "models.png")
    cluster_report.picture(measured("cluster"), ROOT / "docs" / "cluster.png")
    scaling = ROOT / "docs" / "scaling.md"
    scaling.write_text(with_scaling(scaling.read_text(encoding="utf-8")), encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    readme.write_text(with_models(with_speed(with_proofs(text, verify.check_all()))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
