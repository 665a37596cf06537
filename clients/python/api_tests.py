"""Validates the OpenAPI document, and checks with schemathesis that the responses to each kind of
caller match it. Prints the sums as its last line."""

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from openapi_spec_validator import OpenAPIV31SpecValidator

from clinic import Clinic
from records import Records, is_open_to, operations

HERE = Path(__file__).parent
# Response statuses by operation.
Answers = dict[str, set[int]]


class Sums:
    passed = 0
    failed = 0
    lock = Lock()

    def add(self, what: str, passed: int, failed: int, *causes: str) -> None:
        with self.lock:
            self.passed += passed
            self.failed += failed
            print(*causes, f"{'✖' if failed else '✔'} {what}", sep="\n", flush=True)

    def all_but(self, what: str, asked: list[str], wrong: list[str]) -> None:
        good = len(asked) - len(wrong)
        causes = [f"  {operation}" for operation in wrong]
        self.add(f"{what}: {good} of {len(asked)} operations", good, len(wrong), *causes)


def main() -> int:
    sums = Sums()
    with tempfile.TemporaryDirectory() as folder, Clinic(Path(folder)) as clinic:
        document = clinic.call("GET", "/openapi.json")
        errors = list(OpenAPIV31SpecValidator(document).iter_errors())
        for error in errors:
            print(f"{error.json_path}: {error.message}")
        sums.add("/openapi.json is a document of OpenAPI 3.1", not errors, len(errors))
        tokens = clinic.tokens()
        url, path = clinic.url, Path(folder)
        callers = [Caller(*known, url, path, document, sums) for known in tokens.items()]
        # First, because the exploration changes the records that the examples need.
        for caller in callers:
            records = Records(clinic, caller.role, tokens)
            caller.examples.write_text(json.dumps(records.examples(document)))
            caller.explore("examples", str(caller.examples), "--phases=examples")
        # Boundary values are handled the same for every caller. An ADMIN tries them, who may call
        # every operation.
        explorations = [(caller, "coverage") for caller in callers if caller.role == "ADMIN"]
        explorations += [(caller, "fuzzing") for caller in callers]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            explore = lambda caller, phase: caller.explore(
                phase, f"{url}/openapi.json", f"--phases={phase}"
            )
            # Collects the results, because an exception is raised only there.
            list(pool.map(explore, *zip(*explorations)))
        succeeded = set.union(*(caller.succeeded for caller in callers))
        every = list(operations(document))
        sums.all_but("succeed", every, [name for name in every if name not in succeeded])
    print(f"python: {sums.passed} passed, {sums.failed} failed")
    return 1 if sums.failed else 0


@dataclass
class Caller:
    role: str
    token: str
    url: str
    folder: Path
    document: dict
    sums: Sums
    succeeded: set[str] = field(default_factory=set)

    @property
    def examples(self) -> Path:
        """The OpenAPI document with examples that this caller can send."""
        return self.folder / f"{self.role}-openapi.json"

    def explore(self, how: str, location: str, *options: str) -> None:
        """Runs schemathesis as this caller; each operation counts as a test."""
        report = self.folder / f"{self.role}-{how}.json"
        events = report.with_suffix(".ndjson")
        ran = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={HERE / 'schemathesis.toml'}",
                "--no-color",
                "run",
                f"--url={self.url}",
                f"--report-json-path={report}",
                f"--report-ndjson-path={events}",
                *options,
                location,
            ],
            cwd=self.folder,
            env=os.environ | {"TOKEN": self.token, "NO_PROXY": "*"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if not report.exists() or not events.exists():
            return self.sums.add(f"{self.role}: schemathesis left no report", 0, 1, ran.stdout)
        found = json.loads(report.read_text())
        requests = found["test_cases"]["generated"]
        bad = {name for failure in found["failures"] for name in failure["operations"]}
        passed = found["operations"]["tested"] - found["operations"]["errored"] - len(bad)
        # Other errors of schemathesis count as a failure too.
        of = len(operations(self.document))
        failed = of - passed or int(ran.returncode != 0)
        what = f"{self.role}, {how}: {passed} of {of} operations with {requests} requests"
        self.sums.add(what, passed, failed, *[ran.stdout] if failed else [])
        answers = read(events)
        self._was_let_in(how, answers)
        self.succeeded |= {
            name for name, statuses in answers.items() if any(200 <= one < 300 for one in statuses)
        }

    def _was_let_in(self, how: str, answers: Answers) -> None:
        """Expects other statuses than 401 and 403, which are documented and so pass as well."""
        mine = [
            name
            for name, operation in operations(self.document).items()
            if is_open_to(self.role, operation)
        ]
        refused = [name for name in mine if answers[name] <= {401, 403}]
        self.sums.all_but(f"{self.role}, {how}, let in", mine, refused)


def read(events: Path) -> Answers:
    answers: Answers = defaultdict(set)
    with events.open() as lines:
        for line in lines:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for sent in recorder.get("interactions", {}).values():
                # Skips requests with methods that the path does not support.
                its_own = recorder["label"].startswith(f"{sent['request']['method']} ")
                if its_own and sent["response"]:
                    answers[recorder["label"]].add(sent["response"]["status_code"])
    return answers


if __name__ == "__main__":
    sys.exit(main())
