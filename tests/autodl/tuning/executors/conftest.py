"""A job on real rows, for executors to train."""

from __future__ import annotations

import pytest

from autodl.tuning.executors.job import PackJob


@pytest.fixture
def job(prepared, space):
    """Build a job of some trials."""

    def build(count=3, epochs=6, until=6, learning_rate=0.01, **changes):
        wish = {"table.encoder": "mlp", "optimizer": "adamw", "optimizer.adamw.learning_rate": learning_rate}
        params = space.networks.complete(wish)
        members = {number: space.config(params, epochs, number) for number in range(count)}
        facts = {"id": 1, "folder": str(prepared.run.path), "inputs": prepared.keys(members[0]), "epoch": 0}
        return PackJob(
            **{**facts, "deadline": None, "device": "cpu", "threads": 1, "members": members, "until": until, **changes}
        )

    return build


@pytest.fixture
def estimator_job(prepared, space):
    """Build a job of some estimators, by name; settings are of the last one."""

    def build(*names, deadline=None, folder=None, **settings):
        def config(name, number):
            given = {f"estimator.{name}.{knob}": value for knob, value in settings.items()} if name == names[-1] else {}
            found = space.estimators.complete({"estimator": name, **given}) if name != "dummy" else {"estimator": name}
            return space.config(found, 1, number)

        members = {number: config(name, number) for number, name in enumerate(names)}
        inputs = prepared.keys(members[0])
        return PackJob(1, str(prepared.run.path), members, inputs, 0, 1, deadline, "cpu", 1)

    return build
