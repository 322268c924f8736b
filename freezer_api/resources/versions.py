"""GET /: which versions of the API there are."""

import falcon

UPDATED = "2018-02-21T13:30:00"


class Versions:
    """The versions document. Its links lead to the host under which the caller sees us."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 300 with the one version."""
        version = {
            "id": "v2",
            "status": "CURRENT",
            "updated": UPDATED,
            "links": [{"href": f"{req.prefix}/v2/", "rel": "self"}],
        }
        resp.status = falcon.HTTP_300
        resp.media = {"versions": [version]}

    on_head = on_get
