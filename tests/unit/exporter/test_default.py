"""The choice of a bundle's default variant, from made-up figures."""

from dataclasses import replace

import pytest

from exporter.options import ExportOptions
from models.errors import InputError
from models.manifest import Quantization
from tests.unit.exporter.edge.materials import metadata_of

OPTIONS = ExportOptions(int8=True, max_drop=0.5)
CPU = "AMD EPYC"


@pytest.fixture(scope="module")
def choose():
    from exporter.options import load_tensorflow

    load_tensorflow()  # which the records import
    from exporter.proof import choose_default

    return lambda float32, int8=None, options=OPTIONS: choose_default(float32, int8, options, CPU)


def promising(name, precision=0.95, coverage=0.6):
    metadata = metadata_of(2, variant=name)
    target = metadata.targets[0].model_copy(update={"precision": precision or 0.9, "coverage": coverage})
    return metadata.model_copy(update={"precision": precision, "targets": (target,)})


@pytest.fixture(scope="module")
def made(choose):
    from exporter.variant import MadeVariant

    return lambda **fields: MadeVariant(promising("float32", **fields), b"", 0.9)


@pytest.fixture(scope="module")
def cost():
    from exporter.cost import Drop

    return Drop(372, 0.87, 0.87, 0.0, (-0.81, 0.81), 628, 0.99, 0.05)


@pytest.fixture(scope="module")
def lighter(cost):
    from exporter.variant import Int8Facts, MadeVariant

    def make(precision=0.95, coverage=0.6, **changes):
        facts = Int8Facts(cost, 2.8, 1.42, None, Quantization(float_layers=(), photos=256))
        return MadeVariant(promising("int8", precision, coverage), b"", 0.9, replace(facts, **changes))

    return make


def test_the_quicker_variant_is_the_default_and_says_why(choose, made, lighter):
    default = choose(made(), lighter())
    assert default.name == "int8"
    for figure in ("1.42 times", CPU, "0.05 points", "372 validation photos", "-0.81 to 0.81", "0.95", "60.0%"):
        assert figure in default.because


NO_DEFAULT = [
    ({"whole_gain": 1.11}, "1.110"),
    ({"whole_gain": 1.1199}, "1.119"),
    ({"gain": 1.11, "whole_gain": 1.13}, "1.110"),
    ({"whole_gain": None, "gain": 1.11}, "1.110"),
    ({"precision": 0.9}, "0.90"),
    ({"precision": None}, "none"),
    ({"coverage": 0.57}, "57.0%"),
]


@pytest.mark.parametrize(("fields", "named"), NO_DEFAULT)
def test_a_variant_that_is_no_quicker_or_not_as_good_is_no_default(choose, made, lighter, fields, named):
    default = choose(made(), lighter(**fields))
    assert default.name == "float32"
    assert named in default.because
    assert CPU in default.because


def test_a_loss_beyond_chance_that_may_be_more_than_allowed_is_no_default(choose, made, lighter, cost):
    sure = lighter(cost=replace(cost, points=1.76, points_95=(0.25, 3.25)))
    default = choose(made(), sure)
    assert default.name == "float32"
    assert "1.76" in default.because
    assert choose(made(), sure, options=replace(OPTIONS, max_drop=4.0)).name == "int8"


@pytest.mark.parametrize("asked", ["float32", "int8"])
def test_what_is_asked_for_is_the_default_whatever_was_measured(choose, made, lighter, asked):
    for fields in ({}, {"whole_gain": 0.9}):
        default = choose(made(), lighter(**fields), options=replace(OPTIONS, default_variant=asked))
        assert (default.name, default.because) == (asked, "chosen with --default-variant")


def test_a_default_that_does_not_ship_is_refused(choose, made):
    with pytest.raises(InputError, match="int8"):
        choose(made(), options=replace(OPTIONS, default_variant="int8"))


def test_a_gain_is_called_one_and_few_photos_measure_nothing(choose, made, lighter, cost):
    gained = replace(cost, points=-0.27, points_95=(-0.9, 0.4))
    assert "0.05 points of accuracy (0.27 gained on 372 " in choose(made(), lighter(cost=gained)).because
    few = replace(cost, photos=12, points=-8.33, points_95=(-27.0, 10.0))
    assert "; 12 validation photos are too few to measure it" in choose(made(), lighter(cost=few)).because
