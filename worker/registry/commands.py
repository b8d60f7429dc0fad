"""``hangtag models``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from models.options import JsonOption, RegistryOption
from models.reference import DEFAULT_REGISTRY

if TYPE_CHECKING:
    from models.registry.registry import Registry

WhyOption = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the history.", show_default=False)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as hangtag models shows it.")]
VersionArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="A version of a model, such as shop@4 or shop@challenger.")
]


MODELS: Final = typer.Typer(
    help="Publish, promote, list and delete models. Without a command, prints a table.\n\nExamples:\n\n"
    "  hangtag models\n\n  hangtag models publish bundles/shop --name shop --promote\n\n"
    "  hangtag models rollback shop --why 'boots are wrong'",
    invoke_without_command=True,
    rich_markup_mode="rich",
)


@MODELS.callback()
def models_command(
    context: typer.Context, registry: RegistryOption = DEFAULT_REGISTRY, as_json: JsonOption = False
) -> None:
    """Print a table of all versions if no command follows."""
    if context.invoked_subcommand is not None:
        source, verb = context.get_parameter_source("registry"), context.invoked_subcommand
        if as_json or (source and source.name == "COMMANDLINE"):
            msg = f"options must follow {verb}: hangtag models {verb} …"
            raise typer.BadParameter(msg)
        return
    from worker.registry.show import print_versions

    print_versions(_opened(registry), as_json=as_json)


def _opened(registry: str) -> "Registry":
    from models.registry.registry import open_registry

    return open_registry(registry)


def _say(text: str) -> None:
    from models.terminal import Console

    Console().say(text)


@MODELS.command("publish")
def publish_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle that hangtag export made.")],
    name: Annotated[str, typer.Option(help="The model's name; a new name begins with version 1.")],
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Folder of the bundle's training run. Copies files that a retraining needs.",
        ),
    ] = None,
    why: WhyOption = "published by hand",
    promote: Annotated[bool, typer.Option("--promote", help="Also make the version the champion.")] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle, and publish it as a new version of a model. A version never changes.

    Publishing the same bundle again adds no version.

    Examples:

      hangtag models publish bundles/shop --name shop --run runs/train/shop

      hangtag models publish bundles/shop --name shop --registry s3://models/registry
    """
    from worker.registry.show import VersionName, publish_verified, published_words

    opened = _opened(registry)
    published = publish_verified(opened, bundle, name, run, why)
    version = VersionName(name, published.version)
    if promote:
        opened.promote(*version, why)
    if as_json:
        print(json.dumps({"model": name, "version": version.version, "new": published.new}, indent=1))
    else:
        _say(published_words(opened, version, new=published.new))


@MODELS.command("promote")
def promote_command(
    model: VersionArgument,
    why: WhyOption = "",
    force: Annotated[bool, typer.Option("--force", help="Promote a version that a gate refused; needs --why.")] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Make a version the champion. Running jobs keep their version; later jobs use the new champion.

    Examples:

      hangtag models promote shop@4

      hangtag models promote shop@challenger --force --why "boots are no longer sold"
    """
    from worker.registry.show import look_up, promoted_words

    opened = _opened(registry)
    version = look_up(model, opened)
    event = opened.promote(*version, why, force=force)
    _say(promoted_words(opened, version) if event else f"{version} is already the champion.")


@MODELS.command("rollback")
def rollback_command(name: NameArgument, why: WhyOption = "", registry: RegistryOption = DEFAULT_REGISTRY) -> None:
    """Restore the previous champion for later jobs. A second rollback goes back one more version.

    Deleted versions are skipped.

    Examples:

      hangtag models rollback shop --why "sandals come out as boots"
    """
    from models.registry.history import CHAMPION
    from worker.registry.show import VersionName, registry_option, restored_words

    opened = _opened(registry)
    before = opened.state(name).aliases.get(CHAMPION)
    _say(restored_words(opened, VersionName(name, opened.rollback(name, why).version)))
    _say(f"To undo: hangtag models promote {name}@{before}{registry_option(opened)}")


@MODELS.command("history")
def history_command(
    name: NameArgument, registry: RegistryOption = DEFAULT_REGISTRY, as_json: JsonOption = False
) -> None:
    """Print the events of a model, oldest first.

    Examples:

      hangtag models history shop --json
    """
    from worker.registry.show import print_events

    opened = _opened(registry)
    opened.state(name)  # raises InputError for an unknown model
    print_events(opened.history(name).events(), as_json=as_json)


@MODELS.command("alias")
def alias_command(
    model: VersionArgument,
    alias: Annotated[
        str, typer.Argument(metavar="ALIAS", help="Any name except champion (use hangtag models promote).")
    ],
    remove: Annotated[bool, typer.Option("--remove", help="Remove the alias from that version.")] = False,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Give an alias to a version, or remove it.

    Examples:

      hangtag models alias shop@4 staging

      hangtag models alias shop@4 staging --remove
    """
    from worker.registry.show import look_up

    opened = _opened(registry)
    version = look_up(model, opened)
    if remove:
        opened.remove_alias(*version, alias, "")
        _say(f"{version.model} no longer has the alias {alias}.")
    else:
        event = opened.alias(*version, alias, "")
        _say(f"{alias} means {version} {'now' if event else 'already'}.")


@MODELS.command("delete")
def delete_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A version by its number, such as shop@2.")],
    why: WhyOption,
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Delete a version that has no alias, and its files. Its number is never used again. The model's history is kept.

    Examples:

      hangtag models delete shop@2 --why "customer photos were among its training photos"
    """
    from worker.registry.show import VersionName

    name, _, number = model.rpartition("@")
    if not name or not number.isdecimal():
        msg = f"expected a version by its number, such as shop@2, not by an alias, got {model}"
        raise typer.BadParameter(msg)
    version = VersionName(name, int(number))
    event = _opened(registry).delete(*version, why)
    _say(f"{version} is gone." if event else f"{version} was deleted before.")
