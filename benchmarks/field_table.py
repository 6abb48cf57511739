"""The table of a field sweep as one row a model and loss: raw beside each re-ranking, with what was chosen for it.

    camoe-sweep --features STORE --search field-small --out sweeps/field
    python benchmarks/field_table.py sweeps/field

Reads `results.csv` and prints Markdown: R@1 text to video / video to text, mean ± standard deviation over seeds. Val is
what chose the trial and the epochs: the mean of both directions on validation, raw, mean over seeds; (0) where every
seed kept epoch 0, the untrained model, and (0 in 2) where two did. *: needs all queries at once.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas

RERANKINGS = {"none": "raw", "dsl": "DSL *", "querybank": "query bank", "nnn": "nnn"}
KEYS = ["model", "streams", "emcl", "loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path, help="a folder that camoe-sweep wrote")
    results = pandas.read_csv(parser.parse_args().sweep / "results.csv")
    results = results[results["status"] == "ok"]
    results["emcl"], results["loss"] = results["emcl"].eq(True), results["loss"].fillna("–")
    titles = ["model", "loss", "settings", "val", *RERANKINGS.values(), "raw R@5"]
    print(f"| {' | '.join(titles)} |\n|{'|'.join([':--'] * 3 + ['--:'] * (len(titles) - 3))}|")
    for (model, streams, emcl, loss), cell in results.groupby(KEYS, sort=False):
        name = f"{model} + emcl" if emcl else model
        if streams.count("+"):
            name += f", {streams.count('+') + 1} streams"
        by_reranking = dict(iter(cell.groupby("rerank")))
        raw = by_reranking["none"]
        numbers = [both(by_reranking.get(key), "R@1") for key in RERANKINGS]
        numbers[0] += " *" if emcl else ""
        cells = [name, loss, settings(raw), validation(raw), *numbers, both(raw, "R@5")]
        print(f"| {' | '.join(cells)} |")


def settings(rows: pandas.DataFrame) -> str:
    """`1.3e-3, 0.03, 24`: learning rate, dropout and epochs, of a model that is trained."""
    first = rows.iloc[0]
    if pandas.isna(first["learning_rate"]):
        return "–"
    return f"{first['learning_rate']:.1e}, {first['dropout']:.2f}, {first['epochs']:.0f}"


def validation(rows: pandas.DataFrame) -> str:
    """`43.9`, or `43.9 (0 in 2)` where training did not help two seeds."""
    kept, seeds = int((rows["best_epoch"] == 0).sum()), len(rows)
    told = (
        "" if not kept or pandas.isna(rows["learning_rate"].iloc[0]) else " (0)" if kept == seeds else f" (0 in {kept})"
    )
    return f"{rows['val R@1'].mean():.1f}{told}"


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
