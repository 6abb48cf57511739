"""Recorded cases of published code: inputs, weights and parameters, and the outputs and gradients that came of them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ....pipeline.errors import CamoeError

Tensors = dict[str, torch.Tensor]
PARTS = ("input", "weights", "param", "output")
GRADIENT = "grad"


@dataclass
class Case:
    """One case; numbers with a point are float64, `param` keeps each as it was recorded.

    `gradients` are by the name of the output whose sum was derived (empty for the main one), then by input.
    """

    name: str
    input: Tensors = field(default_factory=dict)
    weights: Tensors = field(default_factory=dict)
    param: Tensors = field(default_factory=dict)
    output: Tensors = field(default_factory=dict)
    gradients: dict[str, Tensors] = field(default_factory=dict)

    def number(self, name: str) -> float:
        """A parameter."""
        return float(self.param[name])

    def whole(self, name: str) -> int:
        """A parameter that is a whole number."""
        return int(self.param[name])

    def mask(self, name: str) -> torch.Tensor:
        """An input as true and false."""
        return self.input[name].bool()


@dataclass(frozen=True)
class Computed:
    """What ours comes to: outputs by their recorded names, and the name of the main one.

    `left_out` says of recorded outputs why they are not computed: errors of the published code that the method is not.
    """

    outputs: Tensors
    main: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)


Compute = Callable[[Case], Computed]


def read_cases(path: Path) -> list[Case]:
    """The cases of a file, in its order; raises `CamoeError` for a file that is missing or of another layout."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array")
            return _cases({key: arrays[key] for key in arrays.files})
    except FileNotFoundError:
        raise CamoeError(f"{path} is not there; give an .npz file of recorded cases") from None
    except OSError as error:
        raise CamoeError(f"{path} cannot be read ({error.strerror or error}); give an .npz file of cases") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CamoeError(f"{path} is not an .npz file of recorded cases ({reason}); give another file") from None


def _cases(arrays: Mapping[str, np.ndarray]) -> list[Case]:
    cases: dict[str, Case] = {}
    for key, values in arrays.items():
        name, _, rest = key.partition("/")
        part, _, item = rest.partition("/")
        if not item or not (part in PARTS or part.startswith(GRADIENT)):
            raise ValueError(f"{key} is not CASE/input|weights|param|output|grad/NAME")
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{key} holds {values.dtype}, not numbers")
        case = cases.setdefault(name, Case(name))
        tensor = torch.from_numpy(values.astype(np.float64 if values.dtype.kind == "f" else values.dtype))
        if part in PARTS:
            getattr(case, part)[item] = tensor
        else:
            case.gradients.setdefault(part.removeprefix(GRADIENT).removeprefix("_of_"), {})[item] = tensor
    if not cases:
        raise ValueError("it is empty")
    return list(cases.values())
