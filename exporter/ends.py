"""The layers of a network that everything it says is computed from."""

import keras

__all__ = ["network_ends"]


def network_ends(network: keras.Model) -> keras.Model:
    """A network's features and logits, with the network's own weights.

    Args:
        network: ends in layers named ``features``, [dropout], ``logits`` and ``probabilities``. One without a layer
            ``features`` has them before ``logits``: at inference a dropout passes on what it gets.

    Returns:
        Takes what the network takes; gives features ``(batch, D)`` and logits ``(batch, units)``.
    """
    logits = network.get_layer("logits")
    named = any(layer.name == "features" for layer in network.layers)
    features = network.get_layer("features").output if named else logits.input
    return keras.Model(network.inputs[0], [features, logits.output])
