"""`tdmr keys` and `tdmr tenants`, on a real database."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from app.cli import main
from app.db.engine import Store
from app.db.models import AuditEntry
from app.domain.access import Caller, Quotas, Scope
from app.services import quotas
from app.services.authentication import Authenticator
from tests.databases import migrate


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    migrate(store_url)
    monkeypatch.setenv("TDMR_DATABASE_URL", store_url)
    return Store(store_url)


def tdmr(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


class TestHelp:
    @pytest.mark.parametrize(
        ("group", "command"),
        [("keys", "create"), ("keys", "list"), ("keys", "revoke"), ("tenants", "list"), ("tenants", "set")],
    )
    def test_explains_each_command(self, group: str, command: str) -> None:
        assert tdmr(group, command, "--help").exit_code == 0
        found = main.commands[group]
        assert isinstance(found, click.Group)
        options = [option for option in found.commands[command].params if isinstance(option, click.Option)]
        assert all(option.help for option in options)
        assert len(found.commands[command].help or "") > 40


class TestKeys:
    def test_are_made_listed_and_revoked(self, store: Store) -> None:
        made = tdmr("keys", "create", "--tenant=acme", "--name=ci", "--scope=read", "--expires-in-days=3")
        secret = made.stdout.strip()
        caller = Authenticator(store, None).find(secret)
        assert caller == Caller("acme", caller.actor if caller else "", frozenset({Scope.READ}))
        listed = tdmr("keys", "list", "--tenant=acme").output
        assert caller.actor in listed and "ci" in listed and secret not in listed
        assert tdmr("keys", "list").output == ""

        assert tdmr("keys", "revoke", "--tenant=acme", caller.actor).exit_code == 0
        assert Authenticator(store, None).find(secret) is None
        with store.read() as session:
            trail = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        assert [(entry.tenant, entry.actor, entry.action, entry.object_id) for entry in trail] == [
            ("acme", "cli", "create_key", caller.actor),
            ("acme", "cli", "revoke_key", caller.actor),
        ]

    def test_of_another_tenant_are_not_revoked(self, store: Store) -> None:
        secret = tdmr("keys", "create", "--tenant=acme", "--name=ci").stdout.strip()
        caller = Authenticator(store, None).find(secret)
        assert caller is not None
        said = tdmr("keys", "revoke", caller.actor)
        assert (said.exit_code, "has no key" in said.output) == (1, True)
        assert Authenticator(store, None).find(secret) is not None

    @pytest.mark.parametrize("tenant", ["", "A", "a b", "../a", "x" * 65])
    def test_belong_to_a_tenant_with_a_name(self, store: Store, tenant: str) -> None:
        assert tdmr("keys", "create", f"--tenant={tenant}", "--name=ci").exit_code == 2

    def test_need_a_database(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TDMR_DATABASE_URL", "postgresql+psycopg://postgres:secret@127.0.0.1:1/nowhere")
        said = tdmr("keys", "list")
        assert (said.exit_code, "does not answer" in said.output, "secret" in said.output) == (1, True, False)


class TestQuotas:
    def test_are_set_one_by_one_and_unset(self, store: Store) -> None:
        defaults = Quotas(bytes=1, queued=2, running=3)

        def now() -> Quotas:
            with store.read() as session:
                return quotas.of_tenant(session, defaults, "acme")

        assert now() == defaults
        assert "5,000,000" in tdmr("tenants", "set", "acme", "--max-bytes=5000000").output
        tdmr("tenants", "set", "acme", "--max-running=7")
        assert now() == Quotas(bytes=5_000_000, queued=2, running=7)
        tdmr("tenants", "set", "acme", "--max-bytes=default")
        assert now() == Quotas(bytes=1, queued=2, running=7)
        assert tdmr("tenants", "list").output == "acme: bytes default, queued default, running 7\n"

    def test_are_numbers(self, store: Store) -> None:
        for wrong in ("--max-running=0", "--max-bytes=-1", "--max-queued=many"):
            assert tdmr("tenants", "set", "acme", wrong).exit_code == 2
