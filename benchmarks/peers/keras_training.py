"""Train a classifier as in Keras's own guides: ``keras_training.py classic|transfer DATA [WEIGHTS]``.

``classic`` is TensorFlow's tutorial "Image classification" at 256 px: three blocks of convolution and pooling, a dense
layer of 128, a random flip, rotation and zoom, a dropout of 0.2, Adam, 15 epochs, photos kept decoded in memory.
``transfer`` is Keras's guide "Transfer learning & fine-tuning": photos of 150 px, flip and rotation, 20 epochs of a new
head on frozen features, then 10 of the whole network at a learning rate of 1e-5. MobileNet 0.25 replaces Xception, so
that it starts from the same weights as Hangtag. DATA has ``train``, ``validation`` and ``test``; the test photos are
used once, at the end.
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
    way, data, *weights = sys.argv[1:]
    keras.utils.set_random_seed(0)
    size, batch = (256, 32) if way == "classic" else (150, 64)
    train, validation, test = (
        keras.utils.image_dataset_from_directory(
            f"{data}/{split}", image_size=(size, size), batch_size=batch, shuffle=split == "train", verbose=False
        )
        for split in ("train", "validation", "test")
    )
    classes = len(train.class_names)
    kept, seen = train.cache().shuffle(1000).prefetch(tf.data.AUTOTUNE), validation.cache().prefetch(tf.data.AUTOTUNE)
    network = (
        _classic(size, classes, kept, seen) if way == "classic" else _transfer(size, classes, kept, seen, *weights)
    )
    truths = [label for _, labels in test for label in labels.numpy()]
    found = network.predict(test, verbose=0).argmax(axis=1)
    print(json.dumps({"right": int((found == truths).sum()), "of": len(truths)}))


def _classic(size: int, classes: int, train: Any, validation: Any) -> keras.Model:  # noqa: ANN401
    network = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.RandomFlip("horizontal"),
            layers.RandomRotation(0.1),
            layers.RandomZoom(0.1),
            layers.Rescaling(1 / 255),
            *(
                layer
                for filters in (16, 32, 64)
                for layer in (layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D())
            ),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(classes),
        ]
    )
    _fit(network, "adam", train, validation, epochs=15)
    return network


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
