"""imagededup's near duplicates in a folder, by perceptual hashes: ``imagededup_check.py DATA CORES``.

Follows the quick start of imagededup's documentation: ``PHash`` with its defaults, a Hamming distance of 10 of 64 bits
and all cores. imagededup's packages import a network that needs PyTorch. PyTorch is not installed here, so only the
modules of hashes are imported. Prints pairs of photos.
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
