from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest
import torch

from autodl.explaining.explanation import Explanation
from autodl.explaining.quality import Measure
from autodl.report.plots import Plots, notebook

OURS = ("<br>", "<b>", "</b>", "<extra></extra>")


def strings(plain: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a figure but what is meant for the page, with where it stands."""
    if isinstance(plain, dict):
        for key, each in plain.items():
            if path or key != "template":
                yield from () if key in ("meta", "bdata") else strings(each, f"{path}.{key}")
    elif isinstance(plain, list):
        for each in plain:
            yield from strings(each, path)
    elif isinstance(plain, str):
        yield path, plain


def drawn(make_tabular: Callable[..., Explanation], make_pictured: Callable[..., Explanation]) -> Iterator[go.Figure]:
    """Every figure there is."""
    told = make_tabular()
    curve = {"share": torch.linspace(0, 1, 3), "explanation": torch.ones(3), "random": torch.ones(3)}
    measured = [Measure("deletion", 1.0, 2.0, 0.1, False, "<u>less</u>", curve=curve)]
    plots = Plots(told)
    yield from (plots.waterfall(1), plots.bars(1), plots.bar(), plots.beeswarm(), plots.interactions())
    yield from (plots.interactions(2), plots.classes(), plots.quality(measured), plots.deletion(measured))
    yield from (plots.scatter(name, other) for name in told.players for other in told.players[:4] if name != other)
    ice = torch.rand(5, 4)
    part = {"donors": torch.arange(4), "ice": ice, "mean": ice.mean(0), "ale": ice.mean(0), "ordered": True}
    found = {
        "curves": dict.fromkeys(told.players, part),
        "donor": torch.full((60,), 5),
        "changed": torch.ones(60, 8),
        "outputs": torch.ones(60, 3),
        "scores": torch.rand(60, 60),
    }
    plots = Plots(make_tabular(found=found))
    yield from (plots.counterfactual(), plots.influence())
    yield from (plots.partial_dependence(name) for name in told.players)
    plots = Plots(make_pictured())
    yield from (plots.image(1), plots.original(), plots.segments())


def test_words_of_the_data_are_text_in_every_figure(
    make_tabular: Callable[..., Explanation], make_pictured: Callable[..., Explanation]
) -> None:
    seen = ""
    for figure in drawn(make_tabular, make_pictured):
        for path, text in strings(json.loads(figure.to_json())):
            for ours in OURS:
                text = text.replace(ours, "")
            seen += text
            assert "<" not in text, (path, text)
            assert "$" not in text or ".source" in path, (path, text)
            if not path.endswith("template"):
                assert "%{" not in text, (path, text)
    for shown in (
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&lt;b&gt;x&lt;/b&gt; &#36;a&#36; %&#123;x}",
        "&lt;i&gt;maybe",
    ):
        assert shown in seen


def test_every_figure_says_where_its_numbers_come_from(
    make_tabular: Callable[..., Explanation], make_pictured: Callable[..., Explanation]
) -> None:
    for figure in drawn(make_tabular, make_pictured):
        for said in ("probability of", "nothing known: ", "seed "):
            assert said in figure.layout.meta["caption"]
            assert said in figure.layout.title.subtitle.text.replace("<br>", " ")
        assert figure.layout.meta["alt"]


def test_every_figure_is_found_from_the_explanation(table: Explanation) -> None:
    assert isinstance(table.plot, Plots)
    assert table.plot.waterfall(0).to_json() == Plots(table).waterfall(0).to_json()


@pytest.mark.parametrize("what", ["table", "picture", "values", "curves", "silent"])
def test_a_notebook_shows_what_there_is_in_a_frame_of_its_own(
    make_tabular: Callable[..., Explanation], make_pictured: Callable[..., Explanation], what: str
) -> None:
    ice = torch.rand(5, 4)
    curve = {"donors": torch.arange(4), "ice": ice, "mean": ice.mean(0), "ale": None, "ordered": True}
    told, figures = {
        "table": lambda: (make_tabular(), 2),
        "picture": lambda: (make_pictured(), 2),
        "values": lambda: (make_tabular(values=torch.ones(1, 8), completeness_gap=None, standard_error=None), 1),
        "curves": lambda: (make_tabular(found={"curves": {"feature 7": curve}}, standard_error=None), 1),
        "silent": lambda: (make_tabular(values=torch.ones(60, 0), standard_error=None, completeness_gap=None), 0),
    }[what]()
    shown = notebook(replace(told, outputs=("<script>bad()</script>", *told.outputs[1:])))
    assert shown.count("<") == 2  # the frame's own tags: what is in it is an attribute
    assert "allow-scripts" in shown
    assert shown.count("&lt;figure") == figures
    assert "bad()&lt;/script&gt;" not in shown
