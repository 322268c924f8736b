"""Policies, their sample, and the routes that the API reference names them for."""

import re
from pathlib import Path

from oslo_policy import generator, policy

from freezer_api.policies import list_rules

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "api-ref/source").glob("*.inc"))


def documented_policies() -> dict[str, set[tuple[str, str]]]:
    """Rule -> the (method, path) pairs of the API reference that name it."""
    found: dict[str, set[tuple[str, str]]] = {}
    for page in PAGES:
        for part in page.read_text().split(".. rest_method:: ")[1:]:
            method, path = part.split("\n", 1)[0].split(" ")
            line = re.search(r"(?ms)^Policy: (.*?)\n\n", part)
            for rule in re.findall(r"``([\w:]+:[\w:]+)``", line[1] if line else ""):
                found.setdefault(rule, set()).add((method, path))
    return found


def enforced_rules() -> list[policy.DocumentedRuleDefault]:
    return [rule for rule in list_rules() if isinstance(rule, policy.DocumentedRuleDefault)]


def test_the_reference_names_every_rule_for_its_routes() -> None:
    declared = {
        rule.name: {(each["method"], each["path"]) for each in rule.operations}
        for rule in enforced_rules()
    }
    documented = documented_policies()
    assert declared.keys() == documented.keys()
    for rule, routes in declared.items():
        assert documented[rule] <= routes, rule


def test_every_route_that_keeps_documents_names_a_rule() -> None:
    routes = {
        tuple(line.split(" "))
        for page in PAGES
        for line in re.findall(r"(?m)^\.\. rest_method:: (.+)$", page.read_text())
    }
    named = {route for routes in documented_policies().values() for route in routes}
    assert routes - named == {
        ("GET", "/"),
        ("GET", "/healthcheck"),
        ("GET", "/healthcheck/ready"),
        ("GET", "/v2"),
        ("GET", "/v2/openapi.json"),
    }


def test_the_sample_is_up_to_date(tmp_path: Path) -> None:
    fresh = tmp_path / "policy.yaml"
    generator.generate_sample(
        ["--namespace", "freezer-api", "--output-file", str(fresh)], conf=None
    )
    assert fresh.read_text() == (ROOT / "etc/policy.yaml.sample").read_text(), (
        "run tox -e genpolicy"
    )
