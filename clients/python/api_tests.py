"""The REST API against its own OpenAPI document: whether the document is one, and whether the
answers to each kind of caller are as it says, by schemathesis. Prints the sums as its last line."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from clinic import Clinic

HERE = Path(__file__).parent
METHODS = {"get", "post", "put", "patch", "delete"}


class Sums:
    passed = 0
    failed = 0

    def add(self, what: str, passed: int, failed: int) -> None:
        self.passed += passed
        self.failed += failed
        print("✖" if failed else "✔", what, flush=True)


def main() -> int:
    sums = Sums()
    with tempfile.TemporaryDirectory() as folder, Clinic(Path(folder)) as clinic:
        document = clinic.call("GET", "/openapi.json")
        errors = list(OpenAPIV31SpecValidator(document).iter_errors())
        for error in errors:
            print(f"{error.json_path}: {error.message}")
        sums.add("/openapi.json is a document of OpenAPI 3.1", not errors, len(errors))
        for role, token in clinic.tokens().items():
            explore(role, token, clinic.url, document, Path(folder), sums)
    print(f"python: {sums.passed} passed, {sums.failed} failed")
    return 1 if sums.failed else 0


def explore(
    role: str, token: str, url: str, document: dict, folder: Path, sums: Sums
) -> None:
    """Runs schemathesis as that caller; each operation is a test."""
    operations = sum(len(METHODS & of.keys()) for of in document["paths"].values())
    report = folder / f"{role}.json"
    ran = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            f"--config-file={HERE / 'schemathesis.toml'}",
            "--no-color",
            "run",
            f"--report-json-path={report}",
            f"{url}/openapi.json",
        ],
        cwd=folder,
        env=os.environ | {"TOKEN": token, "NO_PROXY": "*"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if not report.exists():
        print(ran.stdout)
        return sums.add(f"{role}: schemathesis left no report", 0, 1)
    found = json.loads(report.read_text())
    requests = found["test_cases"]["generated"]
    bad = {name for failure in found["failures"] for name in failure["operations"]}
    passed = found["operations"]["tested"] - found["operations"]["errored"] - len(bad)
    # What it complains of beside single operations is a failure too.
    failed = operations - passed or int(ran.returncode != 0)
    if failed:
        print(ran.stdout)
    what = f"{role}: {passed} of {operations} operations with {requests} requests"
    sums.add(what, passed, failed)


if __name__ == "__main__":
    sys.exit(main())
