from __future__ import annotations

import json

from autodl.tuning.options import SearchOptions


def test_options_survive_json():
    for options in (SearchOptions(), SearchOptions(time=5.0, models=("mlp", "linear"), space="[training]\n", jobs=2)):
        assert SearchOptions.from_json(json.loads(json.dumps(options.to_json()))) == options
