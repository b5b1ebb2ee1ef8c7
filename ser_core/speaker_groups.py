"""Speakers divided into groups, none of them in two: about as many clips, classes and genders in each as asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ser_core.clips import Manifest

_DRAWS, _MAX_DRAWN = 4_000, 8_000_000
"""Random assignments of speakers that are compared, fewer where draws times speakers would exceed the second number."""
_MOST_EXCHANGED = 1_000
"""Speakers up to whom every exchange of two is tried; among more, moving single ones leaves next to nothing to gain."""


def balanced_groups(manifest: Manifest, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Group of every row, 0 to count - 1, a speaker never in two; groups are as alike as moves and exchanges make them.

    A group's shares of all speakers, of all clips, of the clips of every class and of every gender should each be
    1 / count, and the sum of squares of their distances from that is made small: the largest speakers are placed
    first, each where it fits best (as in scikit-learn's StratifiedGroupKFold), then single speakers are moved and
    pairs exchanged for as long as that helps. No group stays empty.

    Args:
        rows: of the manifest, of at least `count` speakers.
        seed: of the order among speakers of one size.

    Returns:
        (rows,) int64.
    """
    names, who = np.unique(manifest.speakers[rows], return_inverse=True)
    shares = _shares(manifest, rows, who, len(names))
    groups = np.zeros(len(names), dtype=np.int64)
    sums = np.zeros((count, shares.shape[1]))
    order = np.random.default_rng(seed).permutation(len(names))
    sizes = (shares**2).sum(axis=1).round(9)
    for speaker in order[np.argsort(-sizes[order], kind="stable")]:
        group = int(np.argmin((sums @ shares[speaker]).round(9)))
        groups[speaker] = group
        sums[group] += shares[speaker]
    while _moved(groups, shares, count) or (len(names) <= _MOST_EXCHANGED and _exchanged(groups, shares, count)):
        pass
    return groups[who]


def _shares(manifest: Manifest, rows: np.ndarray, who: np.ndarray, speakers: int) -> np.ndarray:
    """What each speaker has of all speakers, clips, classes, genders, as multiples of the mean: (speakers, columns)."""
    _, gender = np.unique([manifest.clips[row].gender or "" for row in rows], return_inverse=True)
    counted = [np.zeros(len(rows), dtype=np.int64), manifest.labels[rows], gender]
    tables = [np.ones((speakers, 1))]
    for kinds in counted:
        table = np.zeros((speakers, kinds.max() + 1))
        np.add.at(table, (who, kinds), 1)
        tables.append(table[:, table.sum(axis=0) > 0])
    return np.concatenate([table / table.mean(axis=0) for table in tables], axis=1)


def _moved(groups: np.ndarray, shares: np.ndarray, count: int) -> bool:
    """Move the one speaker whose move to another group helps most; False when none does."""
    products, own, squares = _products(groups, shares, count)
    gains = (products - own[:, None] + squares[:, None]).round(9)  # half of what the sum of squares grows by
    gains[np.arange(len(groups)), groups] = 0
    speaker, group = np.unravel_index(np.argmin(gains), gains.shape)
    if not gains[speaker, group] < 0:
        return False
    groups[speaker] = group
    return True


def _exchanged(groups: np.ndarray, shares: np.ndarray, count: int) -> bool:
    """Exchange the two speakers whose exchange helps most; False when no pair does."""
    products, own, squares = _products(groups, shares, count)
    there = products[:, groups]  # (speakers, speakers): of one speaker with the group of another
    apart = squares[:, None] + squares - 2 * shares @ shares.T
    gains = (apart - own[:, None] - own + there + there.T).round(9)
    gains[groups[:, None] == groups] = 0
    one, other = np.unravel_index(np.argmin(gains), gains.shape)
    if not gains[one, other] < 0:
        return False
    groups[[one, other]] = groups[[other, one]]
    return True


def _products(groups: np.ndarray, shares: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every speaker's shares: products with the sums of all groups, with its own group's, and with themselves."""
    sums = np.zeros((count, shares.shape[1]))
    np.add.at(sums, groups, shares)
    products = shares @ sums.T  # (speakers, groups)
    return products, products[np.arange(len(groups)), groups], (shares**2).sum(axis=1)


def drawn_groups(
    manifest: Manifest, rows: np.ndarray, parts: Sequence[str] | range, shares: Sequence[float], seed: int
) -> np.ndarray:
    """Part of every row, a speaker never in two: the best of many random assignments.

    An assignment costs, summed over the parts, how far the part's share of clips is from the wanted one, plus the total
    variation distance of its class distribution, and of its gender distribution, from the whole's. A class that a part
    lacks costs more than all of these.

    Returns:
        (rows,) part names.
    """
    names, who = np.unique(manifest.speakers[rows], return_inverse=True)
    counts = np.zeros((len(names), len(manifest.classes)))
    np.add.at(counts, (who, manifest.labels[rows]), 1)
    kinds, gender = np.unique([manifest.clips[row].gender or "" for row in rows], return_inverse=True)
    genders = np.zeros((len(names), len(kinds)))
    np.add.at(genders, (who, gender), 1)
    drawn = _draw(len(names), shares, seed)
    costs = _costs(drawn, counts, genders, shares).round(9)  # so that of equals the first wins, whatever the rounding
    best = drawn[np.argmin(costs)]
    return np.array(parts, dtype=object)[best[who]]


def _draw(speakers: int, shares: Sequence[float], seed: int) -> np.ndarray:
    """Random part numbers (draws, speakers); no part is empty, and sizes lie around the wanted shares."""
    generator = np.random.default_rng(seed)
    draws = max(1, min(_DRAWS, _MAX_DRAWN // speakers))
    rank = generator.permuted(np.tile(np.arange(speakers), (draws, 1)), axis=1)
    drawn = np.zeros((draws, speakers), dtype=np.int64)
    start = np.zeros((draws, 1), dtype=np.int64)
    for part in range(1, len(shares)):
        wanted = round(shares[part] * speakers) + generator.integers(-1, 2, size=(draws, 1))
        room = speakers - start - (len(shares) - part)  # leaves a speaker for each part to come, and one for part 0
        size = np.clip(wanted, 1, room)
        drawn[(rank >= start) & (rank < start + size)] = part
        start = start + size
    return drawn


def _costs(drawn: np.ndarray, counts: np.ndarray, genders: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Costs (draws,) of part numbers (draws, speakers), for clip counts (speakers, classes) and (speakers, genders)."""
    costs = np.zeros(len(drawn))
    for part, share in enumerate(shares):
        members = (drawn == part).astype(np.float64)
        costs += np.abs(members @ counts.sum(axis=1) / counts.sum() - share)
        costs += 10 * ((members @ counts == 0) & (counts.sum(axis=0) > 0)).sum(axis=1)
        for table in (counts, genders):
            own, whole = members @ table, table.sum(axis=0)
            costs += 0.5 * np.abs(own / own.sum(axis=1, keepdims=True) - whole / whole.sum()).sum(axis=1)
    return costs
