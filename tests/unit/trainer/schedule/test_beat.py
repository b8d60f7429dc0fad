from pathlib import Path

import pytest

from models.errors import InputError
from trainer.schedule.scheduler import WatchedConfig, check_models_differ


def test_two_configs_of_one_model_are_refused(config: Path) -> None:
    other = config.with_name("shop2.toml")
    other.write_text(config.read_text().replace("1h", "2h"))
    with pytest.raises(InputError, match=r"shop\.toml and .*shop2\.toml are both of shop in"):
        check_models_differ([WatchedConfig(config), WatchedConfig(other)])
    other.write_text(other.read_text().replace('"shop"', '"shoes"'))
    check_models_differ([WatchedConfig(config), WatchedConfig(other)])
