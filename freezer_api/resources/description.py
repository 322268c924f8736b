"""GET /v2/openapi.json: what the API promises, for programs that write or test clients."""

from typing import Any

import falcon

from freezer_api.services.tags import text_of


class Description:
    """The OpenAPI document. It is the same for everybody, but told to callers with a token only."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._text = text_of(document)

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 with the document."""
        resp.data = self._text

    on_head = on_get
