"""httpx over HTTP/2 sends the whole body of a request before it reads the response. It must get the
response to a request that is refused before its body is read. Prints the sums as its last line."""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from clinic import Clinic

BODY = 300_000
# Sequential requests on one connection.
REQUESTS = 10
# A response takes milliseconds; a client that waits to send the rest of its body waits forever.
PATIENCE = 20

LOGIN = "/clinic.auth.v1.AuthService/Login"
LIST_PATIENTS = "/clinic.records.v1.PatientService/ListPatients"


@dataclass
class Refused:
    path: str
    content_type: str
    status: int
    grpc_status: str | None = None

    def send(self, url: str) -> str:
        """Returns the first error in the responses, or an empty text."""
        text = b" " * BODY
        web = self.content_type.startswith("application/grpc")
        body = b"\0" + BODY.to_bytes(4) + text if web else text
        headers = {"content-type": self.content_type}
        with httpx.Client(http1=False, http2=True, timeout=PATIENCE, trust_env=False) as client:
            for number in range(1, REQUESTS + 1):
                try:
                    answer = client.post(url + self.path, content=body, headers=headers)
                except httpx.HTTPError as error:
                    return f"{error!r} at request {number} of {REQUESTS}"
                found = answer.status_code, answer.headers.get("grpc-status")
                if found != (self.status, self.grpc_status):
                    return f"{found} at request {number} of {REQUESTS}"
        return ""


REFUSED = [
    Refused("/api/patients/", "application/json", 401),
    Refused("/api/nothing/", "application/json", 404),
    Refused("/api/auth/login/", "application/json", 413),
    Refused("/api/auth/login/", "text/plain", 415),
    Refused("/nothing", "application/json", 404),
    # A call of the Connect protocol.
    Refused(LOGIN, "application/json", 501),
    Refused(LIST_PATIENTS, "application/grpc-web+proto", 200, "16"),
    Refused(LOGIN, "application/grpc-web+proto", 200, "8"),
]


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        # A small limit, so that the body is too large.
        with Clinic(Path(folder), "--max-message-bytes", "16384") as clinic:
            with ThreadPoolExecutor(len(REFUSED)) as threads:
                wrong = list(threads.map(lambda one: one.send(clinic.url), REFUSED))
            log = clinic.log.read_text()
    for one, why in zip(REFUSED, wrong, strict=True):
        what = f"httpx gets the {one.status} of {one.path} ({one.content_type})"
        print(f"✖ {what}: {why}" if why else f"✔ {what}")
    failed = sum(map(bool, wrong))
    if failed:
        print(log)
    print(f"python: {len(REFUSED) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
