"""What `camoe.train` offers by name, and how little of it an import or `--help` loads."""

from __future__ import annotations

import subprocess
import sys

import camoe.train
import pytest
from camoe.train import names
from camoe.train.aggregators import AGGREGATORS
from camoe.train.gate import GATES
from camoe.train.losses import LOSSES
from camoe.train.text_heads import TEXT_HEADS

HELP = """
import sys
import camoe.train
from camoe.train import TrainConfig
from camoe.train.cli import main
try:
    main(["--help"])
finally:
    print("loaded:", *(name for name in ("torch", "h5py", "numpy", "pandas") if name in sys.modules), file=sys.stderr)
"""


def test_help_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    assert "--loss-temperature" in done.stdout
    assert done.stderr.split() == ["loaded:"]


@pytest.mark.parametrize("name", camoe.train.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(camoe.train, name).__doc__
    assert name in dir(camoe.train)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'fitt'"):
        camoe.train.fitt  # noqa: B018


def test_the_plain_names_are_those_of_the_tables() -> None:
    assert tuple(AGGREGATORS) == names.AGGREGATORS
    assert tuple(GATES) == names.GATES
    assert tuple(TEXT_HEADS) == names.TEXT_HEADS
    assert tuple(LOSSES) == names.LOSSES
