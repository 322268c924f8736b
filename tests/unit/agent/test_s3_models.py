"""The files of the S3 library, read without what is not needed of them."""

import gzip
import json
from pathlib import Path

import pytest
from botocore.loaders import Loader

from freezer_agent.storages.s3_models import LeanFiles

DESCRIBED = {"shapes": {"A": {"type": "string", "documentation": "<p>Long</p>"}}}


@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_documentation_is_left_out(tmp_path: Path, ending: str) -> None:
    content = json.dumps(DESCRIBED).encode()
    path = tmp_path / f"service-2{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    files = LeanFiles()
    assert files.exists(str(tmp_path / "service-2"))
    found = files.load_file(str(tmp_path / "service-2"))
    assert found == {"shapes": {"A": {"type": "string", "documentation": ""}}}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert not LeanFiles().exists(str(tmp_path / "none"))
    assert LeanFiles().load_file(str(tmp_path / "none")) is None


def test_endpoints_are_those_of_one_service_in_every_partition() -> None:
    whole = Loader().load_data("endpoints")
    lean = Loader(file_loader=LeanFiles()).load_data("endpoints")
    assert [one["partition"] for one in lean["partitions"]] == [
        one["partition"] for one in whole["partitions"]
    ]
    assert all(set(one["services"]) <= {"s3"} for one in lean["partitions"])
    assert lean["partitions"][0]["services"]["s3"] == whole["partitions"][0]["services"]["s3"]
