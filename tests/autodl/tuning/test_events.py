from __future__ import annotations

from autodl.tuning.events import Said, silent


def test_silence_is_a_listener():
    assert silent(Said("anything")) is None
