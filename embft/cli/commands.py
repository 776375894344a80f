"""How every command ends: what the user can fix without a traceback, an interruption with 130."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from embft.cli.interruption import (
    end_at_the_next,
    interrupt_outside_imports,
    was_interrupted,
)
from embft.errors import EXIT_INPUT, EXIT_INTERRUPTED, EmbftError
from embft.system.speedups import unsaid
from embft.system.spinning import spin_briefly

_UNCUT = 10_000


class Group(click.Group):
    """Commands in the order in which they are used, each with its whole first sentence."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _keep_lines(self)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Register a command of the program under its name."""
        _keep_lines(cmd)
        super().add_command(cmd, name)

    def add_later(self, name: str, sentence: str, module: str = "") -> None:
        """Register a command by its first sentence, for the list of commands. Its module, one of
        `embft/cli/` called like the command unless given, is imported when the command is called.
        """
        super().add_command(_Later(name, f"embft.cli.{module or name}", sentence), name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, its module imported."""
        found = super().get_command(ctx, cmd_name)
        return found.load() if isinstance(found, _Later) else found

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands in the order in which they are used."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, each with its first sentence, which is wrapped and not cut."""
        found = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(_UNCUT)) for name, each in found])


class _Later(click.Command):
    """Stands for a command until it is called; the module has it under the command's name."""

    def __init__(self, name: str, module: str, sentence: str) -> None:
        super().__init__(name, help=sentence)
        self.module = module

    def load(self) -> click.Command:
        """The command itself."""
        found: click.Command = getattr(import_module(self.module), str(self.name))
        _keep_lines(found)
        return found


class Commands(Group):
    """Prints what the user can fix without a traceback; an interruption has its own status."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context; its `obj` are the words of the command as they were given."""
        return super().make_context(info_name, args, parent, obj=tuple(args), **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Ctrl-C and SIGTERM end it with status 130, whenever they come."""
        interrupt_outside_imports()
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            if not was_interrupted(error):
                raise
            from embft.system.processes import end_descendants

            end_at_the_next()
            end_descendants()
            _tell("interrupted: the same command carries on")
            leave(EXIT_INTERRUPTED)
        finally:
            for sentence in unsaid():
                _tell(sentence)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and print what the user can fix without a traceback."""
        spin_briefly()  # here, since every command that computes imports torch later
        try:
            return super().main(*args, **kwargs)
        except EmbftError as error:
            from embft.system.text import one_screen

            _tell(one_screen(str(error)))
        except OSError as error:
            message = _of_a_path(error)
            if message is None:
                raise
            _tell(message)
        return leave(EXIT_INPUT)


def _keep_lines(command: click.Command) -> None:
    """Put click's mark for lines, a backspace, where a raw docstring can only spell it."""
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")


def given_again() -> str:
    """The command that runs, with every option that it was given, as a shell takes it."""
    import shlex

    return shlex.join(["embft", *click.get_current_context().find_root().obj])


def leave(status: int) -> NoReturn:
    """End with this status. Where Ray's processes were ended before Ray itself was, at once: its
    exit handlers would ask them for a minute.
    """
    from embft.system import processes

    if "ray" in sys.modules and processes.some_were_ended:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)
    sys.exit(status)


# What is wrong with a path that somebody has given, or has since taken away.
_OF_PATHS = {
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ENOTEMPTY,
    errno.EINVAL,
}


def _of_a_path(error: OSError) -> str | None:
    """What to say of an error that comes from a path or a disk; None for any other."""
    from embft.storage.errors import storage_reason
    from embft.system.text import one_screen

    name = error.filename2 or error.filename
    if storage_reason(error) is not None:
        return one_screen(f"{name or '.'}: cannot write: {error.strerror}")
    if error.errno not in _OF_PATHS or name is None:
        return None
    return one_screen(f"{name}: {error.strerror}: give another path, or see who has changed it")


def quiet_libraries() -> None:
    """No progress bars and no warnings of transformers beside the answer of a command. For before
    it imports what embeds texts: sentence-transformers is imported here, as lightly as workers do.
    """
    from embft.execution.lighter_imports import import_sentence_transformers

    import_sentence_transformers()
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _tell(message: str) -> None:
    with suppress(OSError):  # the output may lie on the disk that is full; the status still says it
        click.echo(f"embft: {message}", err=True)
