"""`python -m benchmarks`: every comparison, a line each."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")


def main() -> None:
    from benchmarks import crf, extraction, staleness
    from benchmarks.timing import HEADER

    print(HEADER)
    for part in (crf, extraction, staleness):
        for comparison in part.run():
            print(comparison, flush=True)


if __name__ == "__main__":
    main()
