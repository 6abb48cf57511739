from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.evaluate.cli import main
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.run import evaluate
from camoe.evaluate.transfer import transfer_matrix
from camoe.pipeline.errors import CamoeError

Maker = Callable[..., Path]


def test_every_run_on_every_store(
    random_store_maker: Maker, run_maker: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (
        random_store_maker(f"{name}.h5", {"train": 20, "val": 5, "test": count}, protocol=name, seed=count)
        for name, count in (("msvd", 8), ("lsmdc", 12))
    )
    settings = {"model": "meanp", "epochs": 1, "batch_size": 8}
    runs = [run_maker("a", first, **settings), run_maker("b", second, **settings), run_maker("c", second)]
    assert main(["--run", str(runs[0]), "--transfer", f"{runs[1]},{runs[2]}"], standalone_mode=False) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[2].split()[0::3] == ["msvd", "lsmdc"]  # two stores, although three runs
    found = json.loads((runs[0] / "evaluation" / "transfer-test.json").read_text())
    assert [[cell["videos"] for cell in row] for row in found["cells"]] == [[8, 12]] * 3
    assert [row[0]["run"] for row in found["cells"]] == [str(run) for run in runs]
    own = evaluate(EvaluateConfig(run=runs[1]))
    assert found["cells"][1][1]["rerankings"] == {name: result.to_json() for name, result in own.rerankings.items()}
    raw = own.rerankings["none"]
    assert out[4].split()[-3:] == [f"{raw['t2v']['R@1']:.1f}", "/", f"{raw['v2t']['R@1']:.1f}*"]
    assert [line.count("*") for line in out[3:6]] == [1, 1, 1]
    assert out[6].split() == ["a", "guess", "12.5", "/", "12.5", "8.3", "/", "8.3"]
    foreign = evaluate(EvaluateConfig(run=runs[0], features=(str(second),), protocol="lsmdc"))
    assert found["cells"][0][1]["rerankings"]["none"] == foreign.rerankings["none"].to_json()


def test_another_clip_is_refused(random_store_maker: Maker, run_maker: Maker) -> None:
    run = run_maker("a", random_store_maker("a.h5", {"test": 4}))
    other = run_maker("b", random_store_maker("b.h5", {"test": 4}, clip_sha256="cd" * 32))
    with pytest.raises(CamoeError, match="extract them with the same CLIP"):
        transfer_matrix(EvaluateConfig(run=run, transfer=(str(other),)))
    assert not (run / "evaluation").exists()
