"""Each example does what its first line says, on a smaller budget where it searches."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch import nn

import autodl
from autodl import registry
from autodl.network import Network
from autodl.records import InputSpec

pytestmark = pytest.mark.slow


@pytest.fixture
def example(root: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example that the test is marked with, imported as a file."""
    monkeypatch.chdir(tmp_path)
    return load(root / "examples" / f"{request.param}.py")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True)


@of("article_mlp")
def test_the_articles_perceptron_has_its_layers_and_learns(example: Any) -> None:
    member = example.fixed()
    assert member.n_parameters == (2 * 10 + 10) + (10 * 10 + 10) + (10 * 1 + 1)
    assert member.epoch == 1000
    assert member.score > 0.3  # R²; a straight line reaches 0.33 on these rows, the mean 0


@of("article_mlp")
def test_the_articles_problem_is_searched(example: Any) -> None:
    assert example.searched(time=None, trials=8)["r2"] > 0.25


@of("article_cnn")
def test_the_articles_convolutions_have_their_layers_and_learn(example: Any) -> None:
    member = example.fixed()
    convolutions = (1 * 10 * 25 + 10) + (10 * 20 * 25 + 20)
    assert member.n_parameters == convolutions + (20 * 4 * 4 * 500 + 500) + (500 * 10 + 10)
    assert member.score > 0.93


@of("article_cnn")
def test_the_flattened_size_is_worked_out_for_other_sizes_too(example: Any) -> None:
    """A hard-coded one would be wrong for all but one of these."""
    for side, flattened in ((28, 20 * 4 * 4), (32, 20 * 5 * 5), (40, 20 * 7 * 7)):
        shape = (1, side, side)
        spec = InputSpec(shape, ("image",), feature_mask=None, baseline=example.torch.zeros(shape))
        network = Network(example.CONVOLUTIONS, {"image": spec}, 10)
        linear = [module.in_features for module in network.modules() if isinstance(module, nn.Linear)]
        assert linear == [flattened, 500]


@of("article_cnn")
def test_the_articles_digits_are_searched(example: Any) -> None:
    assert example.searched(time=None, trials=2)["accuracy"] > 0.9


@of("table")
def test_a_table_with_gaps_is_searched_saved_loaded_and_predicted(example: Any, tmp_path: Path) -> None:
    scores = example.main(tmp_path, time=None, trials=6)
    kinds = {column.name: column.kind for column in autodl.load(tmp_path / "run").schema}
    assert kinds == {
        **dict.fromkeys(("mean radius", "mean texture", "mean smoothness", "worst concavity"), "number"),
        "size": "category",
        "seen on": "date",
    }
    assert scores["accuracy"] > 0.88


@of("image_folder")
def test_a_folder_of_images_is_searched(example: Any, tmp_path: Path) -> None:
    scores = example.main(tmp_path, images=600, time=None, trials=3)
    assert len(list((tmp_path / "digits").rglob("*.png"))) == 600
    assert scores["accuracy"] > 0.85


@of("multimodal")
def test_pictures_sounds_words_and_numbers_with_gaps_are_fused(example: Any, tmp_path: Path) -> None:
    """And any of them alone is enough to predict from, or none."""
    scores, told = example.main(tmp_path, rows=160, time=None, trials=3)
    kinds = {column.name: column.kind for column in autodl.load(tmp_path / "run").schema}
    assert kinds == {"photo": "image", "call": "audio", "note": "text", "weight": "number"}
    assert scores["accuracy"] > 0.6  # a quarter are cats
    assert told.shape == (5, 4)
    assert np.allclose(told.sum(axis=1), 1)


@of("own_module")
def test_an_own_module_is_searched(example: Any) -> None:
    predictor = example.main(time=None, trials=4)
    board = predictor.leaderboard.frame()
    assert set(board["model"][board["source"] != "baseline"]) == {"maxout"}
    assert predictor.scores["test"]["accuracy"] > 0.85
    assert registry.encoders.distribution("maxout") == "this process"


@of("explain_module")
def test_a_module_is_explained_without_a_search(example: Any) -> None:
    exact, quick, refusal = example.main()
    assert exact.standard_error is None
    assert exact.importance().index[-1] == "noise"
    pairs = exact.attribution.interactions.abs().mean(0)
    assert pairs.argmax().item() in (1, 4)  # distance and weight are multiplied
    assert quick.explainer == "integrated_gradients"
    assert "grad_cam would mislead here" in refusal
