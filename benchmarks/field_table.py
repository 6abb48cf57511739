"""The table of a field sweep as one row a model and loss: raw beside each re-ranking, with what was chosen for it.

    camoe-sweep --features STORE --search field-small --out sweeps/field
    python benchmarks/field_table.py sweeps/field

Reads `results.csv` and prints Markdown: R@1 text to video / video to text, mean ± standard deviation over seeds.
*: needs all queries at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas

RERANKINGS = {"none": "raw", "dsl": "DSL *", "querybank": "query bank", "nnn": "nnn"}
KEYS = ["model", "emcl", "loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="a folder that camoe-sweep wrote")
    results = pandas.read_csv(parser.parse_args().sweep / "results.csv")
    results = results[results["status"] == "ok"]
    results["emcl"], results["loss"] = results["emcl"].eq(True), results["loss"].fillna("–")
    titles = ["model", "loss", "settings", *RERANKINGS.values(), "raw R@5"]
    print(f"| {' | '.join(titles)} |\n|{'|'.join([':--'] * 3 + ['--:'] * (len(titles) - 3))}|")
    for (model, emcl, loss), cell in results.groupby(KEYS, sort=False):
        name = f"{model} + emcl" if emcl else model
        by_reranking = dict(iter(cell.groupby("rerank")))
        raw = by_reranking["none"]
        numbers = [both(by_reranking.get(key), "R@1") for key in RERANKINGS]
        numbers[0] += " *" if emcl else ""
        cells = [name, loss, settings(raw), *numbers, both(raw, "R@5")]
        print(f"| {' | '.join(cells)} |")


def settings(rows: pandas.DataFrame) -> str:
    """`1.3e-3, 0.03, 24`: learning rate, dropout and epochs, of a model that is trained."""
    first = rows.iloc[0]
    if pandas.isna(first["learning_rate"]):
        return "–"
    return f"{first['learning_rate']:.1e}, {first['dropout']:.2f}, {first['epochs']:.0f}"


def both(rows: pandas.DataFrame | None, metric: str) -> str:
    """`53.0 / 52.1`, with deviations where there are several seeds."""
    if rows is None:
        return "–"
    return " / ".join(spread(rows[f"{direction} {metric}"]) for direction in ("t2v", "v2t"))


def spread(values: pandas.Series) -> str:
    """Mean and sample standard deviation."""
    return f"{values.mean():.1f}" + (f" ± {values.std():.1f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
