from trainer.request import Arch


def test_the_architectures():
    assert [arch.value for arch in Arch] == [
        "cnn",
        "simple",
        "mobilenet",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "efficientnet_v2_b0",
        "resnet50_v2",
        "vgg16",
        "convnext_tiny",
    ]


def test_all_but_our_own_have_imagenet_weights():
    assert [arch for arch in Arch if not arch.is_transfer] == [Arch.CNN, Arch.SIMPLE]


def test_mobilenets_have_a_width():
    assert [arch.alphas for arch in Arch if arch.alphas] == [
        (0.25, 0.5, 0.75, 1.0),
        (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        (0.75, 1.0),
        (0.75, 1.0),
    ]
    assert all(arch.value.startswith("mobilenet") == bool(arch.alphas) for arch in Arch)
