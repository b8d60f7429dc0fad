import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.learning.training_step import in_bfloat16, is_bfloat16_fast
from trainer.networks.architectures import cnn

IMAGE = tf.constant(np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32))


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    return cnn(3)


def logits_of(network):
    return keras.Model(network.inputs, network.get_layer("logits").output)(IMAGE, training=False)


@pytest.mark.parametrize(
    ("text", "fast"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16 sse\n", True),
        ("processor\t: 0\nflags : amx_bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("model name : avx512_bf16\n", False),
        ("", False),
    ],
)
def test_a_processor_says_in_its_flags_whether_it_computes_with_bfloat16(tmp_path, text, fast):
    (tmp_path / "cpuinfo").write_text(text)
    assert is_bfloat16_fast(tmp_path / "cpuinfo") is fast


def test_where_the_system_says_nothing_of_its_processor_it_is_not_fast(tmp_path):
    assert not is_bfloat16_fast(tmp_path / "none")


def test_within_the_block_the_logits_are_rounded_a_little(network):
    exact = logits_of(network)
    with in_bfloat16(network):
        rounded = logits_of(network)
    assert rounded.dtype == exact.dtype == tf.float32
    assert not np.array_equal(rounded, exact)
    assert np.abs(rounded - exact).max() < 0.05 * np.abs(exact).max()
    assert np.array_equal(logits_of(network), exact)


def test_weights_stay_in_float32_and_so_does_what_is_saved(network, tmp_path):
    with in_bfloat16(network):
        logits_of(network)
        assert {weight.dtype for weight in network.weights} == {"float32"}
    network.save(tmp_path / "network.keras")
    kept = keras.saving.load_model(tmp_path / "network.keras")
    assert {layer.dtype_policy.name for layer in kept.layers} == {"float32"}


def test_an_error_within_the_block_leaves_the_network_as_it_was(network):
    with pytest.raises(ZeroDivisionError), in_bfloat16(network):
        raise ZeroDivisionError
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}
