"""The command line: `./scanmill` sets up what is missing, then runs this.

Exit codes: 0 done and balanced; 1 something is wrong and named; 2 wrong usage.
"""

import logging
import sys
from collections.abc import Sequence

import click

from scanmill import __version__
from scanmill.cli import books, checks, drilling, local, uploads
from scanmill.errors import ScanmillError, UsageError
from scanmill.inert import inert

WRONG, MISUSED = 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="scanmill")
def scanmill() -> None:
    """Drop document images in S3; get a dataset, and a receipt that says where each image went."""


_MODULES = (local, uploads, books, checks, drilling)
for command in (command for module in _MODULES for command in module.COMMANDS):
    scanmill.add_command(command)


def main() -> None:
    """Run the command line; whatever goes wrong is one line with its remedy, never a traceback."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        _refuse_other_encodings(sys.argv[1:])
        code = scanmill.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        click.echo(help_wanted.format_message(), err=True)
        code = MISUSED
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "scanmill"
        _say(f"{error.format_message()} See: ./{command} --help")
        code = MISUSED
    except UsageError as error:
        _say(str(error))
        code = MISUSED
    except ScanmillError as error:
        _say(str(error))
        code = WRONG
    except OSError as error:  # of a file or folder that somebody named, or of the disk
        _say(f"[{error.filename or 'a file'}] cannot be used: {error.strerror or error}.")
        code = WRONG
    except click.Abort:
        _say("Stopped. Everything begun goes on or heals by itself; see: ./scanmill status")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _refuse_other_encodings(arguments: Sequence[str]) -> None:
    """Refuse what no key, batch or path of ours can be called."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"[{argument}] is not UTF-8, as S3 keys must be.") from error


def _say(message: str) -> None:
    click.echo(f"scanmill: {inert(' '.join(message.split()), limit=2000)}", err=True)
