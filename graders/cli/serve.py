"""grader serve: the HTTP endpoints."""

from __future__ import annotations

import errno
import ipaddress
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from graders.cli import BROKEN, OK
from graders.cli.shared.common import colors, config_option, strict_option, unsandboxed_option

if TYPE_CHECKING:
    import socket

    from graders.engine.backends import Backends
    from graders.store import Store

TOKEN_ENV = "GRADERS_TOKEN"


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any but loopback needs a token.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8321, show_default=True, help="Port; 0: any free one."
)
@click.option(
    "--token",
    metavar="TOKEN|@FILE",
    envvar=TOKEN_ENV,
    show_envvar=True,
    help="The API key that clients must send. An argument is visible in the list of processes.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.001), default=300.0, show_default=True, metavar="SECONDS",
    help="Time-out of one row, judges and sandbox included.",
)  # fmt: skip
@click.option(
    "--max-body-mb",
    type=click.FloatRange(min=0.001),
    default=32.0,
    show_default=True,
    metavar="MB",
    help="Largest body of a request.",
)
@click.option("--drain", "drain_s", type=click.FloatRange(min=0), default=30.0, show_default=True, metavar="SECONDS",
    help="Time for the requests in progress when the server stops.",
)  # fmt: skip
@click.option(
    "--access-log/--no-access-log", default=True, help="A line of JSON for each request, on stderr."
)
@click.option(
    "--store/--no-store",
    "keep",
    default=True,
    help="Whether files, evals and runs are kept, in GRADERS_HOME or the platform's data folder.",
)
@click.option(
    "--record",
    is_flag=True,
    help="Forward /v1/chat/completions and /v1/responses to the models of graders.toml, and keep requests with `store`.",
)
@click.option(
    "--retention", "retention_days", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
    metavar="DAYS", help="How long recorded requests are kept.",
)  # fmt: skip
@click.option(
    "--tuning",
    is_flag=True,
    help="Accept fine-tuning jobs for the models in [tuning.models] of graders.toml. They write gigabytes.",
)
@click.option(
    "--claims",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Results of audits of graders (see grader calibrate --claims), which the pages show beside their rates.",
)
@strict_option
@config_option
@unsandboxed_option
def command(
    host: str,
    port: int,
    token: str | None,
    timeout_s: float,
    max_body_mb: float,
    drain_s: float,
    access_log: bool,
    keep: bool,
    record: bool,
    retention_days: float,
    tuning: bool,
    claims: tuple[str, ...],
    strict: bool,
    config: str | None,
    unsandboxed: bool,
) -> int:
    """Answer the hosted service's endpoints, so that its clients work by changing base_url.

    Graders, files and evals; with --tuning fine-tuning as well.

    The page at / shows the server's state and runs a spec on a row. Ctrl-C or SIGTERM ends the server after the
    requests in progress; a second Ctrl-C ends it at once.

    \b
    grader serve
    curl http://127.0.0.1:8321/v1/fine_tuning/alpha/graders/run -H 'content-type: application/json' -d @request.json
    OPENAI_BASE_URL=http://127.0.0.1:8321/v1 OPENAI_API_KEY=none python your_code.py
    GRADERS_TOKEN=secret grader serve --host 0.0.0.0
    """
    if record and not keep:
        raise click.UsageError("--record keeps requests in the store, and --no-store says that there is none")
    if tuning and not keep:
        raise click.UsageError("--tuning keeps jobs in the store, and --no-store says that there is none")
    if token and token.startswith("@"):
        token = _read_token(token[1:])
    if not token and not _is_loopback(host):
        raise click.UsageError(
            f"{host} can be reached by others, so the server needs a token: set {TOKEN_ENV}, or give --token @FILE. "
            "Without one it listens on loopback only (--host 127.0.0.1)."
        )
    from dataclasses import replace

    import graders
    from graders.server import Limits, app
    from graders.server.service import Recording
    from graders.server.serving import listen, log_to_stderr, more_descriptors, serve
    from graders.store import StoreBusy, StoreError

    try:
        listener = listen(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        taken = error.errno == errno.EADDRINUSE
        hint = "; another server runs there (--port 0 takes any free one)" if taken else ""
        click.echo(f"cannot listen on {host} port {port}: {reason}{hint}", err=True)
        return BROKEN

    limits = replace(Limits(), timeout_s=timeout_s, body_bytes=int(max_body_mb * 1024**2), drain_s=drain_s)
    log_to_stderr()
    more_descriptors(limits.connections)
    with graders.Backends(config=config, unsandboxed=unsandboxed) as backends:
        try:
            backends.options  # noqa: B018  # a configuration that cannot be read is said now, not with the first row
        except ValueError as error:
            raise click.UsageError(f"the configuration is not valid: {error}") from None
        log = sys.stderr.buffer if access_log else None
        with ExitStack() as stack:
            try:
                store = _claimed_store(stack) if keep else None
            except (StoreError, StoreBusy) as error:
                click.echo(f"{error}. Or serve graders alone: --no-store", err=True)
                return BROKEN
            application = app(
                backends=backends,
                token=token,
                limits=limits,
                strict=strict,
                access_log=log,
                store=store,
                recording=Recording(retention_days) if record else None,
                tuning=tuning,
                claims=claims,
            )
            serve(
                application,
                listener,
                limits=limits,
                started=lambda: _print_address(listener, bool(token), backends, store),
            )
    click.echo("stopped", err=True)
    return OK


def _claimed_store(stack: ExitStack) -> Store:
    """The store, this process being the one that executes its runs until the stack is closed."""
    from graders.store import Store

    store = stack.enter_context(Store())
    stack.enter_context(store.claim())
    store.files.remove_unfinished()
    return store


def _read_token(path: str) -> str:
    from pathlib import Path

    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"cannot read the token from {path!r}: {error}") from None
    if not token:
        raise click.BadParameter(f"{path!r} is empty; expected the token")
    return token


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _print_address(listener: socket.socket, token: bool, backends: Backends, store: Store | None) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(
        f"listening on {click.style(url, bold=True)} (base_url {url}/v1)", err=True, color=colors(sys.stderr)
    )
    click.echo("clients send the token as their API key" if token else "no token: loopback only", err=True)
    click.echo(f"store: {store.home}" if store else "no store: graders only", err=True)
    click.echo("Ctrl-C to stop", err=True)
    threading.Thread(target=_print_tier, args=(backends,), daemon=True).start()


def _print_tier(backends: Backends) -> None:
    """Print the tier of python graders. It is found by running one, so it is printed a little later."""
    try:
        tier = backends.sandbox.tier
    except (ValueError, TypeError, RuntimeError) as error:
        colour, text = "red", f"none: python graders are refused. {error}"
    else:
        bare = tier == "unsandboxed"
        colour, text = ("red", "NONE: only for programs that you wrote") if bare else ("green", tier)
    click.echo(f"sandbox: {click.style(text, fg=colour)}", err=True, color=colors(sys.stderr))
