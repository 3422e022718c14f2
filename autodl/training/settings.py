"""Knobs of the training loop itself, and how the number of rows narrows them."""

from __future__ import annotations

from autodl.space import Choice, Float, Integer, Space

_BATCH_SIZES = (32, 64, 128, 256, 512, 1024)
_BATCH_LIMITS = (1, 1_000_000)
_BATCH_DOC = "rows an update is computed from; 'full' takes all of them: plain gradient descent"
_BATCH_BY_ROWS = ((2_800, 32), (4_500, 64), (6_400, 128), (32_000, 256))
_FULL_BATCH_ROWS = 1_000  # beyond, one update an epoch is too slow to be worth a trial unless asked for

TRAINING_SPACE = Space(
    batch_size=Choice(*_BATCH_SIZES, "full", default=256, limits=_BATCH_LIMITS, doc=_BATCH_DOC),
    schedule=Choice(
        *("cosine", "constant", "one_cycle", "flat_cosine", "coslog4"),
        per_member=True,
        doc="course of the learning rate over the training: falling to zero, level, or up and then down",
    ),
    warmup=Float(
        *(0.0, 0.3),
        per_member=True,
        default=0.05,
        limits=(0.0, 0.9),
        when={"schedule": ("cosine", "flat_cosine", "constant")},  # one cycle has a rise of its own
        doc="share of the training in which the learning rate rises from zero",
    ),
    clip=Choice(
        *(0.0, 1.0, 5.0),
        per_member=True,
        default=1.0,
        limits=(0.0, 1e6),
        doc="largest norm of a gradient; longer ones are shortened to it; 0 = off",
    ),
    ema=Choice(
        *(0.0, 0.9, 0.97, 0.99, 0.999),
        per_member=True,
        default=0.97,
        limits=(0.0, 0.99999),
        doc="decay, per update, of the averaged weights that predict; 0 = the last weights themselves",
    ),
    mixup=Choice(
        *(0.0, 0.1, 0.2, 0.4),
        per_member=True,
        limits=(0.0, 10.0),
        doc="alpha of the Beta distribution by which pairs of rows are blended (mixup, arXiv 1710.09412); 0 = off",
    ),
    features=Choice(
        *(1.0, 0.9, 0.75, 0.5, 0.25),
        per_member=True,
        limits=(0.01, 1.0),
        doc="share of the columns that is kept, those that tell most of the target first",
    ),
    auxiliary=Choice(
        *(0.0, 0.1, 0.3, 1.0),
        per_member=True,
        default=0.3,
        limits=(0.0, 100.0),
        doc="weight of the losses of heads that see one input each; 0 = off",
    ),
    input_dropout=Choice(
        *(0.0, 0.1, 0.2, 0.3),
        per_member=True,
        default=0.1,
        limits=(0.0, 0.9),
        doc="probability that a training row loses an input; never all of them",
    ),
    balance=Choice(
        *(0.0, 0.1, 0.3, 1.0),
        per_member=True,
        limits=(0.0, 100.0),
        doc="how much encoders that are ahead of the others are slowed down (OGM, arXiv 2203.15332); 0 = off",
    ),
    alignment=Choice(
        *(0.0, 0.03, 0.1, 0.3),
        per_member=True,
        limits=(0.0, 100.0),
        doc="weight of the disagreement between heads that see one input each; 0 = off",
    ),
    length=Choice(
        *(1.0, 0.3, 0.1),
        default=1.0,
        limits=(0.01, 10.0),
        doc="share of the usual number of epochs; texts are learned in a few",
    ),
    patience=Integer(
        *(16, 16),
        per_member=True,
        default=16,
        limits=(1, 1_000_000),
        doc="epochs without a better validation score after which a training ends",
    ),
)
"""All that a user may ask of the loop. Values that switch something off are options of their own, since a sampler never
draws exactly zero from a range."""


OF_SEVERAL = frozenset({"auxiliary", "input_dropout", "balance", "alignment"})
"""Knobs that count where a network has several inputs."""
OF_TEXTS = frozenset({"length"})
"""Knobs that count where an input is a text."""


def usual_batch_size(rows: int) -> int:
    """Return the batch size that suits so many training rows.

    Reference:
        Erickson et al.: TabArena: A Living Benchmark for Machine Learning on Tabular Data, arXiv 2506.16791; the
        automatic batch sizes of its TabM.
    """
    return next((size for limit, size in _BATCH_BY_ROWS if rows < limit), 512)


def training_space(rows: int) -> Space:
    """Return the loop's knobs with the batch sizes that are sensible for so many training rows."""
    usual = usual_batch_size(rows)
    largest = min(4 * usual, max(usual, rows // 2))
    sizes = [size for size in _BATCH_SIZES if usual // 2 <= size <= largest]
    full = ("full",) if rows <= _FULL_BATCH_ROWS else ()
    batch_size = Choice(*sizes, *full, default=usual, limits=_BATCH_LIMITS, doc=_BATCH_DOC)
    return TRAINING_SPACE.with_changes(batch_size=batch_size)
