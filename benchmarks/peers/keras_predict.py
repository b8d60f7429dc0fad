"""Keras ``predict`` over ``image_dataset_from_directory``: ``keras_predict.py MODEL LABELS PHOTOS OUTPUT SIZE CORES``.

Follows Keras's page "Image data loading" and TensorFlow's guide "Better performance with the tf.data API", with batches
of 64 and prefetching. TensorFlow uses all cores for decoding and for the network. XLA, which Keras does not use here by
default, took a third more processor time. Photos are decoded at full size: ``image_dataset_from_directory`` cannot
decode to a smaller size.
"""

import csv
import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf

BATCH = 64


def main() -> None:
    """Label all photos of a folder of class folders."""
    model, labels_file, photos, output, size, _ = sys.argv[1:]
    labels = Path(labels_file).read_text().splitlines()
    began = time.monotonic()
    network = keras.saving.load_model(model, compile=False)
    dataset = keras.utils.image_dataset_from_directory(
        photos, labels=None, image_size=(int(size), int(size)), batch_size=BATCH, shuffle=False, verbose=False
    )
    found = network.predict(dataset.prefetch(tf.data.AUTOTUNE), verbose=0).argmax(axis=1)
    with Path(output).open("w", newline="") as file:
        rows = zip(dataset.file_paths, found, strict=True)
        csv.writer(file).writerows((Path(name).relative_to(photos), labels[number]) for name, number in rows)
    print(json.dumps({"labelling_s": time.monotonic() - began}))


if __name__ == "__main__":
    main()
