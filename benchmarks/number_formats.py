"""Training steps in float32 and in bfloat16: what ``hangtag train`` times before it chooses, again and again.

    python benchmarks/number_formats.py [--arch cnn simple] [--size 96 128] [--rounds 5]

Each round times four steps of each number format in turns, at the recipe's batch, on photos of noise; the first steps
of all rounds, which compile, do not count. A format that a busy machine slows is slowed in both.
"""

import argparse
from statistics import median

from rich.console import Console
from rich.table import Table

from exporter.options import load_tensorflow
from trainer.request import Arch


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", type=Arch, default=[Arch.CNN], metavar="ARCH")
    parser.add_argument("--size", nargs="+", type=int, default=[128])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    load_tensorflow()
    from trainer.learning.recipe import recipe_for
    from trainer.learning.training import depth_groups
    from trainer.learning.training_step import has_bfloat16, measure_pace
    from trainer.networks.build import build_network
    from trainer.request import NamedWeights

    title = f"Photos a second, median (lowest to highest); the processor has {'' if has_bfloat16() else 'no '}bfloat16"
    table = Table("architecture", "size", "batch", "float32", "bfloat16", "quicker in rounds", title=title)
    for arch in asked.arch:
        recipe = recipe_for(arch, pretrained=False)
        for size in asked.size:
            network = build_network(arch, size, 10, weights=NamedWeights.NONE, alpha=None)
            groups = depth_groups(network, len(recipe.depth_rates))
            rounds = [
                measure_pace(network, recipe, groups, size, recipe.batch).photos_per_s for _ in range(asked.rounds)
            ]
            quicker = sum(found["bfloat16"] > found["float32"] for found in rounds)
            cells = (_spread([found[name] for found in rounds]) for name in ("float32", "bfloat16"))
            table.add_row(arch, str(size), str(recipe.batch), *cells, f"bfloat16 in {quicker} of {len(rounds)}")
    Console().print(table)


def _spread(found: list[float]) -> str:
    return f"{median(found):.0f} ({min(found):.0f} to {max(found):.0f})"


if __name__ == "__main__":
    main()
