"""Options that several packages share, and commands whose options are the fields of a record."""

import inspect
from collections.abc import Callable
from functools import wraps
from itertools import chain
from typing import Annotated, Any, TypeVar

import typer

Answer = TypeVar("Answer")

ModelsOption = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="[NAME=]MODEL",
        help="A bundle, a single .onnx file that hangtag exported, or a model in a registry, such as shop@champion. "
        "Repeat the option for several models in one pass, each with a name for its columns: category=shop@champion.",
    ),
]

ThresholdOption = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="Label photos with at least this confidence (above 0, at most 1). Promises no precision.",
        show_default=False,
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text or a table.")]

RegistryOption = Annotated[
    str,
    typer.Option(
        envvar="HANGTAG_REGISTRY",
        metavar="DIR",
        help="The registry that contains names such as shop@champion: a folder, or an s3:// URL.",
    ),
]


def takes(**records: type) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Turn the fields of dataclasses into options of a command. The command receives each dataclass as one argument.

    The help lists options in the order of the parameters, keyword-only options last.
    """

    def decorate(command: Callable[..., Answer]) -> Callable[..., Answer]:
        signature = inspect.signature(command)
        fields = {name: inspect.signature(record).parameters for name, record in records.items()}
        options = chain.from_iterable(
            fields[name].values() if name in fields else [parameter] for name, parameter in signature.parameters.items()
        )

        @wraps(command)
        def call(**arguments: Any) -> Answer:  # noqa: ANN401 - each option has its own type
            instances = {
                name: record(**{one: arguments.pop(one) for one in fields[name]}) for name, record in records.items()
            }
            return command(**instances, **arguments)

        by_kind = sorted(options, key=lambda parameter: parameter.kind)
        call.__signature__ = signature.replace(parameters=by_kind)  # type: ignore[attr-defined]
        return call

    return decorate
