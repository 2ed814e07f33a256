"""`register`, `login`, `logout`, `whoami`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonearm_cli.options import DEFAULT_SERVER, ConfigDir, Json, Output, Remote, Server, Token

if TYPE_CHECKING:
    from tonearm_cli.api import Api

Email = Annotated[str | None, typer.Option("--email", help="E-mail address of the account.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
PasswordEnv = Annotated[
    str | None, typer.Option("--password", envvar="TONEARM_PASSWORD", hidden=True)
]


def register(
    email: Email = None,
    full_name: Annotated[str | None, typer.Option("--full-name", help="Your name.")] = None,
    password_stdin: PasswordStdin = False,
    password: PasswordEnv = None,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    as_json: Json = False,
) -> None:
    """Open an account and log in. The password is asked for, or read as told."""
    output = Output(as_json=as_json)
    address = _email(email)
    secret = _password(password_stdin, password, is_new=True)

    async def work(api: Api) -> None:
        account = await api.register(email=address, password=secret, full_name=full_name)
        await api.log_in(email=address, password=secret)
        output.done({"account": account, "server": api.server}, _welcome(account, api.server))

    Remote(server=server, config_dir=config_dir).run(work)


def login(
    email: Email = None,
    password_stdin: PasswordStdin = False,
    password: PasswordEnv = None,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    as_json: Json = False,
) -> None:
    """Log in and keep the session on this machine."""
    output = Output(as_json=as_json)
    address = _email(email)
    secret = _password(password_stdin, password, is_new=False)

    async def work(api: Api) -> None:
        await api.log_in(email=address, password=secret)
        account = await api.me()
        output.done({"account": account, "server": api.server}, _welcome(account, api.server))

    Remote(server=server, config_dir=config_dir).run(work)


def logout(
    server: Server = DEFAULT_SERVER, config_dir: ConfigDir = None, as_json: Json = False
) -> None:
    """End the session, here and at the server."""
    output = Output(as_json=as_json)

    async def work(api: Api) -> None:
        await api.log_out()
        output.done({"logged_out": True, "server": api.server}, f"Logged out of {api.server}.")

    Remote(server=server, config_dir=config_dir).run(work)


def whoami(
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Show the account, its plan and what is used of it."""
    output = Output(as_json=as_json)

    async def work(api: Api) -> None:
        account = await api.me()
        usage = await api.call("GET", "/v1/auth/usage")
        document = {"account": account, "usage": usage, "server": api.server}
        if as_json:
            output.result(document)
            return
        from tonearm_cli.render import account_card

        output.result(document, account_card(account, usage, server=api.server))

    Remote(server=server, config_dir=config_dir, token=token).run(work)


def _welcome(account: dict[str, Any], server: str) -> str:
    return f"Logged in at {server} as {account['email']} ({account['plan']})."


def _email(given: str | None) -> str:
    if given:
        return given
    if not sys.stdin.isatty():
        raise typer.BadParameter("is needed where nobody can be asked", param_hint="--email")
    return str(typer.prompt("E-mail", err=True))


def _password(from_stdin: bool, from_env: str | None, *, is_new: bool) -> str:
    """Return the password: from standard input (its first line), the environment, or a person."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if from_env:
        return from_env
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "give --password-stdin or TONEARM_PASSWORD where nobody can be asked",
            param_hint="password",
        )
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=is_new, err=True))
