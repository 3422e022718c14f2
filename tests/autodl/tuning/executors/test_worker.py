from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from autodl.records import Component

pytestmark = pytest.mark.slow

NOISY = """
import os
import torch
from torch import nn

print("printed at import", flush=True)
os.write(1, b"written at import\\n")

class Noisy(nn.Module):
    accepts = "vector"

    def __init__(self, shape):
        super().__init__()
        self.layer = nn.Linear(shape[0], 4)

    def forward(self, x):
        print(f"printed on the way by {torch.get_num_threads()} threads", flush=True)
        os.system("echo printed by a child")
        print("printed and forgotten")
        return self.layer(x)
"""


class Program:
    """The worker as its driver sees it; it is killed after a minute, so that no test waits for ever."""

    def __init__(self, folder, own=(), threads=1):
        modules = folder / "modules"
        modules.mkdir()
        (modules / "noisy.py").write_text(NOISY)
        self.log = folder / "log.txt"
        with self.log.open("wb") as log:
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
            command = [sys.executable, "-m", "autodl.tuning.executors._worker"]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=folder, env=environment
            )
        self.watch = threading.Timer(60, self.process.kill)
        self.watch.start()
        self.say({"path": [str(modules), *sys.path], "device": "cpu", "threads": threads, "own": list(own)})

    def say(self, message):
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def train(self, job):
        self.say({"say": "job", "job": job.to_json()})

    def heard(self, event, **facts):
        """All messages to the first of that kind; whatever is no JSON is an error."""
        found = []
        for line in self.process.stdout:
            found.append(json.loads(line))
            if found[-1]["event"] == event and facts.items() <= found[-1].items():
                return found
        raise AssertionError(f"no '{event}', only {found} and the log: {self.log.read_text()}")

    def end_of_input(self):
        """Return its exit code."""
        self.process.stdin.close()
        return self.process.wait()

    def close(self):
        self.watch.cancel()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()


def noisy(job):
    """A job of one epoch that trains the noisy module."""
    usual = job(count=1, epochs=1, until=1)
    return replace(usual, members={0: replace(usual.members[0], encoders={"table": Component("noisy")})})


@pytest.fixture
def start(tmp_path):
    begun = []

    def begin(**options):
        begun.append(Program(tmp_path, **options))
        return begun[-1]

    yield begin
    for program in begun:
        program.close()


def test_it_says_when_it_is_ready_and_trains_jobs_in_their_order(start, job):
    program = start()
    assert program.heard("ready") == [{"event": "ready"}]
    program.train(job(id=5, count=1, epochs=1, until=1))
    program.train(job(id=4, count=1, epochs=1, until=1))
    assert program.heard("done")[-1] == {"event": "done", "job": 5}
    found = program.heard("done")
    assert found[-1] == {"event": "done", "job": 4}
    assert [message["score"] is not None for message in found if message["event"] == "trial"] == [True]


def test_what_a_component_prints_goes_to_the_log_and_its_output_is_messages_alone(start, job):
    """Be it by print, by the file descriptor or by a child; at import or on the way."""
    program = start(own=["noisy:Noisy"], threads=2)
    program.train(noisy(job))
    (trial,) = [message for message in program.heard("done") if message["event"] == "trial"]
    assert trial["error"] == ""
    assert program.end_of_input() == 0
    assert program.process.stdout.read() == b""
    log = program.log.read_text()
    for line in ("printed at import", "written at import", "printed on the way by 2 threads", "printed by a child"):
        assert line in log


def test_what_is_printed_from_now_on_goes_where_it_is_told(start, job, tmp_path):
    program = start(own=["noisy:Noisy"])
    program.heard("ready")
    program.say({"say": "log", "path": str(tmp_path / "worker-0.log")})
    program.train(noisy(job))
    program.heard("done")
    assert program.log.read_text().splitlines() == ["printed at import", "written at import"]
    later = (tmp_path / "worker-0.log").read_text()
    assert "printed on the way by 1 threads" in later
    assert "printed by a child" in later
    assert "import" not in later


def test_what_is_printed_is_in_the_log_at_once(start, job):
    program = start(own=["noisy:Noisy"])
    program.train(noisy(job))
    program.heard("done")
    log = program.log.read_text()
    assert log.count("printed and forgotten") == log.count("printed by a child") > 0


def test_it_ends_with_its_input_in_the_middle_of_a_training(start, job):
    program = start()
    program.train(job(epochs=1_000_000, until=1_000_000))
    program.heard("epoch")
    assert program.end_of_input() == 0
    assert program.log.read_text() == ""


def test_ctrl_c_is_none_of_its_business(start, job):
    """Neither while it waits nor while it trains; asked to stop by its driver, it does."""
    program = start()
    program.heard("ready")
    program.process.send_signal(signal.SIGINT)
    program.train(job(epochs=1_000_000, until=1_000_000))
    epoch = program.heard("epoch")[-1]["epoch"]
    program.process.send_signal(signal.SIGINT)
    assert program.heard("epoch")[-1]["epoch"] > epoch
    program.say({"say": "stop"})
    assert not any(message["ended"] for message in program.heard("done") if message["event"] == "trial")


def test_an_own_module_that_it_cannot_import_is_its_end_with_the_reason_in_the_log(start):
    program = start(own=["noisy:Quiet"])
    assert program.process.wait() != 0
    assert program.process.stdout.read() == b""
    assert "the own encoder noisy:Quiet must be importable" in program.log.read_text()


def test_an_error_ends_it_with_code_one(start):
    assert start(own=["noisy:Quiet"]).process.wait() == 1
