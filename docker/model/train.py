#!/usr/bin/python3
"""Trains the iris classifier that the demo and the end-to-end tests score: train.py DIRECTORY.

The measurements ship with scikit-learn, so nothing is downloaded, and the seed is fixed, so every run gives the same
model. Writes DIRECTORY/iris.joblib and prints the accuracy on the rows held back.
"""
import pathlib
import sys

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split


def main(directory: pathlib.Path) -> None:
    iris = load_iris()
    kept, held_back, kept_kinds, held_back_kinds = train_test_split(
        iris.data, iris.target_names[iris.target], test_size=0.3, stratify=iris.target, random_state=0)
    model = LogisticRegression(max_iter=500).fit(kept, kept_kinds)

    directory.mkdir(parents=True, exist_ok=True)
    whole = directory / "iris.joblib"
    partial = directory / "iris.joblib.partial"  # a server that starts meanwhile sees no half-written file
    joblib.dump(model, partial)
    partial.rename(whole)
    print(f"trained {whole}: {model.score(held_back, held_back_kinds):.1%} of {len(held_back)} unseen flowers right")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
