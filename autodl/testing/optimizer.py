"""What every optimizer owes: subclass ``OptimizerSuite`` with one fixture, and pytest does the rest.

Example:
    >>> class TestMine(OptimizerSuite):  # doctest: +SKIP
    ...     optimizer = pytest.fixture(lambda self: MyOptimizer)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from autodl.contracts import Optimizer, ParameterLayout
from autodl.testing.encoder import Settings, edges
from autodl.testing.loss import columns

MEMBERS, STEPS = 3, 20
SHAPES = ((4, 3), (4,), (3, 2, 2), (4, 3), (2, 4), (2,))
HIDDEN = (True, False, True, True, False, False)


class Race:
    """A pack that runs down a quadratic bowl, each parameter with its own curvature and lowest point.

    Args:
        optimizer: The update rule.
        corners: One member's settings after another, taken in turn; the defaults where there are none.
        device: Where it runs.
    """

    def __init__(self, optimizer: type[Optimizer], corners: Sequence[Settings] = (), device: str = "cpu") -> None:
        sizes = [math.prod(shape) for shape in SHAPES]
        offsets = tuple(sum(sizes[:i]) for i in range(len(sizes)))
        layout = ParameterLayout(tuple(f"parameter_{i}" for i in range(len(sizes))), SHAPES, offsets, HIDDEN)
        generator = torch.Generator().manual_seed(0)
        draws = torch.rand(3, MEMBERS, sum(sizes), generator=generator, dtype=torch.float64).to(device)
        self.curvature, self.lowest = draws[0] + 0.5, draws[1] - 0.5
        self.parameters = self.lowest + 4 * (draws[2] - 0.5)
        every = list(corners) or [optimizer.space.defaults()]
        own = [every[i % len(every)] for i in range(MEMBERS)]
        self.settings = {name: value.to(device) for name, value in columns(own).items()}
        self.optimizer = optimizer(layout)
        self.state = self.optimizer.initial_state(self.parameters)

    def keep(self, members: list[int]) -> Race:
        """Let all members but these leave."""
        for name in ("curvature", "lowest", "parameters"):
            setattr(self, name, getattr(self, name)[members])
        self.settings = {name: value[members] for name, value in self.settings.items()}
        self.state = {name: value[members] for name, value in self.state.items()}
        return self

    def run(self, steps: int = STEPS, factor: float = 1.0) -> Race:
        """Take some steps."""
        schedule = self.parameters.new_full((len(self.parameters), 1), factor)
        with torch.no_grad():
            for _ in range(steps):
                gradients = self.curvature * (self.parameters - self.lowest)
                self.optimizer.update(self.parameters, gradients, self.state, self.settings, schedule)
        return self

    def predicting(self) -> Tensor:
        """The weights to predict with. Shape: → members parameters."""
        return self.optimizer.evaluation(self.parameters, self.state, self.settings)

    def height(self) -> Tensor:
        """How far each member is above its lowest point. Shape: → members."""
        return (self.curvature * (self.predicting() - self.lowest).square()).sum(1) / 2


class OptimizerSuite:
    """Tests of one optimizer; a subclass, or its module, has the fixture ``optimizer``: the class."""

    @pytest.fixture
    def corners(self, optimizer: type[Optimizer]) -> list[Settings]:
        """The defaults, then each end of each knob."""
        return list(edges(optimizer.space))

    def test_every_knob_may_differ_in_a_pack(self, optimizer: type[Optimizer]) -> None:
        """Each is a number or a boolean and says what it does; one goes by a name that others rely on."""
        assert "learning_rate" in optimizer.space
        for name, knob in optimizer.space.items():
            assert knob.per_member, f"{name} must be per_member"
            assert knob.doc, f"{name} must have a doc"
            assert knob.allows(knob.center()), f"the default of {name} must be a value of it"
            assert not isinstance(knob.center(), str), f"{name} must be a number or a boolean"

    def test_a_quadratic_goes_down(self, optimizer: type[Optimizer]) -> None:
        """With the default settings, for every member."""
        race = Race(optimizer)
        before = race.height()
        assert (race.run(100).height() < before).all()

    def test_every_edge_of_the_space_stays_finite(self, optimizer: type[Optimizer], corners: list[Settings]) -> None:
        """At each end of each knob."""
        for corner in corners:
            assert Race(optimizer, [corner]).run().predicting().isfinite().all(), corner

    def test_a_pack_equals_separate_trainings(self, optimizer: type[Optimizer], corners: list[Settings]) -> None:
        """What becomes of a member does not depend on who shares its pack, nor on their settings."""
        for start in range(0, len(corners), MEMBERS):
            own = corners[start : start + MEMBERS]
            together = Race(optimizer, own).run().predicting()
            for member in range(MEMBERS):
                alone = Race(optimizer, own).keep([member]).run().predicting()
                torch.testing.assert_close(together[[member]], alone, rtol=1e-10, atol=1e-10)

    def test_is_deterministic(self, optimizer: type[Optimizer]) -> None:
        """Twice the same, to the last bit."""
        assert torch.equal(Race(optimizer).run().predicting(), Race(optimizer).run().predicting())

    def test_a_learning_rate_moves_its_own_member(self, optimizer: type[Optimizer]) -> None:
        """A member with ten times the rate ends elsewhere, and the others where they did."""
        usual = Race(optimizer).run().predicting()
        race = Race(optimizer)
        race.settings["learning_rate"][1] *= 10
        faster = race.run().predicting()
        assert not torch.allclose(faster[1], usual[1])
        torch.testing.assert_close(faster[[0, 2]], usual[[0, 2]], rtol=1e-10, atol=1e-10)

    def test_weight_decay_draws_to_zero(self, optimizer: type[Optimizer]) -> None:
        """Where there is no other pull, and matrices only: biases and gains keep theirs."""
        if "weight_decay" not in optimizer.space:
            pytest.skip("has no weight decay")
        race = Race(optimizer)
        race.curvature.zero_()
        race.settings["weight_decay"][1] = 1.0
        before = race.parameters.clone()
        after = race.run().parameters
        layout = race.optimizer.layout
        for i, shape in enumerate(SHAPES):
            old, new = layout.view(before, i)[1], layout.view(after, i)[1]
            assert new.norm() < old.norm() if len(shape) > 1 else torch.equal(new, old), f"a parameter of shape {shape}"

    def test_state_has_members_first_and_compacts(self, optimizer: type[Optimizer]) -> None:
        """Those who stay go on as if nobody had left, and a slot can be filled by a newcomer at its first step."""
        whole = Race(optimizer).run(40).predicting()
        race = Race(optimizer).run(20)
        assert all(len(value) == MEMBERS for value in race.state.values())
        torch.testing.assert_close(race.keep([2, 0]).run(20).predicting(), whole[[2, 0]], rtol=1e-10, atol=1e-10)

    def test_members_may_be_at_different_steps(self, optimizer: type[Optimizer]) -> None:
        """A newcomer beside a member that has come a long way trains as it would alone."""
        old, new = Race(optimizer).run(30), Race(optimizer)
        old.parameters[1], old.state = new.parameters[1], {k: v.clone() for k, v in old.state.items()}
        for name, value in old.state.items():
            value[1] = new.state[name][1]
        torch.testing.assert_close(old.run(10).predicting()[[1]], new.run(10).predicting()[[1]], rtol=1e-10, atol=1e-10)

    def test_state_survives_a_file(self, optimizer: type[Optimizer]) -> None:
        """Saved and loaded on the way, it ends where it would have."""
        whole = Race(optimizer).run(40).predicting()
        race = Race(optimizer).run(20)
        race.state = load(save(race.state))
        assert torch.equal(race.run(20).predicting(), whole)

    def test_updates_in_place(self, optimizer: type[Optimizer]) -> None:
        """Parameters and state stay in their memory: a captured graph, and views, keep their hold on them."""
        race = Race(optimizer)
        places = {name: value.data_ptr() for name, value in race.state.items()}
        weights = race.parameters.data_ptr()
        race.run(3)
        assert race.parameters.data_ptr() == weights
        assert {name: value.data_ptr() for name, value in race.state.items()} == places

    def test_evaluation_changes_nothing(self, optimizer: type[Optimizer]) -> None:
        """Asked for in the middle of a training, it leaves the training as it was."""
        whole = Race(optimizer).run(40).predicting()
        race = Race(optimizer).run(20)
        assert race.predicting().shape == race.parameters.shape
        assert torch.equal(race.run(20).predicting(), whole)

    def test_zero_gradients_stay_finite(self, optimizer: type[Optimizer]) -> None:
        """From the first step, and later."""
        race = Race(optimizer)
        race.curvature.zero_()
        assert race.run().predicting().isfinite().all()
        assert all(value.isfinite().all() for value in race.state.values())

    @pytest.mark.parametrize("before", [0, 10])
    def test_a_factor_of_zero_moves_nothing(self, optimizer: type[Optimizer], before: int) -> None:
        """Neither at the first step nor later do the weights move, nor do those that predict; and it can go on."""
        race = Race(optimizer).run(before)
        parameters, predicting = race.parameters.clone(), race.predicting().clone()
        race.run(5, factor=0.0)
        assert torch.equal(race.parameters, parameters)
        torch.testing.assert_close(race.predicting(), predicting, rtol=1e-12, atol=1e-12)
        assert race.run(5).predicting().isfinite().all()

    def test_reads_no_value_back(self, optimizer: type[Optimizer]) -> None:
        """It runs on tensors without values: nothing hangs on a number that a GPU would have to send to the host."""
        assert Race(optimizer, device="meta").run(2).predicting().is_meta

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_runs_in_a_captured_graph(self, optimizer: type[Optimizer]) -> None:
        """Replayed as a CUDA graph, it does what it does on a CPU."""
        expected = Race(optimizer).run(23).predicting()
        race = Race(optimizer, device="cuda")
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            race.run(3)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            race.run(1)
        for _ in range(20):
            graph.replay()
        torch.testing.assert_close(race.predicting().cpu(), expected, rtol=1e-8, atol=1e-8)
