"""The roles that the rules of the resources are made of."""

from oslo_policy import policy

ADMIN_OR_OWNER = "rule:admin_or_owner"
ADMIN_OR_SERVICE = "rule:admin_or_service"
ADMIN_OR_OWNER_OR_SERVICE = "rule:admin_or_owner_or_service"
ADMIN_OR_READER_OR_SERVICE = "rule:admin_or_reader_or_service"

RULES = [
    policy.RuleDefault(
        name="context_is_admin",
        check_str="role:admin",
        description="An administrator, who may act in every project.",
    ),
    policy.RuleDefault(
        name="project_member",
        check_str="role:member and project_id:%(project_id)s",
        description="A member of the project, who may change what belongs to it.",
    ),
    policy.RuleDefault(
        name="project_reader",
        check_str="role:reader and project_id:%(project_id)s",
        description="A reader of the project, who may look at what belongs to it.",
    ),
    policy.RuleDefault(
        name="admin_or_owner",
        check_str="rule:context_is_admin or rule:project_member",
        description="Who may change a project's jobs, actions, sessions and clients.",
    ),
    policy.RuleDefault(
        name="admin_or_service",
        check_str="role:admin or role:service",
        description="Who acts for the whole cloud: administrators and the central scheduler.",
    ),
    policy.RuleDefault(
        name="admin_or_owner_or_service",
        check_str="rule:admin_or_service or rule:project_member",
        description="Who may report backups.",
    ),
    policy.RuleDefault(
        name="admin_or_reader_or_service",
        check_str="rule:admin_or_owner_or_service or rule:project_reader",
        description="Who may look at a project's documents.",
    ),
]


def rule(name: str, check: str, description: str, *routes: str) -> policy.DocumentedRuleDefault:
    """A rule of a resource. Each route is "METHOD PATH", the path without /v2/{project_id}."""
    operations: list[policy.Operation] = []
    for route in routes:
        method, path = route.split(" ")
        operations.append({"method": method, "path": f"/v2/{{project_id}}{path}"})
    return policy.DocumentedRuleDefault(
        name=name,
        check_str=check,
        description=description,
        operations=operations,
        scope_types=["project"],
    )
