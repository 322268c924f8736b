"""The access table names every route of the application, and every route names its rule."""

from pathlib import Path

from oslo_policy.policy import DocumentedRuleDefault

from freezer_api.policies import list_rules
from tests.access.matrix import Cloud, read_rows, routes_of


def test_no_route_is_without_cells(tmp_path: Path) -> None:
    routes = routes_of(Cloud(tmp_path).application())
    table = {row.route for row in read_rows()}
    assert routes - table == set(), "add the new routes to tests/access/table.yaml"
    assert table - routes == set(), "these routes are gone: take them out of the table"


def test_every_route_of_a_project_has_a_documented_rule(tmp_path: Path) -> None:
    guarded = {
        f"{operation['method']} {operation['path']}"
        for rule in list_rules()
        if isinstance(rule, DocumentedRuleDefault)
        for operation in rule.operations
    }
    routes = routes_of(Cloud(tmp_path).application())
    assert {route for route in routes if "{project_id}" in route} == guarded


def test_every_rule_is_described() -> None:
    for rule in list_rules():
        assert rule.description
        assert rule.description.endswith("."), rule.name
