"""Train a classifier as in Keras's guide "Transfer learning & fine-tuning": ``keras_training.py DATA WEIGHTS``.

Photos have 150 px, with flip and rotation. A new head trains for 20 epochs on frozen features, then the whole network
for 10 epochs at a learning rate of 1e-5. MobileNet 0.25 replaces Xception, so that Keras and Hangtag start from the
same weights. DATA has ``train``, ``validation`` and ``test``; the test photos are used once, at the end.
"""

import json
import os
import sys
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf
from keras import layers


def main() -> None:
    """Train, and print how many test photos the network gets right."""
    data, weights = sys.argv[1:]
    keras.utils.set_random_seed(0)
    size, batch = 150, 64
    train, validation, test = (
        keras.utils.image_dataset_from_directory(
            f"{data}/{split}", image_size=(size, size), batch_size=batch, shuffle=split == "train", verbose=False
        )
        for split in ("train", "validation", "test")
    )
    kept, seen = train.cache().shuffle(1000).prefetch(tf.data.AUTOTUNE), validation.cache().prefetch(tf.data.AUTOTUNE)
    network = _transfer(size, len(train.class_names), kept, seen, weights)
    truths = [label for _, labels in test for label in labels.numpy()]
    found = network.predict(test, verbose=0).argmax(axis=1)
    print(json.dumps({"right": int((found == truths).sum()), "of": len(truths)}))


def _transfer(size: int, classes: int, train: Any, validation: Any, weights: str) -> keras.Model:  # noqa: ANN401
    base = keras.applications.MobileNet((size, size, 3), alpha=0.25, include_top=False, weights=None)
    base.load_weights(weights)
    base.trainable = False
    photos = keras.Input((size, size, 3))
    pixels = layers.Rescaling(1 / 127.5, offset=-1)(layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(photos)))
    features = layers.GlobalAveragePooling2D()(base(pixels, training=False))
    network = keras.Model(photos, layers.Dense(classes)(layers.Dropout(0.2)(features)))
    _fit(network, keras.optimizers.Adam(), train, validation, epochs=20)
    base.trainable = True
    _fit(network, keras.optimizers.Adam(1e-5), train, validation, epochs=10)
    return network


def _fit(network: keras.Model, optimizer: Any, train: Any, validation: Any, epochs: int) -> None:  # noqa: ANN401
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(optimizer, loss, metrics=["accuracy"])
    network.fit(train, validation_data=validation, epochs=epochs, verbose=2)


if __name__ == "__main__":
    main()
