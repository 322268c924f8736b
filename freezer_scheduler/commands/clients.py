"""The commands for clients: the schedulers that the API knows."""

from collections.abc import Mapping
from typing import Any

from freezer_scheduler.commands.base import (
    CANNOT_REGISTER,
    Command,
    CommandContext,
    CommandFailed,
    found,
)
from freezer_scheduler.commands.selection import PAGED, print_selected

_COLUMNS = ("client_id", "hostname", "description")


def _list(context: CommandContext) -> None:
    print_selected(
        context,
        context.freezer.clients.list,
        _COLUMNS,
        lambda entry: [_client(entry).get(column) for column in _COLUMNS],
    )


def _get(context: CommandContext) -> None:
    wanted = context.client or context.client_id
    context.show(found(context.freezer.clients.get(wanted), "client", wanted))


def _register(context: CommandContext) -> None:
    if context.freezer.clients.get(context.client_id) is not None:
        raise CommandFailed(f"The client {context.client_id!r} is registered already.")
    body = {**context.registration, "client_id": context.client_id}
    client_id = context.freezer.clients.register(body)
    context.say(f"Registered client {client_id}", {"client_id": client_id})


def _client(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = entry.get("client")
    return inner if isinstance(inner, Mapping) else {}


COMMANDS = (
    Command(
        name="client-list",
        help="List the clients that the project sees.",
        act=_list,
        takes=PAGED,
    ),
    Command(
        name="client-get",
        help="Print this client, or the one named by --client.",
        act=_get,
        takes=("client",),
    ),
    Command(
        name="register",
        help="Make this client known to the API; starting its scheduler does it too.",
        act=_register,
        failure_code=CANNOT_REGISTER,
    ),
)
