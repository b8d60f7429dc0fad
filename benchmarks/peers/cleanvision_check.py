"""cleanvision's default checks of a folder: ``cleanvision_check.py DATA CORES``.

Follows the quick start in cleanvision's README, with one process for each core (its default). Prints the pairs of near
duplicates (the same 64 bits of a perceptual hash) and of exact duplicates.
"""

import json
import sys
from itertools import combinations

from cleanvision import Imagelab


def main() -> None:
    """Check, and print."""
    data, cores = sys.argv[1:]
    lab = Imagelab(data_path=data, verbose=False)
    lab.find_issues(n_jobs=int(cores), verbose=False)
    sets = [names for kind in ("near_duplicates", "exact_duplicates") for names in lab.info[kind]["sets"]]
    print(json.dumps([pair for names in sets for pair in combinations(names, 2)]))


if __name__ == "__main__":
    main()
