"""What becomes of a pack whose worker died: tried again from its checkpoints, then one by one, then given up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autodl.records import TrialRecord
from autodl.tuning.executors.job import PackJob

MOST_ATTEMPTS = 2  # a pack is tried again; its members alone after that


def retries(job: PackJob, lost: Mapping[int, TrialRecord], first_rung: int, reason: str) -> tuple[list[PackJob], str]:
    """Return the jobs that a lost one becomes, still with its number, and what to say; no job where it is given up.

    Args:
        job: The one whose worker died.
        lost: Its trials that had not left the pack.
        first_rung: The epoch at which those wait that had joined while others were further.
        reason: Why the worker died.
    """
    attempt = job.attempt + 1
    if attempt < MOST_ATTEMPTS:
        joined = {n for n, record in lost.items() if job.epoch and not record.epoch}
        groups = [({n for n in lost if n not in joined}, job.until), (joined, first_rung)]
        said = f"a worker died ({reason}); its {len(lost)} trials start again from their checkpoints"
        return [_part(job, each, until, attempt) for each, until in groups if each], said
    if len(lost) > 1:
        said = f"a worker died again ({reason}); its {len(lost)} trials start again one by one"
        return [_part(job, {number}, job.until, attempt) for number in lost], said
    return [], f"its worker died {attempt} times ({reason})"


def _part(job: PackJob, numbers: set[int], until: int, attempt: int) -> PackJob:
    members = {number: config for number, config in job.members.items() if number in numbers}
    return replace(job, members=members, until=until, attempt=attempt)
