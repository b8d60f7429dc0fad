"""PyTorch with a ``DataLoader``: ``torch_predict.py MODEL LABELS PHOTOS OUTPUT SIZE CORES``.

Follows PyTorch's pages "Datasets & DataLoaders" and "Performance Tuning Guide": one worker process for each core
decodes and resizes photos with Pillow. JPEGs are decoded no larger than the network needs (draft mode). The network
runs in inference mode on batches of 64. torchvision is not used: its build on PyPI needs a PyTorch for NVIDIA's GPUs.
The Keras network runs on Keras's PyTorch backend. After tracing and freezing, or compiling, it took at least a seventh
more processor time. ``torch.txt`` names no build: if an index has torch only for NVIDIA's GPUs, add their libraries.
"""

import csv
import json
import os
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

BATCH = 64


class Photos(Dataset):
    """Pixels, uint8 (size, size, 3)."""

    def __init__(self, names: list[str], size: int) -> None:
        self._names, self._size = names, size

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> torch.Tensor:
        with Image.open(self._names[number]) as image:
            image.draft("RGB", (self._size, self._size))
            small = image.convert("RGB").resize((self._size, self._size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(small).copy())


def main() -> None:
    """Label all photos of a folder."""
    model, labels_file, photos, output, size, cores = sys.argv[1:]
    labels = Path(labels_file).read_text().splitlines()
    began = time.monotonic()
    names = sorted(str(path) for path in Path(photos).rglob("*.jpg"))
    loader = DataLoader(Photos(names, int(size)), batch_size=BATCH, num_workers=int(cores))
    network = keras.saving.load_model(model, compile=False).eval()
    found: list[int] = []
    with torch.inference_mode():
        for pixels in loader:
            found += network(pixels.float()).argmax(dim=1).tolist()
    with Path(output).open("w", newline="") as file:
        rows = zip(names, found, strict=True)
        csv.writer(file).writerows((Path(name).relative_to(photos), labels[number]) for name, number in rows)
    print(json.dumps({"labelling_s": time.monotonic() - began}))


if __name__ == "__main__":
    main()
