"""Makes what README shows from the code: the picture, and the table of proofs. Run by `make readme`."""

import re
import sys
from pathlib import Path

import numpy as np

from mflib import datasets, dense, descend, plots, random_factors, verify

STEPS = 500
ROOT = Path(__file__).resolve().parent.parent


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


def with_proofs(readme: str) -> str:
    """README with the table between its marks made new."""
    return re.sub(
        r"(<!-- proofs: begin -->\n).*?(<!-- proofs: end -->)",
        lambda marks: f"{marks[1]}{proofs()}\n{marks[2]}",
        readme,
        flags=re.DOTALL,
    )


def main() -> int:
    """Write both."""
    picture(ROOT / "docs" / "picture.png")
    readme = ROOT / "README.md"
    readme.write_text(with_proofs(readme.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
