"""cleanvision's checks of a folder, all that it makes by default: ``cleanvision_check.py DATA CORES``.

Prints its sets of near and of exact duplicates.
"""

import json
import sys

from cleanvision import Imagelab


def main() -> None:
    """Check, and print."""
    data, cores = sys.argv[1:]
    lab = Imagelab(data_path=data, verbose=False)
    lab.find_issues(n_jobs=int(cores), verbose=False)
    print(json.dumps([names for kind in ("near_duplicates", "exact_duplicates") for names in lab.info[kind]["sets"]]))


if __name__ == "__main__":
    main()
