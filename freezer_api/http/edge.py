"""What every resource needs at the edge: who may, what was sent, which page."""

from dataclasses import dataclass

import falcon

from freezer_api.http.bodies import Bodies
from freezer_api.http.paging import Paging
from freezer_api.identity.context import Context
from freezer_api.policies.enforcer import Enforcer


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The collaborators of the resources."""

    enforcer: Enforcer
    bodies: Bodies
    paging: Paging

    def admit(self, req: falcon.Request, rule: str) -> Context:
        """The caller, whom the rule lets in. Raises AccessForbidden."""
        caller: Context = req.context.caller
        self.enforcer.require(caller, rule)
        return caller

    def allows(self, caller: Context, rule: str) -> bool:
        """Whether the rule would let the caller in."""
        return self.enforcer.allows(caller, rule)
