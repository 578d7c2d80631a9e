"""`sealed vault`, against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from documented_json import assert_documented
from servers.openbao import OpenBao

from sqlalchemy_sealed.cli.app import app
from sqlalchemy_sealed.vault.client import Vault
from sqlalchemy_sealed.vault.policies import KvPlace, policy
from sqlalchemy_sealed.vault.transit import TransitKey

DRIFT = 3


@pytest.fixture
def run(vault_settings: OpenBao, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return what runs `sealed vault`, with the server in the environment."""
    monkeypatch.setenv("COLUMNS", "150")

    def run(*arguments: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(app, ["vault", *arguments], input=typed)

    return run


def test_from_a_plan_to_a_key(run: Callable[..., Result], mount: str) -> None:
    """Drift is told by the exit code, for a pipeline; once applied, there is none."""
    at = ("--mount", f"new-{mount}", "--key", "kek")
    planned = run("plan", *at)
    assert planned.exit_code == DRIFT
    assert "mount" in planned.output
    assert "missing" in planned.output
    assert run("apply", *at, "--dry-run").exit_code == DRIFT
    assert run("plan", *at).exit_code == DRIFT
    applied = run("apply", *at)
    assert applied.exit_code == 0
    assert "done" in applied.output
    again = run("plan", *at)
    assert again.exit_code == 0
    assert "is as it should be" in again.output
    assert run("apply", *at, "--dry-run").exit_code == 0
    assert "is as it should be" in run("apply", *at).output


def test_a_plan_in_json(run: Callable[..., Result], mount: str) -> None:
    """A program reads what differs; there is nothing else on standard output."""
    options = ("--mount", mount, "--auto-rotate-period", "36h", "--deletion-allowed", "--json")
    planned = run("plan", *options)
    assert planned.exit_code == DRIFT
    assert json.loads(planned.stdout) == {
        "mount": mount,
        "key": "sealed",
        "applied": False,
        "differences": [
            {
                "subject": "auto_rotate_period",
                "found": 7776000,
                "wanted": 129600,
                "remedy": None,
                "warning": None,
            },
            {
                "subject": "deletion_allowed",
                "found": False,
                "wanted": True,
                "remedy": None,
                "warning": "who deletes the key destroys all that is sealed under it",
            },
        ],
    }
    # Nobody can be asked.
    assert run("apply", *options).exit_code == 2
    applied = run("apply", *options, "--yes")
    assert applied.exit_code == 0
    assert json.loads(applied.stdout)["applied"] is True
    assert json.loads(run("plan", *options).stdout)["differences"] == []


def test_what_hurts_is_asked_for(run: Callable[..., Result], mount: str) -> None:
    """Shutting old versions out waits for a yes; all else does not."""
    run("rotate", "--mount", mount)
    options = ("--mount", mount, "--min-decryption-version", "2")
    refused = run("apply", *options, typed="n\n")
    assert refused.exit_code == 1
    assert "rewrap them first" in refused.output
    assert run("plan", *options).exit_code == DRIFT
    assert run("apply", *options, typed="").exit_code == 1
    assert run("apply", *options, typed="y\n").exit_code == 0
    assert run("plan", *options).exit_code == 0
    assert run("apply", "--mount", mount, "--auto-rotate-period", "never").exit_code == 0


def test_what_cannot_be_changed_is_an_error(
    run: Callable[..., Result], root: Any, mount: str
) -> None:
    """The remedy is shown, and nothing is done."""
    root.adapter.post(f"/v1/{mount}/keys/kek", json={"derived": True, "exportable": True})
    options = ("--mount", mount, "--key", "kek")
    assert "cannot be applied" in run("plan", *options).output
    applied = run("apply", *options, "--yes")
    assert applied.exit_code == 1
    assert "another name" in applied.stderr


@pytest.mark.parametrize("role", ["application", "rotator", "administrator"])
def test_a_policy_is_printed_as_it_is(run: Callable[..., Result], role: str) -> None:
    """It can be piped into `bao policy write`."""
    printed = run("policy", role, "--key", "kek", "--mount", "team/transit", "--kv", "kv/a/b")
    kv = KvPlace("kv/a", "b")
    assert printed.stdout == policy(role, key="kek", mount="team/transit", kv=kv)
    document = json.loads(run("policy", role, "--json").stdout)
    assert document == {"role": role, "policy": policy(role), "written": None}


def test_a_policy_is_written(run: Callable[..., Result], root: Any, mount: str) -> None:
    """Without a pipe, and without the program of Vault."""
    options = ("--mount", mount, "--kv", "secret/sealed", "--kv-writable")
    written = run("policy", "application", *options, "--write", mount)
    assert written.exit_code == 0
    expected = policy("application", mount=mount, kv=KvPlace(writable=True))
    assert root.sys.read_policy(mount)["data"]["rules"] == expected


def test_another_policy_is_not_replaced_unasked(
    run: Callable[..., Result], root: Any, mount: str
) -> None:
    """Its text is nowhere else. Who wrote the same one before is not asked."""
    mine = 'path "mine/*" { capabilities = ["read"] }'
    root.sys.create_or_update_acl_policy(mount, mine)
    write = ("policy", "rotator", "--mount", mount, "--write", mount)
    refused = run(*write, typed="n\n")
    assert (refused.exit_code, "There is another policy" in refused.output) == (1, True)
    assert run(*write, "--json").exit_code == 2
    assert root.sys.read_policy(mount)["data"]["rules"] == mine
    assert run(*write, typed="y\n").exit_code == 0
    assert run(*write, "--json").exit_code == 0
    assert root.sys.read_policy(mount)["data"]["rules"] == policy("rotator", mount=mount)
    assert run("policy", "application", "--write", mount, "--yes", "--json").exit_code == 0


def test_documents_have_the_members_that_the_reference_says(
    run: Callable[..., Result], mount: str
) -> None:
    """All commands, done or only tried."""
    at = ("--mount", mount, "--json")
    for command, *options in (
        ("plan", "--auto-rotate-period", "36h"),
        ("apply", "--auto-rotate-period", "36h", "--dry-run"),
        ("apply", "--auto-rotate-period", "36h"),
        ("policy", "rotator"),
        ("rotate",),
        ("version",),
    ):
        result = run(command, *options, *at)
        assert result.stderr == ""
        assert_documented(f"sealed vault {command}", result.stdout)


def test_a_key_is_rotated_and_its_version_shown(run: Callable[..., Result], mount: str) -> None:
    """Both print the number of the newest version."""
    at = ("--mount", mount)
    assert "version 1" in run("version", *at).output
    assert "version 2" in run("rotate", *at).output
    assert json.loads(run("version", *at, "--json").stdout) == {
        "mount": mount,
        "key": "sealed",
        "version": 2,
    }


def test_options_take_the_place_of_the_environment(
    bao: OpenBao, no_vault_settings: None, mount: str, tmp_path: Path, root: Any
) -> None:
    """Address, namespace and token can be given, the token by a file only."""
    file = tmp_path / "token"
    file.write_text(bao.token)
    options = ["--mount", mount, "--address", bao.url, "--token-file", str(file)]
    run = CliRunner().invoke
    assert run(app, ["vault", "plan", *options]).exit_code == 0
    root.adapter.post(f"/v1/sys/namespaces/ns-{mount}", json={})
    inside = run(app, ["vault", "plan", *options, "--namespace", f"ns-{mount}"])
    assert inside.exit_code == DRIFT
    assert "--token " not in run(app, ["vault", "plan", "--help"]).output


def test_tls_with_an_authority_of_its_own(
    bao_tls: OpenBao, no_vault_settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an option, or by the variable that Vault's own program reads."""
    monkeypatch.setenv("VAULT_ADDR", bao_tls.url)
    monkeypatch.setenv("VAULT_TOKEN", bao_tls.token)
    run = CliRunner().invoke
    refused = run(app, ["vault", "apply"])
    assert refused.exit_code == 1
    assert "VAULT_CACERT" in refused.stderr
    assert run(app, ["vault", "apply", "--ca-cert", bao_tls.ca_cert]).exit_code == 0
    monkeypatch.setenv("VAULT_CACERT", bao_tls.ca_cert)
    assert run(app, ["vault", "plan"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--auto-rotate-period", "soon"], "90d"),
        (["plan", "--auto-rotate-period", "0h"], "at least an hour"),
        (["plan", "--min-decryption-version", "0"], "range"),
        (["plan", "--key", "a/b"], "name of a transit key"),
        (["plan", "--ca-cert", "/nowhere"], "does not exist"),
        (["policy", "owner"], "is not one of"),
        (["policy", "rotator", "--kv", "secret"], "MOUNT/PATH"),
        (["policy", "rotator", "--kv", "secret/*"], "MOUNT/PATH"),
        (["policy", "application", "--kv-writable"], "needs --kv"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_said(run: Callable[..., Result], arguments: list[str], words: str) -> None:
    """Nothing is asked of the server."""
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output


def test_an_error_of_vault_is_a_message(
    run: Callable[..., Result], acting: Callable[..., Vault], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Denied, missing, not there: one line on standard error, and exit code 1."""
    assert "no engine mounted" in run("version", "--mount", "elsewhere").stderr
    monkeypatch.setenv("VAULT_TOKEN", "wrong")
    result = run("version")
    assert result.exit_code == 1
    assert result.stderr.startswith("sealed: http://127.0.0.1")
    assert "refuses the login" in result.stderr
    monkeypatch.delenv("VAULT_TOKEN")
    assert "VAULT_TOKEN" in run("version").stderr
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:1")
    monkeypatch.setenv("VAULT_TOKEN", "t")
    assert "cannot be reached" in run("version").stderr


def test_an_application_sees_drift_and_cannot_remove_it(  # noqa: PLR0917
    run: Callable[..., Result],
    root: Any,
    mount: str,
    token_with: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    transit: TransitKey,
) -> None:
    """A plan runs with the policy of any role; apply needs that of the administrator."""
    root.adapter.post(f"/v1/{mount}/keys/sealed/config", json={"auto_rotate_period": "48h"})
    monkeypatch.setenv("VAULT_TOKEN", token_with(policy("application", mount=mount)))
    assert run("plan", "--mount", mount).exit_code == DRIFT
    denied = run("apply", "--mount", mount)
    assert denied.exit_code == 1
    assert "denies access" in denied.stderr
    monkeypatch.setenv("VAULT_TOKEN", token_with(policy("administrator", mount=mount)))
    assert run("apply", "--mount", mount).exit_code == 0
