"""Fills the examples of the OpenAPI document with existing ids."""

import copy
import re

from clinic import PASSWORD, Clinic

METHODS = {"get", "post", "put", "patch", "delete"}


def operations(document: dict) -> dict[str, dict]:
    """Returns the operations by their names in schemathesis, such as `GET /api/patients/`."""
    return {
        f"{method.upper()} {path}": operation
        for path, of in document["paths"].items()
        for method, operation in of.items()
        if method in METHODS
    }


def is_open_to(role: str, operation: dict) -> bool:
    """Returns whether a role may call an operation, according to the end of its description."""
    who = operation["description"].rsplit("\n\n", 1)[-1].removesuffix(".")
    if who in ("For everyone, with or without a token", "For every signed-in user"):
        return True
    if not who.startswith("For the roles "):
        raise RuntimeError(f"{operation['operationId']} does not say who may call it: {who}")
    return role in who.removeprefix("For the roles ").split(", ")


class Records:
    """Records that one kind of caller may see and change. Each operation has separate records,
    because some delete them."""

    def __init__(self, clinic: Clinic, role: str, tokens: dict[str, str]):
        self.clinic = clinic
        self.role = role
        self.token = tokens[role]
        # The creator of a record owns it. Other roles see records that they are part of.
        self.maker = self.token if role == "STAFF" else tokens["ADMIN"]

    def examples(self, document: dict) -> dict:
        """Returns a copy of the document with examples for this caller."""
        document = copy.deepcopy(document)
        for operation in operations(document).values():
            if is_open_to(self.role, operation):
                self._fill(operation)
        return document

    def _fill(self, operation: dict) -> None:
        name = operation["operationId"].partition("_")[0]
        ids = [
            at
            for at in operation.get("parameters", [])
            if at["in"] == "path" or at["name"] == "ids"
        ]
        for parameter in ids:
            if parameter["name"] == "user_id":
                record = self._get("/api/users/me/")["id"]
            else:
                record = self._record(name)
            value = [record] if parameter["name"] == "ids" else record
            parameter["schema"]["examples"] = [value]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in body:
            self._fill_body(name, body["example"])

    def _fill_body(self, name: str, example: dict) -> None:
        for fields in (example, example.get("doctor", {})):
            # The example has the doctor's own license number.
            keeps = self.role == "DOCTOR" and name == "UpdateDoctor"
            if "license_number" in fields and not keeps:
                fields["license_number"] = self._license_number()
        if name == "Register":
            example["email"] = self._email()
            if "username" in example:
                example["username"] = f"ada.{self.clinic.number()}"
        elif name == "CreateAssignment":
            example |= {"patient_id": self._patient(), "doctor_id": self._doctor()}
        elif name == "Login":
            example |= {"email": self._account()["user"]["email"], "password": PASSWORD}
        elif name in ("Refresh", "Logout"):
            example |= {"refresh": self._account()["tokens"]["refresh"]}
        elif name == "ChangePassword":
            current = self.clinic.credentials(self.role)["password"]
            example |= {"current_password": current}

    def _record(self, operation: str) -> str:
        """Returns the id of a record of the first kind in the operation's name."""
        kind = re.search("Patient|Doctor|Assignment|User|Session", operation)
        match kind and kind.group():
            case "Patient":
                patient = self._assignment()["patient_id"]
                return self._deleted("patients", patient) if "Undelete" in operation else patient
            case "Doctor":
                doctor = self._doctor()
                return self._deleted("doctors", doctor) if "Undelete" in operation else doctor
            case "Assignment":
                return self._assignment()["id"]
            case "User":
                return self._account()["user"]["id"] if self.role == "ADMIN" else "me"
            case "Session":
                self.clinic.login(self.clinic.credentials(self.role))
                return self._get("/api/auth/sessions/")["sessions"][0]["id"]
            case _:
                raise RuntimeError(f"{operation} needs an id of an unknown kind")

    def _patient(self) -> str:
        if self.role == "PATIENT":
            return self._get("/api/patient-profile/")["id"]
        return self._make("patients", gender="F")

    def _doctor(self) -> str:
        if self.role == "DOCTOR":
            return self._get("/api/doctor-profile/")["id"]
        number = self._license_number()
        return self._make("doctors", specialization="Cardiology", license_number=number)

    def _assignment(self) -> dict:
        of = {"patient_id": self._patient(), "doctor_id": self._doctor()}
        return self.clinic.call("POST", "/api/mappings/", of, token=self.maker)

    def _account(self) -> dict:
        return self.clinic.register("", self._email())

    def _email(self) -> str:
        return f"account-{self.clinic.number()}@example.com"

    def _license_number(self) -> str:
        return f"LIC-{self.clinic.number()}"

    def _make(self, path: str, **fields: str) -> str:
        record = {"first_name": "Ada", "last_name": "Lovelace"} | fields
        return self.clinic.call("POST", f"/api/{path}/", record, token=self.maker)["id"]

    def _deleted(self, path: str, record: str) -> str:
        self.clinic.call("DELETE", f"/api/{path}/{record}/", token=self.maker)
        return record

    def _get(self, path: str) -> dict:
        return self.clinic.call("GET", path, token=self.token)
