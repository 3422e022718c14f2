from __future__ import annotations

import torch
from safetensors.torch import load_file

from autodl.tuning.executors.inline import Inline


def train(job, **options):
    executor = Inline("cpu", **options)
    executor.submit(job)
    return executor.poll(1.0)


def trial_messages(messages):
    return {message["number"]: message for message in messages if message["event"] == "trial"}


def test_every_trial_is_reported_and_leaves_its_files(job, run):
    found = trial_messages(train(job()))
    assert set(found) == {0, 1, 2}
    for number, message in found.items():
        assert message["error"] == ""
        assert message["ended"]
        assert 0 < message["score"] < 1.2
        files = {path.name for path in run.trial(number).iterdir()}
        assert files == {"config.json", "weights.safetensors", "predictions.safetensors"}


def test_a_trial_that_may_go_on_goes_on_as_if_it_had_never_stopped(job, run, prepared, space):
    halfway = trial_messages(train(job(until=2)))
    assert not any(message["ended"] for message in halfway.values())
    assert (run.trial(0) / "checkpoint.safetensors").exists()
    resumed = trial_messages(train(job(epoch=2)))
    parts = load_file(run.trial(1) / "weights.safetensors")
    for number in range(3):
        for file in run.trial(number).iterdir():
            file.unlink()
    whole = trial_messages(train(job()))
    assert {n: m["score"] for n, m in resumed.items()} == {n: m["score"] for n, m in whole.items()}
    for name, tensor in load_file(run.trial(1) / "weights.safetensors").items():
        assert torch.equal(tensor, parts[name])


def test_a_damaged_checkpoint_costs_a_repetition(job, run):
    train(job(until=2))
    (run.trial(1) / "checkpoint.safetensors").write_bytes(b"nonsense")
    found = trial_messages(train(job(epoch=2)))
    assert {message["epoch"] for message in found.values()} == {6}


def test_out_of_memory_halves_the_pack_and_loses_nobody(job, monkeypatch):
    from autodl.tuning.executors import _work

    real = _work.Training

    def small(configs, *args, **kwargs):
        if len(configs) > 1:
            raise MemoryError
        return real(configs, *args, **kwargs)

    monkeypatch.setattr(_work, "Training", small)
    messages = train(job())
    assert {message["score"] is not None for message in trial_messages(messages).values()} == {True}
    assert any("halved" in message.get("text", "") for message in messages)


def test_a_member_that_breaks_is_lost_alone_with_its_reason(job, monkeypatch, run):
    from autodl.tuning.executors import _work

    real = _work.Training

    def picky(configs, *args, **kwargs):
        if any(config.seed == 1 for config in configs):
            raise ValueError("one is not liked")
        return real(configs, *args, **kwargs)

    monkeypatch.setattr(_work, "Training", picky)
    found = trial_messages(train(job()))
    assert found[1]["error"] == "ValueError: one is not liked"
    assert "Traceback" in (run.trial(1) / "error.txt").read_text()
    assert found[0]["error"] == found[2]["error"] == ""


def test_a_member_out_of_memory_alone_is_a_failed_trial(job, monkeypatch):
    from autodl.tuning.executors import _work

    def never(*args, **kwargs):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(_work, "Training", never)
    found = trial_messages(train(job(count=1)))
    assert found[0]["error"] == "out of memory, alone in its pack"


def test_who_asks_to_stop_gets_an_answer_and_no_new_checkpoint(job, run):
    calls = iter(range(10_000))
    found = trial_messages(train(job(epochs=500, until=500), stopped=lambda: next(calls) > 5))
    assert all(message["score"] is not None and not message["ended"] for message in found.values())
    assert not (run.trial(0) / "checkpoint.safetensors").exists()
