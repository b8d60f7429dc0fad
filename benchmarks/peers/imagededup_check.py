"""imagededup's near duplicates in a folder, by perceptual hashes: ``imagededup_check.py DATA CORES``.

As the quick start of imagededup's documentation does it: ``PHash`` with its own limit, a Hamming distance of 10 of 64
bits, and all cores, which are its defaults. Its other way is a network that needs PyTorch, which its packages import
for both; it is not installed here, and the hashes are imported past it. Prints pairs of photos.
"""

import json
import sys
from pathlib import Path
from types import ModuleType

import imagededup

for name in ("methods", "utils"):  # packages whose __init__ imports the network
    package = sys.modules[f"imagededup.{name}"] = ModuleType(f"imagededup.{name}")
    package.__path__ = [str(Path(imagededup.__file__).with_name(name))]
from imagededup.methods.hashing import PHash  # noqa: E402


def main() -> None:
    """Compare, and print."""
    data, cores = sys.argv[1:]
    workers = {"num_enc_workers": int(cores), "num_dist_workers": int(cores)}
    found = PHash(verbose=False).find_duplicates(image_dir=data, recursive=True, **workers)
    print(json.dumps([(name, other) for name, others in found.items() for other in others if name < other]))


if __name__ == "__main__":
    main()
