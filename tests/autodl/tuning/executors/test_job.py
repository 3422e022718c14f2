from __future__ import annotations

import json

from autodl.records import Component, TrialConfig
from autodl.tuning.executors.job import PackJob


def test_a_job_survives_json():
    config = TrialConfig(
        modalities={"table": Component("tabular", {"scaling": "robust"})},
        encoders={"table": Component("mlp", {"depth": 2})},
        loss=Component("cross_entropy"),
        optimizer=Component("adamw", {"learning_rate": 1e-3}),
        training={"batch_size": "full"},
        epochs=9,
        seed=3,
    )
    job = PackJob(1, "run", {7: config}, {"table": "table-1"}, 0, 3, None, "cpu", 1)
    again = PackJob.from_json(json.loads(json.dumps(job.to_json())))
    assert again == job
