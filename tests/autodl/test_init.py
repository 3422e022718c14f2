from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from torch import Tensor, nn

import autodl
from autodl import own, registry
from autodl.errors import AutoDLError
from autodl.records import TrialRecord

if TYPE_CHECKING:
    from conftest import Story

HEAVY = ("torch", "pandas", "sklearn", "optuna", "rich", "numpy", "PIL", "captum", "plotly")


@pytest.mark.parametrize(
    "code",
    [
        "import autodl; dir(autodl); autodl.__version__; autodl.Float(0, 1)",
        "from autodl.cli import main; main(['--help'])",
        "from autodl.cli import main; main(['search', '--help'])",
        "from autodl.cli import main; main(['components'])",
        "from autodl.cli import main; assert main(['search', 'x', '--time', 'soon']) == 2",
    ],
)
def test_nothing_slow_is_imported_before_it_is_needed(code: str) -> None:
    check = f"import sys; slow = set({HEAVY!r}) & set(sys.modules); assert not slow, slow"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_public_names_are_there_and_are_those_of_their_files() -> None:
    from autodl.predictor import Predictor
    from autodl.space import Choice, Float, Integer, Space

    assert autodl.Predictor is Predictor
    assert (autodl.Space, autodl.Float, autodl.Integer, autodl.Choice) == (Space, Float, Integer, Choice)
    assert autodl.encoder is own.encoder
    assert set(autodl.__all__) <= set(dir(autodl))
    assert autodl.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = autodl.serach


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    heard: dict[str, Any] = {}

    def load(folder: Path, device: str) -> str:
        heard["load"] = (folder, device)
        return "the predictor"

    monkeypatch.setattr("autodl.predictor.load", load)
    return heard


def test_search_hands_on_what_was_said_and_returns_the_predictor(
    fake_search: dict[str, Any], loaded: dict[str, Any], story: Story, capsys: pytest.CaptureFixture[str]
) -> None:
    found = autodl.search(
        "table.csv",
        "y",
        time="1.5h",
        trials=7,
        metric="accuracy",
        seed=3,
        device="cpu",
        jobs=2,
        models="mlp,linear",
        space="[loss]\n",
        output=Path("run"),
        folds=5,
        repeats=2,
        refit=True,
        single=True,
        minimize="latency",
        task="binary",
        sample_weight="w",
        columns={"zip": "category"},
        ignore=["a"],
        keep=["b"],
        root=Path("images"),
        group="g",
        validation="v.csv",
        test=Path("t.csv"),
        test_share=0.3,
        quiet=True,
    )
    assert found == "the predictor"
    assert loaded["load"] == (story.folder, "cpu")
    (source, data, options), named = fake_search["search"]
    assert source == "table.csv"
    assert (data.target, data.task, data.columns, data.ignore) == (("y",), "binary", {"zip": "category"}, ("a",))
    assert (data.keep, data.root, data.group, data.time_order) == (("b",), "images", "g", None)
    assert (data.validation, data.test, data.test_share, data.seed) == ("v.csv", "t.csv", 0.3, 3)
    assert (options.time, options.trials, options.metric, options.seed) == (5400.0, 7, "accuracy", 3)
    assert (options.device, options.jobs, options.models) == ("cpu", 2, ("mlp", "linear"))
    assert (options.space, options.output) == ("[loss]\n", "run")
    assert (options.folds, options.repeats, options.refit, options.single) == (5, 2, True, True)
    assert (options.minimize, data.sample_weight, data.quantiles) == ("latency", "w", ())
    assert named["started"] > 0
    assert "cost" not in named
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_is_not_said_keeps_its_default(fake_search: dict[str, Any], loaded: dict[str, Any]) -> None:
    autodl.search("iris", quiet=True)
    from autodl.data.options import DataOptions
    from autodl.tuning.options import SearchOptions

    assert fake_search["search"][0] == ("iris", DataOptions(), SearchOptions())


def test_several_targets_and_quantiles_are_handed_on(fake_search: dict[str, Any], loaded: dict[str, Any]) -> None:
    autodl.search("t.csv", ["a", "b"], quiet=True)
    assert fake_search["search"][0][1].target == ("a", "b")
    autodl.search("t.csv", "y", quantiles=[0.9, 0.1], quiet=True)
    assert fake_search["search"][0][1].quantiles == (0.1, 0.9)


def test_an_own_cost_goes_beside_the_options(fake_search: dict[str, Any], loaded: dict[str, Any]) -> None:
    def cost(trial: TrialRecord) -> float:
        return float(trial.n_parameters)

    autodl.search("iris", minimize=cost, quiet=True)
    (_, _, options), named = fake_search["search"]
    assert options.minimize is None
    assert named["cost"] is cost


def test_progress_is_shown_unless_quiet(
    fake_search: dict[str, Any], loaded: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    autodl.search("iris")
    assert capsys.readouterr().out.startswith("data ")


def test_own_modules_join(fake_search: dict[str, Any], loaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_registered", {})
    monkeypatch.setattr(registry.encoders, "_own", {})

    class Mine(nn.Module):
        def __init__(self, shape: tuple[int, ...]) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            return x

    autodl.search("iris", encoders=[Mine], quiet=True)
    assert "mine" in registry.encoders.names()
    assert own.only_here() == ["mine"]


def test_resume_hands_on_what_changes(fake_search: dict[str, Any], loaded: dict[str, Any], story: Story) -> None:
    frame = object()
    assert autodl.resume("runs/a", data=frame, time=90, quiet=True) == "the predictor"
    arguments, named = fake_search["resume"]
    assert arguments == (Path("runs/a"), {"time": 90.0})
    assert named["source"] is frame
    assert loaded["load"] == (story.folder, "auto")


def test_a_time_that_is_none_is_refused_before_anything_begins(fake_search: dict[str, Any]) -> None:
    with pytest.raises(AutoDLError, match="write for example 90s"):
        autodl.search("iris", time="soon")
    assert fake_search == {}


def test_load_reads_where_it_was_told(loaded: dict[str, Any]) -> None:
    assert autodl.load("runs/a", device="cpu") == "the predictor"
    assert loaded["load"] == ("runs/a", "cpu")
