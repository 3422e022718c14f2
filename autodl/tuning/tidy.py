"""What trials leave on the disk, and what of it nobody will ask for again."""

from __future__ import annotations

from collections.abc import Sequence

from autodl.records import TrialRecord
from autodl.tuning.run_folder import RunFolder
from autodl.tuning.rungs import by_fronts

WEIGHTS_KEPT = 50  # the best trials, for the predictor to choose from
CHECKPOINTS_KEPT = 100  # the best of those that wait, in case they go on; any other would start anew


def tidy(run: RunFolder, records: Sequence[TrialRecord], greater_is_better: bool) -> None:
    """Remove tensors of trials that will hardly be chosen, so that a long search fits on the disk.

    Their configurations and scores stay. A trial without its checkpoint can still go on: it is trained again from the
    start, to the same weights.

    The best of those that read the same inputs by the same fusion stays: it is told at the end.

    Where there are two objectives, those that fewest others beat in both are the best.

    Args:
        run: The run.
        records: All trials.
        greater_is_better: Which scores are good.
    """
    sign = -1.0 if greater_is_better else 1.0
    scored = sorted((sign * record.score, record.number, record) for record in records if record.score is not None)
    best = by_fronts([record for _, _, record in scored])  # with one objective, best score first as they are
    waiting = [record for record in best if record.state in ("paused", "stopped")]
    firsts = {(tuple(sorted(r.config.encoders)), r.config.fusion and r.config.fusion.name): r for r in reversed(best)}
    kept = {record.number for record in (*best[:WEIGHTS_KEPT], *firsts.values())}
    for record in best:
        if record.state != "running" and record.number not in kept:
            for name in ("weights", "predictions"):
                (run.trial(record.number) / f"{name}.safetensors").unlink(missing_ok=True)
    for record in waiting[CHECKPOINTS_KEPT:]:
        (run.trial(record.number) / "checkpoint.safetensors").unlink(missing_ok=True)
