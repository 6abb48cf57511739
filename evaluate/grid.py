"""Plain-text tables: label columns on the left, then groups of number columns under a common heading."""

from __future__ import annotations

from collections.abc import Sequence

GAP, GROUP_GAP = "  ", "    "


def grid(
    labels: Sequence[str], groups: Sequence[tuple[str, Sequence[str]]], rows: Sequence[Sequence[str]]
) -> list[str]:
    """Lines of a table: `labels` title the left columns, each group is `(heading, titles)`, a row all cells in order.

    >>> grid(["run"], [("recall", ["R@1", "R@5"])], [["a", "12.5", "40.0"]])
    ['        recall', 'run     R@1   R@5', 'a      12.5  40.0']
    """
    titles = [*labels, *(title for _, names in groups for title in names)]
    widths = [max(len(row[column]) for row in [titles, *rows]) for column in range(len(titles))]
    spans, place = [slice(0, len(labels))], len(labels)
    for _, names in groups:
        spans.append(slice(place, place + len(names)))
        place += len(names)

    def line(cells: Sequence[str]) -> str:
        left = GAP.join(f"{cell:<{width}}" for cell, width in zip(cells[spans[0]], widths[spans[0]], strict=True))
        parts = [
            GAP.join(f"{cell:>{width}}" for cell, width in zip(cells[span], widths[span], strict=True))
            for span in spans[1:]
        ]
        return GROUP_GAP.join([left, *parts]).rstrip()

    blocks = [sum(widths[span]) + len(GAP) * (len(widths[span]) - 1) for span in spans]
    headings = ["", *(heading for heading, _ in groups)]
    top = GROUP_GAP.join(f"{heading:<{block}}" for heading, block in zip(headings, blocks, strict=True)).rstrip()
    return [top, line(titles), *map(line, rows)]
