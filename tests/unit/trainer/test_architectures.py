import keras
import numpy as np
import pytest

from trainer.arch import Arch
from trainer.architectures import build_network, compile_network

ARCHS = list(Arch)


def noise(count, size):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.float32)


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def test_there_are_two_architectures():
    assert [arch.value for arch in Arch] == ["cnn", "simple"]


@pytest.mark.parametrize("size", [16, 32, 100, 128])
@pytest.mark.parametrize("arch", Arch)
def test_every_size_gives_a_probability_for_each_class(arch, size):
    output = np.asarray(build_network(arch, size, 5)(noise(2, size)))
    assert (output.shape, output.dtype) == ((2, 5), np.float32)
    assert output.min() >= 0
    assert output.sum(axis=1) == pytest.approx(np.ones(2), abs=1e-5)


@pytest.mark.parametrize("arch", Arch)
def test_two_classes_give_the_probability_of_the_second(arch):
    network = build_network(arch, 32, 2)
    output = np.asarray(network(noise(4, 32)))
    assert output.shape == (4, 1)
    assert ((output > 0) & (output < 1)).all()
    assert network.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.parametrize("arch", Arch)
@pytest.mark.parametrize("classes", [2, 3])
def test_the_last_two_layers_have_the_names_that_the_exporter_looks_for(arch, classes):
    network = build_network(arch, 32, classes)
    assert [layer.name for layer in network.layers[-2:]] == ["logits", "probabilities"]
    assert network.inputs[0].name == "image"


@pytest.mark.parametrize("arch", Arch)
def test_probabilities_are_the_softmax_of_the_logits(arch):
    network = build_network(arch, 32, 4)
    both = keras.Model(network.inputs[0], [network.get_layer("logits").output, *network.outputs])
    logits, probabilities = (np.asarray(output) for output in both(noise(3, 32)))
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert probabilities == pytest.approx(expected, abs=1e-5)


def test_simple_is_the_classic_recipe():
    network = build_network(Arch.SIMPLE, 64, 3)
    assert isinstance(network, keras.Sequential)
    assert kinds(network) == [
        "Rescaling",
        *["Conv2D", "MaxPooling2D"] * 3,
        "Flatten",
        "Dense",
        "Dense",
        "Activation",
    ]
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [(layer.filters, layer.kernel_size) for layer in convolutions] == [(32, (3, 3)), (64, (3, 3)), (128, (3, 3))]
    assert {layer.activation for layer in convolutions} == {keras.activations.relu}
    assert {layer.pool_size for layer in network.layers if isinstance(layer, keras.layers.MaxPooling2D)} == {(2, 2)}
    assert network.layers[-1].activation is keras.activations.softmax


def test_simple_learns_with_adam_as_it_comes():
    network = build_network(Arch.SIMPLE, 32, 3)
    compile_network(network, Arch.SIMPLE, 3, 100)
    assert type(network.optimizer) is keras.optimizers.Adam
    assert float(np.asarray(network.optimizer.learning_rate)) == pytest.approx(1e-3)


def test_cnn_has_five_stages_and_no_flattening():
    network = build_network(Arch.CNN, 64, 3)
    assert kinds(network).count("Conv2D") == kinds(network).count("BatchNormalization") == 5
    assert "GlobalAveragePooling2D" in kinds(network)
    assert "Flatten" not in kinds(network)


def test_cnn_does_not_grow_with_the_image():
    assert build_network(Arch.CNN, 32, 3).count_params() == build_network(Arch.CNN, 128, 3).count_params()


def test_cnn_warms_up_and_then_decays_to_nothing():
    network = build_network(Arch.CNN, 32, 3)
    compile_network(network, Arch.CNN, 3, 100)
    assert isinstance(network.optimizer, keras.optimizers.AdamW)
    schedule = network.optimizer.get_config()["learning_rate"]["config"]
    rate = keras.optimizers.schedules.CosineDecay.from_config(schedule)
    rates = [float(np.asarray(rate(step))) for step in range(101)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[10] == pytest.approx(2e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("arch", Arch)
@pytest.mark.parametrize("classes", [2, 3])
def test_a_training_of_a_single_step_is_possible(arch, classes):
    network = build_network(arch, 32, classes)
    compile_network(network, arch, classes, 1)
    targets = np.ones((2, 1), np.float32) if classes == 2 else np.eye(3, dtype=np.float32)[:2]
    figures = network.train_on_batch(noise(2, 32), targets, return_dict=True)
    assert set(figures) == {"loss", "accuracy"}
    assert np.isfinite(figures["loss"])


@pytest.mark.parametrize("classes", [2, 3])
def test_only_cnn_smooths_labels(classes):
    truth = np.array([[1.0]]) if classes == 2 else np.array([[0.0, 1.0, 0.0]])
    losses = {}
    for arch in Arch:
        network = build_network(arch, 32, classes)
        compile_network(network, arch, classes, 100)
        losses[arch] = float(np.asarray(network.loss(truth, truth)))
    assert losses[Arch.SIMPLE] == pytest.approx(0, abs=1e-5)
    assert losses[Arch.CNN] > 0.1


def shrunk_by_decay(network):
    """Names of the variables that a step without any gradient makes smaller."""
    variables = network.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape, np.float32))
    network.optimizer.apply([np.zeros(variable.shape, np.float32) for variable in variables], variables)
    return {variable.name for variable in variables if np.asarray(variable).min() < 1}


@pytest.fixture
def cnn():
    network = build_network(Arch.CNN, 32, 3)
    compile_network(network, Arch.CNN, 3, 10)
    return network


def test_weight_decay_spares_biases_and_norms(cnn):
    assert shrunk_by_decay(cnn) == {"kernel"}


def test_weight_decay_spares_biases_and_norms_after_a_resume_too(cnn, tmp_path):
    cnn.optimizer.build(cnn.trainable_variables)
    cnn.save(tmp_path / "last.keras")
    assert shrunk_by_decay(keras.saving.load_model(tmp_path / "last.keras")) == {"kernel"}


@pytest.mark.parametrize("arch", Arch)
def test_the_same_seed_gives_the_same_weights(arch):
    networks = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        networks.append(build_network(arch, 32, 3))
    for one, other in zip(*(network.get_weights() for network in networks), strict=True):
        assert np.array_equal(one, other)
