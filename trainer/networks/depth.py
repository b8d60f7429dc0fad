"""A network cut by depth: its body and its head, and groups of its variables from early to late."""

from itertools import pairwise

import keras

__all__ = ["depth_groups", "features_model", "freeze_norms"]


def features_model(network: keras.Model) -> keras.Model:
    """Pixels ``(batch, S, S, 3)`` → features ``(batch, D)``; shares its layers with the network."""
    return keras.Model(network.inputs[0], network.get_layer("features").output, name="features_model")


def freeze_norms(network: keras.Model) -> None:
    """Keep every batch norm as it is: its statistics, scale and shift, in training too.

    To be called before the network is compiled. Small batches would spoil statistics that were learned on millions of
    photos. Layer norms have no statistics, and learn.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def depth_groups(network: keras.Model, parts: int = 3) -> list[list[keras.Variable]]:
    """The trainable variables from early to late, for rates that rise with depth.

    Args:
        network: any of ours.
        parts: how many groups; each has as many layers with trainable variables as the others, give or take one.

    Returns:
        ``parts`` groups, which share no variable and leave none out; the head is in the last. Early groups are empty
        where fewer layers than groups can be trained.
    """
    head = network.get_layer("logits")
    learning = [layer for layer in network.layers if layer.trainable_variables and layer is not head]
    cuts = [len(learning) * part // parts for part in range(parts + 1)]
    groups = [
        [variable for layer in learning[start:end] for variable in layer.trainable_variables]
        for start, end in pairwise(cuts)
    ]
    groups[-1].extend(head.trainable_variables)
    return groups
