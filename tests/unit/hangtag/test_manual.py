"""The manual is complete: its reference has each command, column and setting, and its commands are valid."""

import ast
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

import hangtag
from hangtag.cli import ROOMS
from models.classifier import Classifier
from models.decision import Prediction, ReviewReason
from models.errors import ExitCode, ImageFault
from tests.manual import APP, PAGES, README, ROOT, find_command, page_commands, parse, snippets
from trainer.retrain.config import RetrainConfig
from worker.job.parts import RESULT_SCHEMA
from worker.queue.settings import QueueSettings

DOCS = ROOT / "docs"


def _text(name: str, heading: str = "") -> str:
    """A page, or the section under one of its headings."""
    text = (DOCS / name).read_text()
    if not heading:
        return text
    start = text.index(f"{heading}\n")
    after = re.search(rf"^#{{1,{heading.index(' ')}}} ", text[start + len(heading) :], re.MULTILINE)
    return text[start : start + len(heading) + after.start()] if after else text[start:]


def _in_code(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def _script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_commands_is_what_they_say_of_themselves() -> None:
    script = _script(DOCS / "commands.py")
    assert (DOCS / "reference/commands.md").read_text() == script.page(), "write it anew: make docs"


def test_the_reference_has_each_option_of_each_command() -> None:
    for name, command in _script(DOCS / "commands.py").walk(APP):
        told = _in_code(_text("reference/commands.md", f"## {name}"))
        shown = [param for param in command.params if not getattr(param, "hidden", False) and param.name != "help"]
        options = [option for param in shown for option in param.opts if option.startswith("-")]
        assert [option for option in options if not any(option in code.split(", ") for code in told)] == [], name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_command_line_can_be_typed(page: Path) -> None:
    for words in page_commands(page):
        parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_an_option_that_a_sentence_names_with_its_command_is_one_of_it(page: Path) -> None:
    for code in re.findall(r"`(hangtag [a-z][^`\n]+)`", page.read_text()):
        command, others = find_command(code.split()[1:])
        options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
        named = {word for word in others if word.startswith("--")}
        assert named <= options | {"--help"}, code


def test_command_lines_are_found() -> None:
    assert sum(len(page_commands(page)) for page in PAGES) > 150
    with pytest.raises(Exception, match="No such option"):
        parse(["label", "a.csv", "--model", "b", "--out", "c.csv", "--presicion", "0.9"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_and_programs_are_valid(page: Path) -> None:
    for snippet in snippets(page):
        if snippet.language == "toml":
            needed = {"name": "shop", "data": "photos", "folder": "retraining"}
            RetrainConfig.model_validate(needed | tomllib.loads(snippet.text))
        if snippet.language == "python":
            compile(snippet.text, page.name, "exec")


def test_each_column_of_a_result_is_described() -> None:
    told = _in_code(_text("formats.md", "## A result"))
    assert set(RESULT_SCHEMA.names) <= told
    assert {fault.value for fault in ImageFault} <= told
    assert {reason.value for reason in ReviewReason} <= told


def test_each_column_of_the_lists_beside_it_is_described() -> None:
    from worker.job.parts import REVIEW_FIRST, REVIEW_LAST

    assert set(REVIEW_FIRST + REVIEW_LAST) <= _in_code(_text("formats.md", "### `review.csv`"))


def _names_in_classes(source: Path) -> Iterator[str]:
    """Fields of records, and the values of enums."""
    for node in ast.walk(ast.parse(source.read_text())):
        for line in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(line, ast.AnnAssign):
                yield ast.unparse(line.target)
            elif isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant):
                yield str(line.value.value)


def test_what_programs_read_and_people_type_is_spelled_labeled() -> None:
    """Sentences say ``labelled``; options, columns, keys, statuses and files never do."""
    sources = [path for room in (*ROOMS, "pages", "hangtag") for path in (ROOT / room).rglob("*.py")]
    named = {name for source in sources for name in _names_in_classes(source)}
    params = [param for _, command in _script(DOCS / "commands.py").walk(APP) for param in command.params]
    typed = {word for param in params for word in param.opts}
    told = {code for page in PAGES for code in _in_code(page.read_text()) if re.fullmatch(r"(?!test_)[\w.-]+", code)}
    assert "labeled" in named & told
    assert {word for word in named | typed | told | set(hangtag.__all__) if "labelled" in word.lower()} == set()


def test_each_exit_status_is_described() -> None:
    rows = re.findall(r"^\| (\d+) \|", _text("formats.md", "## Exit statuses"), re.MULTILINE)
    assert {int(status) for status in rows} == {status.value for status in ExitCode}


def _settings(model: type[BaseModel], table: str = "") -> list[tuple[str, str]]:
    """Each key with the name of its table, which is empty at the top."""
    found = []
    for key, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        found += _settings(inner, key) if inner else [(table, key)]
    return found


def test_each_setting_of_a_retraining_is_described() -> None:
    rows: dict[str, set[str]] = {}
    table = ""
    for line in _text("reference/toml.md").splitlines():
        if line.startswith("|"):
            first = line.split("|")[1]
            codes = re.findall(r"`([^`]+)`", first)
            named = [code.strip("[]") for code in codes if code.startswith("[")]
            table = named[0] if named else table
            rows.setdefault(table, set()).update(codes)
        else:
            table = ""
    missing = [(table, key) for table, key in _settings(RetrainConfig) if key not in rows.get(table, set())]
    assert missing == []


def test_each_environment_variable_is_described() -> None:
    own = [f"HANGTAG_{name.upper()}" for name in QueueSettings.model_fields]
    asked = [param.envvar for _, command in _script(DOCS / "commands.py").walk(APP) for param in command.params]
    told = _in_code(_text("reference/environment.md"))
    assert {*own, "HANGTAG_WEIGHTS", *(name for name in asked if name)} - told == set()


def test_the_python_reference_has_every_name() -> None:
    told = " ".join(_in_code(_text("reference/python.md")))
    members = [name for kind in (Classifier, Prediction) for name in dir(kind) if not name.startswith("_")]
    words = set(re.findall(r"\w+", told))
    assert {*hangtag.__all__, *members, *Prediction.__dataclass_fields__} - words == set()


def test_the_readmes_speeds_are_those_of_the_benchmarks() -> None:
    told = re.search(r"label (\d+) photos a second(.*?)\n- ", README.read_text(), re.DOTALL)
    measured = [_text("benchmarks.md", f"## {name}") for name in ("Bulk labelling", "Programs with float32")]
    speed = re.search(r"^\| hangtag label, int8 \| ([\d,]+) ", measured[0], re.MULTILINE)
    assert told
    assert speed
    assert told[1] == speed[1].replace(",", "")
    rows = [row for section in measured for row in _ratios_of_int8(section)]
    others = ("Pillow + OpenVINO", "Pillow + ONNX Runtime", "Keras predict", "Ray Data")
    ratios = [next(ratio for name, ratio in rows if name.startswith(other)) for other in others]
    assert re.findall(r"([\d.]+) times", told[2]) == [f"{float(ratio.split()[0]):.1f}" for ratio in ratios]


def _ratios_of_int8(section: str) -> list[tuple[str, str]]:
    """Other programs, and how many times as fast ``hangtag label`` with int8 is."""
    head, *lines = section.partition("| times as fast as ")[2].splitlines()
    column = 1 + head.strip("| ").split(" | ").index("hangtag label, int8")
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [(row[0], row[column]) for row in rows[1:]]


def test_the_readmes_accuracies_are_those_that_were_measured() -> None:
    told = re.search(
        r"cores, ([\d.]+)% of 372.*?minutes, ([\d.]+) to ([\d.]+)%.*?reaches ([\d.]+)%", README.read_text(), re.DOTALL
    )
    lite = re.findall(
        r"^\| `efficientnet_lite0`, \d+ px, .*?\) \| (.*?) \|", _text("measurements.md", "## Training"), re.MULTILINE
    )
    keras = re.findall(r"^\| Keras, transfer guide.* \| (0\.\d+) ", _text("benchmarks.md", "## Training"), re.MULTILINE)
    quick, tuned = (re.findall(r"0\.\d+", cell) for cell in lite)
    assert told
    assert [f"{float(one) / 100:.3f}" for one in told.groups()] == [quick[0], min(tuned), max(tuned), *keras]


def test_the_citation_names_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])


def _pages(entries: list[object]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        assert isinstance(entry, dict)
        (inside,) = entry.values()
        found += _pages(inside) if isinstance(inside, list) else [inside]
    return found


def test_each_page_is_in_the_navigation_once() -> None:
    with (ROOT / "zensical.toml").open("rb") as file:
        listed = _pages(tomllib.load(file)["project"]["nav"])
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_loads_nothing_from_elsewhere(page: Path) -> None:
    assert re.findall(r"!\[[^\]]*\]\(https?:|<(?:img|script|link)[^>]*https?:", page.read_text()) == []
