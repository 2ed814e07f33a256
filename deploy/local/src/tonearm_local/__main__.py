"""``python -m tonearm_local``: run the real components of Tonearm on this machine."""

import asyncio
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from tonearm_local import environment, state
from tonearm_local.artifacts import FetchError
from tonearm_local.settings import SERVICES, LocalSettings, load

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

InfraOnly = Annotated[bool, typer.Option(help="Only Kafka, Postgres and Zipkin.")]
Without = Annotated[list[str], typer.Option(help="Leave this component out; repeatable.")]


@app.command()
def up(infra_only: InfraOnly = False, without: Without = []) -> None:  # noqa: B006 - typer copies
    """Start the stack and wait until it is ready."""
    from tonearm_local import control
    from tonearm_local.progress import Printer

    control.up(_settings(), Printer(), infra_only=infra_only, without=without)


@app.command(hidden=True)
def supervise(infra_only: InfraOnly = False, without: Without = []) -> None:  # noqa: B006
    """Be the supervisor (started by `up`)."""
    from tonearm_local import stack
    from tonearm_local.supervisor import Supervisor

    settings = _settings()
    with state.lock(settings):
        chosen = stack.components(settings, infra_only=infra_only, without=without)
        asyncio.run(Supervisor(settings, chosen).run())


@app.command()
def fetch() -> None:
    """Fetch everything pinned that the stack needs: jars and Envoy."""
    from tonearm_local import control
    from tonearm_local.progress import Printer

    control.prepare(_settings(), Printer(), ["kafka", "zipkin", "gateway"])


@app.command()
def logs(
    component: Annotated[str, typer.Argument(help="Default: all.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until interrupted.")] = False,
    lines: Annotated[int, typer.Option(min=0, help="How many old lines of each.")] = 20,
) -> None:
    """Print what the components wrote."""
    from tonearm_local import logs as reading

    reading.show(_settings(), component, follow=follow, n_lines=lines)


@app.command()
def down() -> None:
    """Stop the stack; nothing of it is left running."""
    from tonearm_local import control
    from tonearm_local.progress import Printer

    control.down(_settings(), Printer())


@app.command()
def status(json: Annotated[bool, typer.Option(help="For programs.")] = False) -> None:
    """Show every component. Exit code 0 when all are ready, 3 otherwise."""
    from tonearm_local import control
    from tonearm_local.progress import Printer

    settings = _settings()
    current = state.running(settings)
    if json:
        sys.stdout.write(control.as_json(settings) + "\n")
    else:
        Printer().table(current)
    raise typer.Exit(0 if current is not None and current.ready() else 3)


@app.command("test", context_settings={"ignore_unknown_options": True})
def run_tests(arguments: Annotated[list[str], typer.Argument(help="For pytest.")] = []) -> None:  # noqa: B006
    """Run pytest on a stack of its own, with its own ports and state; its exit code is returned."""
    from tonearm_local import testing

    raise typer.Exit(testing.run_pytest(arguments))


@app.command()
def demo(
    file: Annotated[Path | None, typer.Argument(help="Default: a synthesised recording.")] = None,
) -> None:
    """Start the stack, upload a recording with the real client and watch its analysis."""
    from tonearm_local import demonstration
    from tonearm_local.progress import Printer

    demonstration.run(_settings(), Printer(), file)


@app.command()
def doctor() -> None:
    """Tell what would keep the stack from running here. Exit code 1 when anything does."""
    from tonearm_local import diagnosis
    from tonearm_local.progress import Printer

    if not diagnosis.run(_settings(), Printer()):
        raise typer.Exit(1)


@app.command()
def env(
    service: Annotated[
        str, typer.Argument(help=f"admin, or one of {', '.join(SERVICES)}")
    ] = "admin",
) -> None:
    """Print export lines: how a service, or a test from outside, reaches the stack."""
    settings = _settings()
    if service != "admin" and service not in SERVICES:
        raise typer.BadParameter(f"no service named {service}")
    values = (
        environment.administration(settings)
        if service == "admin"
        else environment.service(settings, service)
    )
    for name, value in values.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


@app.command()
def gateway(
    target: Annotated[Literal["local", "k8s"], typer.Argument()] = "local",
    check: Annotated[bool, typer.Option(help="Only tell whether Kubernetes' is current.")] = False,
) -> None:
    """Render the gateway's configuration: print the local one, write Kubernetes'."""
    from tonearm_local import gateway as rendering

    if target == "local":
        sys.stdout.write(rendering.render(rendering.local_values(_settings())))
    elif not check:
        rendering.FOR_KUBERNETES.write_text(rendering.for_kubernetes(), "utf-8")
    elif not rendering.committed_is_current():
        sys.stderr.write(
            "error: the gateway's rendering for Kubernetes differs: run `make gateway`\n"
        )
        raise typer.Exit(1)


def _settings() -> LocalSettings:
    try:
        return load()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        sys.stderr.write(f"error: {name}: {first['msg']}\n")
        raise typer.Exit(2) from None


def main() -> None:
    """Run the command line; an expected failure is one message, not a traceback."""
    from tonearm_local.control import StackError
    from tonearm_local.logs import NoLog
    from tonearm_local.progress import Printer

    try:
        app()
    except (StackError, FetchError, NoLog, state.AlreadyRunning) as error:
        Printer().error(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
