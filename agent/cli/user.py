"""``bleedwatch user``: who may sign in to the console."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.cli.options import AsJson, ConfigPath, account
from agent.config import DEFAULT_PATH, load_config
from agent.console.audit import AuditLog
from agent.console.passwords import SHORTEST, check_name, hash_password
from agent.report import utc_text
from agent.store.console_store import ConsoleStore
from agent.wiring import open_database, system_clock

user_app = typer.Typer(
    help="Who may sign in to the console.",
    epilog="Call it as the services' account: sudo -u bleedwatch bleedwatch user …",
    no_args_is_help=True,
)


class Role(str, Enum):
    """What a user may do: see and answer alerts; read and sign as well; or serve the box."""

    TECHNOLOGIST = "technologist"
    RADIOLOGIST = "radiologist"
    SERVICE = "service"


Name = Annotated[str, typer.Argument(help="As the page and the audit log show it.")]
RoleOption = Annotated[Role, typer.Option("--role", help="What the user may do.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@user_app.command()
def add(
    name: Name,
    role: RoleOption,
    config: ConfigPath = DEFAULT_PATH,
    *,
    password_stdin: FromStdin = False,
) -> None:
    """Add a user, whose password is asked for: at least 15 characters, four or five words.

    Example: sudo -u bleedwatch bleedwatch user add ann.lee --role technologist
    """
    name = check_name(name)
    with _opened(config) as (store, audit):
        argon2 = hash_password(_password(from_stdin=password_stdin), name)
        store.accounts.add_user(name, role.value, argon2, system_clock())
        audit.user_changed(account(), name, f"user added, role {role.value}")
    typer.echo(f"{name}: added, {role.value}")


@user_app.command("list")
def list_users(config: ConfigPath = DEFAULT_PATH, *, as_json: AsJson = False) -> None:
    """Print the users, with their roles.

    Example: sudo -u bleedwatch bleedwatch user list
    """
    with _opened(config) as (store, _):
        users = store.accounts.users()
    out = Console(highlight=False, soft_wrap=True)
    if as_json:
        listed = [
            {"name": user.name, "role": user.role, "added_utc": utc_text(user.added_utc)}
            for user in users
        ]
        out.print_json(json.dumps({"users": listed}))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("Name", "Role", "Added"):
        table.add_column(column, overflow="fold")
    for user in users:
        table.add_row(escape(user.name), user.role, f"{user.added_utc:%Y-%m-%d}")
    out.print(table if users else "there is none")


@user_app.command()
def remove(name: Name, config: ConfigPath = DEFAULT_PATH) -> None:
    """Remove a user; open sessions end at once. What the user acknowledged stays.

    Example: sudo -u bleedwatch bleedwatch user remove ann.lee
    """
    with _opened(config) as (store, audit):
        store.accounts.remove_user(name)
        audit.user_changed(account(), name, "user removed")
    typer.echo(f"{name}: removed")


@user_app.command()
def password(
    name: Name, config: ConfigPath = DEFAULT_PATH, *, password_stdin: FromStdin = False
) -> None:
    """Set a user's password; open sessions end at once.

    Example: sudo -u bleedwatch bleedwatch user password ann.lee
    """
    with _opened(config) as (store, audit):
        argon2 = hash_password(_password(from_stdin=password_stdin), name)
        store.accounts.set_password(name, argon2)
        audit.user_changed(account(), name, "password set")
    typer.echo(f"{name}: password set")


@user_app.command()
def role(name: Name, role: RoleOption, config: ConfigPath = DEFAULT_PATH) -> None:
    """Give a user another role, at once also in open sessions.

    Example: sudo -u bleedwatch bleedwatch user role ann.lee --role service
    """
    with _opened(config) as (store, audit):
        store.accounts.set_role(name, role.value)
        audit.user_changed(account(), name, f"role set to {role.value}")
    typer.echo(f"{name}: {role.value}")


@contextmanager
def _opened(config: ConfigPath) -> Iterator[tuple[ConsoleStore, AuditLog]]:
    settings = load_config(config)
    with open_database(settings) as database:
        store = ConsoleStore(database, system_clock)
        yield store, AuditLog(settings.audit_path, system_clock, store.notice)


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    asked: str = typer.prompt(
        f"Password, at least {SHORTEST} characters", hide_input=True, confirmation_prompt=True
    )
    return asked
