from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from autodl.records import TrialRecord
from autodl.tuning.proposals import Known, Proposer, family
from autodl.tuning.search_space import SearchSpace


@pytest.fixture
def space(networks):
    """Estimators have a proposer of their own."""
    return networks


def structure(space, params):
    return sorted(space.structural(params).items(), key=str)


def learn(space, proposer, judge, packs, size=4):
    """Propose packs and tell each member's score."""
    known = []
    for pack in range(packs):
        for proposal in proposer.pack(size, known):
            config = space.config(proposal.params, 9, len(known))
            record = TrialRecord(len(known), "paused", config, score=judge(proposal.params), epoch=1)
            known.append(Known(record, proposal.params, pack))
    return known


@pytest.fixture
def fast(space, monkeypatch):
    """A proposer that has nothing in its portfolio."""
    monkeypatch.setattr("autodl.tuning.proposals.portfolio", lambda space: [])
    return lambda seed=0: Proposer(space, False, seed)


def test_the_portfolio_comes_first_and_members_of_a_pack_share_their_structure(space):
    proposer = Proposer(space, False, 0)
    known = []
    for number in range(3):
        pack = proposer.pack(4, known)
        assert len(pack) == 4
        assert pack[0].source == "portfolio"
        shared = {str(structure(space, proposal.params)) for proposal in pack}
        assert len(shared) == 1
        assert len({str(sorted(p.params.items(), key=str)) for p in pack}) == 4, f"pack {number} repeats itself"


def test_then_random_then_tpe(space, fast):
    proposer = fast()
    known = learn(space, proposer, lambda params: 1.0, 4)
    sources = Counter(fast_source.source for _ in range(12) for fast_source in proposer.pack(2, known))
    assert sources["tpe"] > sources["random"] > 0


def test_the_same_seed_proposes_the_same(space, fast):
    first = learn(space, fast(7), lambda params: float(len(str(params)) % 7), 8, 2)
    second = learn(space, fast(7), lambda params: float(len(str(params)) % 7), 8, 2)
    other = learn(space, fast(8), lambda params: float(len(str(params)) % 7), 8, 2)
    assert [each.params for each in first] == [each.params for each in second]
    assert [each.params for each in first] != [each.params for each in other]


def test_a_proposer_goes_on_where_an_earlier_one_ended(space, fast):
    whole = learn(space, fast(), lambda params: 1.0, 6, 2)
    again = Proposer(space, False, 0, proposed=5)
    again._portfolio = []
    assert [p.params for p in again.pack(2, whole[:10])] == [each.params for each in whole[10:]]


def test_every_family_gets_its_share_and_the_better_one_most(space, fast):
    """The trap: eight trials of one structure must not drown a better family."""

    def judge(params):
        return 0.1 if params["table.encoder"] == "linear" else 1.0

    known = learn(space, fast(1), judge, 40)
    leaders = {each.pack: family(space, each.params)[0] for each in known}
    late = Counter(leader for pack, leader in leaders.items() if pack >= 10)
    assert set(leaders.values()) == set(space.knobs["table.encoder"].dimension.options)
    assert late.most_common(1)[0][0] == "linear"


def test_a_sampler_that_costs_too_much_steps_back(space, fast):
    proposer = fast()
    known = learn(space, proposer, lambda params: 1.0, 6)
    proposer.seconds = 10.0
    sources = {proposal.source for _ in range(8) for proposal in proposer.pack(2, known, elapsed=100.0)}
    assert sources == {"random"}


def test_failed_trials_teach_nothing_and_break_nothing(space, fast):
    proposer = fast()
    known = learn(space, proposer, lambda params: 1.0, 5)
    lost = [replace(each, record=replace(each.record, score=None, state="failed")) for each in known[:8]]
    for _ in range(6):
        assert proposer.pack(2, lost + known[8:])


class TestTwoObjectives:
    """Score and cost, both to be small."""

    def learn(self, space, proposer, packs, cost):
        known = learn(space, proposer, lambda params: 1.0, packs, 2)
        return [replace(each, record=replace(each.record, cost=cost(each.params))) for each in known]

    @pytest.fixture
    def fast(self, space, monkeypatch):
        monkeypatch.setattr("autodl.tuning.proposals.portfolio", lambda space: [])
        return lambda seed=0: Proposer(space, False, seed, two=True)

    def test_cost_is_learnt_beside_the_score(self, space, fast):
        """All score alike; one family costs little."""

        def cost(params):
            return 1.0 if params["table.encoder"] == "linear" else 100.0

        proposer = fast(1)
        known, leaders = [], []
        for pack in range(40):
            proposals = proposer.pack(2, known)
            leaders.append(proposals[0].params["table.encoder"])
            for proposal in proposals:
                config = space.config(proposal.params, 9, len(known))
                record = TrialRecord(len(known), "complete", config, score=1.0, epoch=1, cost=cost(proposal.params))
                known.append(Known(record, proposal.params, pack))
        assert Counter(leaders[10:]).most_common(1)[0][0] == "linear"

    def test_a_trial_without_a_cost_breaks_nothing(self, space, fast):
        proposer = fast()
        known = learn(space, proposer, lambda params: 1.0, 6)
        sources = {proposal.source for _ in range(6) for proposal in proposer.pack(2, known)}
        assert "tpe" in sources

    def test_the_same_seed_proposes_the_same(self, space, fast):
        def known(proposer):
            return [each.params for each in self.learn(space, proposer, 8, lambda params: float(len(str(params)) % 5))]

        assert known(fast(7)) == known(fast(7))


def test_where_estimators_alone_are_searched_no_portfolio_is_asked_for(prepared):
    alone = SearchSpace.build(prepared.defaults(), prepared.dataset.task, 96, ("extra_trees",))
    assert Proposer(alone.networks, False, 0).packs == 0
