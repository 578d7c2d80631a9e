"""`sealed vault`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from ..errors import OptionError, ProviderKeyMissingError
from ..vault import desired
from ..vault.client import Vault
from ..vault.desired import DesiredKey, Difference
from ..vault.policies import KvPlace, Role
from ..vault.policies import policy as policy_of
from ..vault.transit import TransitKey
from .output import Command, check_can_ask, console, json_option, print_json, say
from .vaultoptions import desired_options, key_options, server_options

DRIFT = 3
"""Exit code of a plan that is not empty."""


@click.group()
def vault() -> None:
    """Set up the key in HashiCorp Vault or OpenBao that wraps the data keys."""


@vault.command(cls=Command)
@key_options
@desired_options
@server_options
@json_option
def plan(wanted: DesiredKey, connect: Callable[[], Vault], *, as_json: bool) -> None:
    """
    Show how the transit key differs from what it should be.

    Nothing is changed. Exit code 0: it does not differ; 3: it does.
    """
    differences = desired.plan(connect(), wanted)
    _show(wanted, differences, as_json=as_json)
    if differences:
        raise click.exceptions.Exit(DRIFT)


@vault.command(cls=Command)
@key_options
@desired_options
@click.option("--yes", is_flag=True, help="Do not ask, also where keys in use are touched.")
@click.option("--dry-run", is_flag=True, help="Change nothing; the same as plan.")
@server_options
@json_option
@click.pass_context
def apply(  # noqa: PLR0913 - the options
    ctx: click.Context,
    wanted: DesiredKey,
    connect: Callable[[], Vault],
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Make the transit key what it should be.

    Mounts the engine, makes the key, changes its settings, as far as they differ. Asks before it
    makes keys unusable or lets the key be deleted. What Vault does not let anybody change is an
    error, and then nothing is changed.
    """
    server = connect()
    differences = desired.plan(server, wanted)
    if not as_json or dry_run:
        _show(wanted, differences, as_json=as_json)
    if dry_run:
        ctx.exit(DRIFT if differences else 0)
    if not yes and any(each.warning for each in differences):
        check_can_ask(as_json=as_json)
        click.confirm("Change it?", abort=True)
    changes = desired.apply(server, wanted)
    if as_json:
        print_json(_document(wanted, changes, done=True))
    elif changes:
        say(console(), f"[green]✓[/] {_name(wanted)}: done")


@vault.command(cls=Command)
@click.argument("role", type=click.Choice([role.value for role in Role]))
@key_options
@click.option(
    "--kv",
    metavar="MOUNT/PATH",
    help="Where the keystore lies, if it lies in Vault: secret/sealed, say.",
)
@click.option(
    "--kv-writable",
    is_flag=True,
    help="Let the application write the keystore: it makes and rotates data keys by itself.",
)
@click.option("--write", metavar="NAME", help="Write it to Vault under this name.")
@click.option("--yes", is_flag=True, help="Do not ask, also where another policy is replaced.")
@server_options
@json_option
def policy(  # noqa: PLR0913 - the options
    role: str,
    connect: Callable[[], Vault],
    *,
    key: str,
    mount: str,
    kv: str | None,
    kv_writable: bool,
    write: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Print the policy that is the least ROLE needs.

    An application wraps and unwraps data keys. A rotator makes new versions of the key and
    rewraps data keys, without seeing them. An administrator sets the key up. With --write, it
    asks before another policy of that name is replaced.
    """
    if kv_writable and kv is None:
        raise click.UsageError("--kv-writable needs --kv")
    text = policy_of(role, key=key, mount=mount, kv=_place(kv, writable=kv_writable))
    if write is not None:
        server = connect()
        if not yes and _policy_at(server, write) not in (None, text):
            if as_json:
                raise click.UsageError("another policy has this name; to replace it, give --yes")
            click.confirm(f"There is another policy {write!r}. Replace it?", abort=True)
        server.call(
            f"policy {write!r}", lambda client: client.sys.create_or_update_acl_policy(write, text)
        )
    if as_json:
        print_json({"role": role, "policy": text, "written": write})
    elif write is None:
        click.echo(text, nl=False)
    else:
        say(console(), f"[green]✓[/] policy {escape(repr(write))} is in Vault, for the {role}")


def _policy_at(server: Vault, name: str) -> Any:
    """Return the text of a policy, or None if there is none."""
    try:
        answer = server.call(f"policy {name!r}", lambda client: client.sys.read_acl_policy(name))
    except ProviderKeyMissingError:
        return None
    return answer["data"]["policy"]


@vault.command(cls=Command)
@key_options
@server_options
@json_option
def rotate(key: str, mount: str, connect: Callable[[], Vault], *, as_json: bool) -> None:
    """
    Make a new version of the transit key.

    Data keys that are wrapped from now on are under it. Those of before go on unwrapping;
    'sealed keys rewrap' brings them under it. Rows are not touched.
    """
    _version(key, mount, TransitKey(connect(), key, mount).rotate(), as_json=as_json)


@vault.command(cls=Command)
@key_options
@server_options
@json_option
def version(key: str, mount: str, connect: Callable[[], Vault], *, as_json: bool) -> None:
    """Show the number of the newest version of the transit key."""
    _version(key, mount, TransitKey(connect(), key, mount).version(), as_json=as_json)


def _version(key: str, mount: str, number: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"mount": mount, "key": key, "version": number})
    else:
        say(console(), f"transit key {escape(f'{mount}/{key}')}: version {number}")


def _place(kv: str | None, *, writable: bool) -> KvPlace | None:
    if kv is None:
        return None
    mount, _, path = kv.rpartition("/")
    try:
        return KvPlace(mount, path, writable)
    except OptionError as error:
        problem = error.problem
    raise click.BadParameter(f"{problem}; it is given as MOUNT/PATH", param_hint="--kv")


# -- what is shown


def _show(wanted: DesiredKey, differences: list[Difference], *, as_json: bool) -> None:
    if as_json:
        print_json(_document(wanted, differences, done=False))
        return
    out = console()
    if not differences:
        say(out, f"[green]✓[/] {_name(wanted)} is as it should be")
        return
    say(out, f"{_name(wanted)} is not as it should be:")
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("what", "is", "should be", ""):
        table.add_column(heading)
    for each in differences:
        said = f"[red]cannot be applied:[/] {escape(each.remedy)}" if each.remedy else ""
        said = said or (f"[yellow]mind:[/] {escape(each.warning)}" if each.warning else "")
        found = _said(each, each.found) if each.found is not None else "[red]missing[/]"
        table.add_row(each.subject, found, _said(each, each.wanted), said)
    out.print(table)


def _said(difference: Difference, value: Any) -> str:
    if difference.subject == "auto_rotate_period":
        hours, seconds = divmod(value, 3600)
        if not value:
            return "never"
        if seconds:
            return f"{value} seconds"
        return f"{hours} hours" if hours % 24 else f"{hours // 24} days"
    return escape(str(value).lower() if isinstance(value, bool) else str(value))


def _name(wanted: DesiredKey) -> str:
    return f"transit key {escape(f'{wanted.mount}/{wanted.name}')}"


def _document(wanted: DesiredKey, differences: list[Difference], *, done: bool) -> dict[str, Any]:
    return {
        "mount": wanted.mount,
        "key": wanted.name,
        "applied": done,
        "differences": [
            {
                "subject": each.subject,
                "found": each.found,
                "wanted": each.wanted,
                "remedy": each.remedy,
                "warning": each.warning,
            }
            for each in differences
        ],
    }
