"""Who may do what with clients."""

from freezer_api.policies.base import (
    ADMIN_OR_OWNER,
    ADMIN_OR_READER_OR_SERVICE,
    ADMIN_OR_SERVICE,
    rule,
)

RULES = [
    rule("clients:get", ADMIN_OR_READER_OR_SERVICE, "Show a client.", "GET /clients/{client_id}"),
    rule("clients:get_all", ADMIN_OR_READER_OR_SERVICE, "List clients.", "GET /clients"),
    rule("clients:create", ADMIN_OR_OWNER, "Register a client.", "POST /clients"),
    rule(
        "clients:create_central",
        ADMIN_OR_SERVICE,
        "Register a central client, which every project sees; asked in place of clients:create.",
        "POST /clients",
    ),
    rule("clients:delete", ADMIN_OR_OWNER, "Remove a client.", "DELETE /clients/{client_id}"),
]
