"""`python -m camoe.train.heads.check FILE.npz`: our heads against recorded outputs of published code."""

from __future__ import annotations

from pathlib import Path

import click

from ...pipeline.command import camoe_command


@camoe_command("camoe.train.heads.check")
@click.argument("file", type=click.Path(path_type=Path))
def main(file: Path) -> int:
    """Compute every case of FILE anew and print how far each output and gradient is off.

    A line holds the head's option, the case, the output and the greatest |a - b| / max(1, |b|) in float64. Status 1
    where one is beyond 1e-6, or where a case of a head of ours is not computed; 2 where FILE is no file of cases.
    """
    from .reference.cases import read_cases  # torch is loaded when there is work, not for --help
    from .reference.compare import compare

    failed = False
    for case in read_cases(file):
        for line in compare(case):
            told = line.remark if line.difference is None else f"{line.difference:.3g}"
            click.echo(f"{line.head:<18}{line.case:<26}{line.output:<44}{told}{'' if line.passed else '  FAILED'}")
            failed = failed or not line.passed
    return int(failed)


if __name__ == "__main__":
    main()
