"""Make slayerloss/data/digits.npz from `optdigits.tes` of the UCI repository, or from scikit-learn's copy of it.

usage: make_npz.py optdigits.tes|digits.csv.gz OUT.npz

The input has one line for each image: 64 values from 0 to 16 and the class. A fifth of each class, drawn once, is
the test split.
"""

from __future__ import annotations

import sys

import numpy as np


def main(source: str, target: str) -> None:
    table = np.loadtxt(source, delimiter=",").astype(np.uint8)
    labels = table[:, 64]
    rng = np.random.default_rng(1998)
    test = np.zeros(len(labels), bool)
    for label in range(10):
        members = np.flatnonzero(labels == label)
        test[rng.permutation(members)[: len(members) // 5]] = True
    np.savez_compressed(target, images=table[:, :64].reshape(-1, 8, 8), labels=labels, test=test)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
