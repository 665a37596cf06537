"""Runs the `clinic` program, and creates accounts in it."""

import itertools
import json
import os
import queue
import subprocess
import threading
import urllib.request
from pathlib import Path

# Enough for a debug build on two busy cores; a start usually takes a second.
READY_WITHIN = 60
STOPPED_WITHIN = 30
PASSWORD = "correct horse battery staple"


class Clinic:
    """`clinic up` on SQLite in a folder, with additional flags."""

    def __init__(self, folder: Path, *settings: str):
        program = os.environ.get("CLINIC_BIN")
        if not program:
            raise SystemExit("CLINIC_BIN is not set: run these tests with `cargo xtask test`")
        # Without the suite's settings, which may be set in the developer's shell.
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("CLINIC_") and name != "DATABASE_URL"
        }
        self.log = folder / "clinic.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, "up", "--listen", "127.0.0.1:0", *settings],
                cwd=folder,
                env=clean,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._numbers = itertools.count(1)
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.admin = {
                "email": self._said("admin account: "),
                "password": self._said("admin password: "),
            }
            self.url = self._said("clinic ready: ")
        except BaseException:
            self.process.kill()
            raise

    def __enter__(self) -> "Clinic":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            code = self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError("clinic did not stop on SIGTERM") from None
        if code != 0:
            raise RuntimeError(f"clinic ended with {code}:\n{self.log.read_text()}")

    def call(self, method: str, path: str, body: object = None, token: str = "") -> dict:
        """Sends a JSON request. Raises an exception unless the status is 2xx."""
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        if token:
            request.add_header("authorization", f"Bearer {token}")
        # Ignores proxy settings.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=READY_WITHIN) as answer:
            content = answer.read()
            return json.loads(content) if content else {}

    def tokens(self) -> dict[str, str]:
        """Returns an access token for each kind of caller."""
        admin = self.login(self.credentials("ADMIN"))
        self.register("", "staff@example.com")
        self.register("patient/", "patient@example.com", patient={"gender": "F"})
        # The values of the document's examples: a change would need a new verification.
        license = {"specialization": "Cardiology", "license_number": "MD-10001"}
        self.register("doctor/", "doctor@example.com", doctor=license)
        [doctor] = self.call("GET", "/api/doctors/", token=admin)["doctors"]
        self.call("POST", f"/api/doctors/{doctor['id']}/verify/", {}, token=admin)
        of = {
            name: self.login(self.credentials(name))
            for name in ["STAFF", "DOCTOR", "PATIENT"]
        }
        # Last, because only an administrator can change the others' results.
        return of | {"ADMIN": admin}

    def register(self, kind: str, email: str, **profile: dict) -> dict:
        account = {"email": email, "name": "Ada Lovelace", "password": PASSWORD}
        named = {
            key: {"first_name": "Ada", "last_name": "Lovelace"} | fields
            for key, fields in profile.items()
        }
        return self.call("POST", f"/api/auth/register/{kind}", account | named)

    def credentials(self, role: str) -> dict[str, str]:
        if role == "ADMIN":
            return self.admin
        return {"email": f"{role.lower()}@example.com", "password": PASSWORD}

    def number(self) -> int:
        """Returns a new number each time, for unique values."""
        return next(self._numbers)

    def login(self, credentials: dict[str, str]) -> str:
        return self.call("POST", "/api/auth/login/", credentials)["tokens"]["access"]

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def _said(self, beginning: str) -> str:
        try:
            line = self._lines.get(timeout=READY_WITHIN)
        except queue.Empty:
            line = ""
        if not line.startswith(beginning):
            raise RuntimeError(f"clinic did not print `{beginning}…`:\n{self.log.read_text()}")
        return line.removeprefix(beginning)
