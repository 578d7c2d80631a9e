"""The `sealed` command and its subcommands."""

from __future__ import annotations

import click

from .. import __version__
from .demo.command import demo
from .fips import fips
from .index import index
from .keys import init, keys
from .reseal import decrypt, encrypt, rotate, verify
from .residue import residue
from .status import status
from .vault import vault


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Settings: SEALED_KEYSTORE, SEALED_KEK, SEALED_ROOT_KEY or SEALED_ROOT_KEY_FILE. "
    "Exit codes: 0 done, 1 an error that is explained, 2 wrong usage, 130 stopped.",
)
@click.version_option(__version__, prog_name="sealed")
def app() -> None:
    """
    Encrypted columns for SQLAlchemy: keys, rows, and a demonstration.

    \b
    Start here:
      sealed demo          see what the application sees and what the database sees
      sealed init          make a root key and a keystore for your application
      sealed keys list     show the keys
      sealed keys rotate   make a new primary data key
      sealed status        count how the values of columns are sealed
      sealed rotate        reseal rows under the primary data key
      sealed encrypt       seal plaintext that is in the database already
      sealed verify        open every value, and say which ones do not open
      sealed residue       say where plaintext may still be after encrypting
      sealed index plan    say what a blind index over a column would show
      sealed vault plan    compare the key in Vault with what it should be
    """  # noqa: D301 - to click, the control character means "do not wrap"


app.add_command(demo)
app.add_command(init)
app.add_command(keys)
app.add_command(status)
app.add_command(rotate)
app.add_command(encrypt)
app.add_command(decrypt)
app.add_command(verify)
app.add_command(index)
app.add_command(vault)
app.add_command(residue)
app.add_command(fips)
