from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from autodl import contracts
from autodl.attribution import Attribution, Players, Question
from autodl.contracts import Dropout, Encoder, Explainer, Modality, Optimizer, ParameterLayout
from autodl.records import InputSpec
from autodl.space import Integer, Space

ROWS = 20_000
RATES = (0.1, 0.5, 0.9)


def dropped(rate: float, shape: tuple[int, ...] = (), row: tuple[int, ...] = (4,)) -> Tensor:
    """What becomes of ones, each row drawn from one seed. Shape: rows *row."""
    torch.manual_seed(0)
    return Dropout(rate, shape or row)(torch.ones(ROWS, *row))


class TestDropout:
    @pytest.mark.parametrize("rate", RATES)
    def test_in_training_it_sets_that_share_to_zero(self, rate: float) -> None:
        """Within four standard errors."""
        gone = (dropped(rate) == 0).float()
        assert abs(gone.mean().item() - rate) < 4 * math.sqrt(rate * (1 - rate) / gone.numel())

    @pytest.mark.parametrize("rate", RATES)
    def test_what_stays_makes_up_for_what_goes(self, rate: float) -> None:
        values = dropped(rate)
        torch.testing.assert_close(values[values != 0], torch.tensor(1 / (1 - rate)).expand(int((values != 0).sum())))
        assert values.mean().item() == pytest.approx(1, abs=4 * math.sqrt(rate / (1 - rate) / values.numel()))

    def test_entries_go_one_by_one(self) -> None:
        """Two entries of a row go together no more often than chance has it: a half of a half."""
        gone = (dropped(0.5) == 0).float()
        together = (gone[:, :-1] * gone[:, 1:]).mean().item()
        assert together == pytest.approx(0.25, abs=0.02)

    def test_a_map_goes_as_a_whole(self) -> None:
        """With a shape of ``(channels, 1, 1)``; maps of one row go one by one."""
        maps = dropped(0.5, (3, 1, 1), (3, 2, 2))
        assert torch.equal(maps, maps[:, :, :1, :1].expand_as(maps))
        gone = (maps[:, :, 0, 0] == 0).float()
        assert gone.mean().item() == pytest.approx(0.5, abs=0.02)
        assert (gone[:, 0] * gone[:, 1]).mean().item() == pytest.approx(0.25, abs=0.02)

    def test_in_evaluation_it_does_nothing(self) -> None:
        x = torch.randn(5, 4)
        assert Dropout(0.9, (4,)).eval()(x) is x

    def test_switched_off_it_does_nothing_in_training(self) -> None:
        dropout, x = Dropout(0.9, (4,)), torch.randn(5, 4)
        dropout.off = True
        assert dropout(x) is x

    def test_rate_zero_changes_no_number(self) -> None:
        x = torch.randn(5, 4)
        assert torch.equal(Dropout(0.0, (4,))(x), x)

    def test_the_factors_that_a_pack_sets_are_all_that_counts(self) -> None:
        dropout, x = Dropout(0.9, (2,)), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        dropout.keep = torch.tensor([[0.0, 2.0], [1.5, 0.0]])
        assert dropout(x).tolist() == [[0.0, 4.0], [4.5, 0.0]]
        assert dropout.eval()(x) is x

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    @pytest.mark.parametrize("by_a_pack", [True, False])
    def test_precision_stays(self, dtype: torch.dtype, by_a_pack: bool) -> None:
        dropout = Dropout(0.5, (4,))
        if by_a_pack:
            dropout.keep = torch.full((3, 4), 2.0)
        assert dropout(torch.ones(3, 4, dtype=dtype)).dtype == dtype

    def test_the_rate_is_saved_and_the_factors_of_one_step_are_not(self) -> None:
        """The rate is a buffer, since members of a pack differ in it."""
        dropout = Dropout(0.25, (2,))
        dropout.keep = torch.ones(7, 2)
        assert {name: value.item() for name, value in dropout.state_dict().items()} == {"rate": 0.25}


@pytest.mark.parametrize(
    ("contract", "owed"),
    [
        ("Modality", {"claim", "fit", "transform", "state", "from_state"}),
        ("Encoder", {"accepts", "forward"}),
        ("Fusion", {"forward"}),
        ("Loss", {"__call__"}),
        ("Optimizer", {"initial_state", "update"}),
        ("Explainer", {"attribute"}),
    ],
)
def test_what_a_component_must_write_itself(contract: str, owed: set[str]) -> None:
    """A change here breaks plugins that others wrote."""
    assert getattr(contracts, contract).__abstractmethods__ == owed
    with pytest.raises(TypeError, match="abstract"):
        getattr(contracts, contract)()


class Half(Optimizer):
    def initial_state(self, parameters: Tensor) -> dict[str, Tensor]:
        return {}

    def update(self, parameters: Tensor, *rest: Any) -> None:
        parameters.div_(2)


class Flat(Encoder):
    space = Space(depth=Integer(1, 2))

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        return True

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).unsqueeze(1)


class Nothing(Explainer):
    space = Space(steps=Integer(1, 9, default=5))

    def attribute(self, question: Question) -> Attribution:
        return Attribution(torch.full((2, 1), float(question.target)), torch.tensor(0.0))


class TestWhatAComponentNeedNotWrite:
    def test_a_modality_augments_nothing(self) -> None:
        batch = torch.randn(2, 3, 4)
        before = copy.deepcopy(batch)
        assert Modality.augment(batch, {"noise": torch.ones(2)}, torch.rand) is batch
        assert torch.equal(batch, before)

    def test_an_encoder_has_the_same_knobs_for_every_input(self) -> None:
        spec = InputSpec((2,), ("a", "b"), feature_mask=torch.arange(2), baseline=torch.zeros(2))
        assert Flat.space_for(spec) is Flat.space
        assert not Flat.convolutional

    def test_an_optimizer_predicts_with_the_weights_it_moves(self) -> None:
        optimizer = Half(ParameterLayout((), (), (), ()))
        parameters = torch.ones(1, 3)
        assert optimizer.evaluation(parameters, optimizer.initial_state(parameters), {}) is parameters

    def test_an_explainer_objects_to_nothing_and_answers_output_by_output(self) -> None:
        question = Question(lambda inputs: inputs["x"], {}, 0, {}, Players((), {}), {}, {})
        assert Nothing().objection(question) is None
        assert [float(each.values[0, 0]) for each in Nothing().attribute_all(question, [4, 2])] == [4.0, 2.0]

    def test_settings_that_nobody_gives_take_their_defaults(self) -> None:
        assert Nothing().settings == {"steps": 5}
        assert Nothing(steps=7).settings == {"steps": 7}
