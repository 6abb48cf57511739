"""Commands: options made from a config's fields, and mistakes told in one line; the only shared file that knows click.

@camoe_command("camoe-train")
@options_from(TrainConfig)
def main(config: TrainConfig) -> int | None:        # the exit status; None is 0
    fit(config)
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import click

from .config import Config, choices_of, load_config, nearest_name, option_name, spelled_as_given
from .errors import CamoeError, RunStoppedError
from .wording import visible


def say(text: str, *, err: bool = False) -> None:
    """Print text that may hold ids, paths and captions: what a terminal would obey is written out."""
    click.echo(visible(text), err=err)


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
METAVARS = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}


class CamoeCommand(click.Command):
    """A click command whose user mistakes end as `camoe-x: sentence` on stderr and an exit status.

    Status: what the function returned (None is 0), 2 for wrong use, 1 for a run that could not go on, 130 for an
    interrupt.
    `main(args, standalone_mode=False)`, for calls from Python, returns the status and raises `CamoeError` and
    `KeyboardInterrupt` instead of printing.
    """

    def __init__(self, *args: Any, go_on: str = "", **options: Any) -> None:
        """`go_on` says how work that was interrupted is continued."""
        super().__init__(*args, **options)
        self.go_on = go_on

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        extra.setdefault("prog_name", self.name)
        try:
            status = self._run(*args, **extra)
        except CamoeError as error:
            if not standalone_mode:
                raise
            say(f"{self.name}: {' '.join(str(error).split())}", err=True)
            status = error.exit_status
        except KeyboardInterrupt:
            if not standalone_mode:
                raise
            click.echo(f"{self.name}: interrupted" + (f"; {self.go_on}" if self.go_on else ""), err=True)
            status = 130
        return sys.exit(status) if standalone_mode else status

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what is clearly meant: `--loss_temperature 10`, and several words after an option that takes a list."""
        return super().parse_args(ctx, _meant(args, self.params))

    def _run(self, *args: Any, **extra: Any) -> int:
        run: Callable[..., int | None] = super().main
        try:
            return run(*args, standalone_mode=False, **extra) or 0
        except click.exceptions.Abort as error:
            if isinstance(error.__cause__, EOFError):  # click makes an interrupt of both
                reason = " ".join(str(error.__cause__).split()) or "end of file"
                raise RunStoppedError(f"a file or a process ended before it should have ({reason})") from error
            raise KeyboardInterrupt from error
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f"{context.command_path if context else self.name} --help lists the options"
            said = error.format_message().rstrip(".")
            if isinstance(error, click.NoSuchOption):
                said = _no_such_option(error)
            raise CamoeError(f"{said} ({hint})") from error
        except BrokenPipeError:
            return 1
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            raise RunStoppedError(f"{error.strerror or error}{where}") from error
        except MemoryError as error:
            raise RunStoppedError("out of memory") from error


def _meant(words: list[str], params: list[click.Parameter]) -> list[str]:
    """The words of a command line with each value of a list after its option: `--x a b` is `--x a --x b`.

    A shell that expands `--x *.h5` writes the former. Where a command has arguments of its own, words are left to them.
    """
    options = {name: param for param in params if isinstance(param, click.Option) for name in param.opts}
    flags = {name for param in params for name in param.secondary_opts}
    has_arguments = any(isinstance(param, click.Argument) for param in params)
    meant: list[str] = []
    current, waiting = "", False
    for place, word in enumerate(words):
        if word == "--":
            return meant + words[place:]
        if waiting or not word.startswith("-") or word == "-":
            meant += [word] if waiting or not current else [current, word]
            waiting = False
            continue
        name, equals, value = word.partition("=")
        dashed = name.replace("_", "-")
        name = dashed if dashed in options or dashed in flags else name
        option = options.get(name)
        meant.append(name + equals + value)
        waiting = option is not None and not option.is_flag and not option.count and not equals
        current = name if option is not None and option.multiple and not has_arguments else ""
    return meant


def _no_such_option(error: click.NoSuchOption) -> str:
    params = error.ctx.command.params if error.ctx else []
    names = [name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("--")]
    near = nearest_name(error.option_name.lstrip("-"), [name.lstrip("-") for name in names])
    return f"No such option {error.option_name!r}" + (f"; did you mean --{near}?" if near else "")


class CamoeGroup(CamoeCommand, click.Group):
    """A command of subcommands, whose mistakes end as a `CamoeCommand`'s."""


def camoe_group(name: str, cls: type[CamoeGroup] = CamoeGroup) -> Callable[[Callable], CamoeGroup]:
    """`@camoe_group("camoe-store")`: `.command()` of the result adds plain click commands."""
    return lambda function: cls(
        name,
        help=inspect.getdoc(function),
        callback=function,
        params=[_version_option()],
        context_settings=CONTEXT,
        no_args_is_help=False,
    )


def camoe_command(name: str, **options: Any) -> Callable[[Callable], CamoeCommand]:
    """`@camoe_command("camoe-train")`: the decorated function as a `CamoeCommand`; its docstring is the help.

    `options` are click's, and `go_on`, what is said after an interrupt.
    """

    def decorate(function: Callable) -> CamoeCommand:
        command = click.command(name, cls=CamoeCommand, context_settings=CONTEXT, **options)(function)
        command.params.append(_version_option())
        return command

    return decorate


def _version_option() -> click.Option:
    return click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version and exit.",
    )


def _show_version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not context.resilient_parsing:
        from .. import __version__

        click.echo(f"{context.command.name} {__version__}")
        context.exit()


def options_from(config_class: type[Config]) -> Callable[[Callable], Callable]:
    """Give a command one option per field of `config_class`, and `--config FILE`; the function gets `config`.

    What the command line names wins over the file, the file over the defaults. Other click options may stand beside.
    """
    fields = dataclasses.fields(config_class)
    hints = get_type_hints(config_class)

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def with_config(*, config_file: str | None, **values: Any) -> Any:
            given = {field.name: _given(values.pop(field.name), field, hints[field.name]) for field in fields}
            overrides = {name: value for name, value in given.items() if value is not None}
            with spelled_as_given(config_class, config_file, overrides):
                return function(config=load_config(config_class, config_file, overrides), **values)

        help_text = "YAML file with any of these settings; underscores instead of dashes."
        decorated: Callable = click.option("--config", "config_file", metavar="FILE", help=help_text)(with_config)
        for field in reversed(fields):
            decorated = _option(field, hints[field.name])(decorated)
        return decorated

    return decorate


def _option(field: dataclasses.Field, hint: Any) -> Callable[[Callable], Callable]:
    """One click option; its text is converted by the config, so that files and options are checked alike."""
    name, text = option_name(field), f"{field.metadata['help']}  [{_default_text(field)}]"
    if hint is bool:
        return click.option(f"{name}/--no-{name.lstrip('-')}", field.name, default=None, help=text)
    several, kind = get_origin(hint) is tuple, hint
    while get_args(kind):
        kind = next(option for option in get_args(kind) if option not in (NoneType, ...))
    choices = choices_of(field)
    metavar = f"[{'|'.join(choices)}]" if choices else METAVARS[kind]
    if several and not field.metadata.get("repeat"):
        metavar += ",…"
    complete = _complete_choice(choices) if choices else click.Path().shell_complete
    return click.option(
        name, field.name, default=None, multiple=several, metavar=metavar, help=text, shell_complete=complete
    )


def _complete_choice(choices: tuple[str, ...]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    return lambda _context, _parameter, begun: [name for name in choices if name.startswith(begun)]


def _default_text(field: dataclasses.Field) -> str:
    default = field.default
    if default is dataclasses.MISSING:
        return "required"
    if isinstance(default, tuple):
        return f"default: {','.join(map(str, default)) or 'none'}"
    return f"default: {str(default).lower() if default is None or isinstance(default, bool) else default}"


def _given(value: Any, field: dataclasses.Field, hint: Any) -> Any:
    """What the command line said, None if nothing; `--x a,b --x c` is `a,b,c`."""
    if get_origin(hint) is not tuple:
        return value
    if not value:
        return None
    return list(value) if field.metadata.get("repeat") else ",".join(value)
