// Behaviour that is the same in every deployment and with every client.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Code, type Transport } from "@connectrpc/connect";

import { Role } from "../gen/clinic/access/v1/access_pb.js";
import { AssignmentStatus } from "../gen/clinic/assignment/v1/assignment_pb.js";
import { PatientView } from "../gen/clinic/records/v1/patient_pb.js";
import type { Deployment } from "./deployment.js";
import { badFields, refused, wording } from "./refusal.js";
import { given, Member, Session, someDoctor, somePatient } from "./session.js";
import type { Client, Connection } from "./transports.js";

const NEVER_USED_ID = "018f0000-0000-7000-8000-000000000000";

/** Declares the tests for one client; `deployment` is called when they run. */
export function describeBehaviour(client: Client, deployment: () => Deployment): void {
  describe(client.name, () => {
    let connection: Connection;
    let transport: Transport;
    before(() => {
      connection = client.connect(deployment().url);
      transport = connection.transport;
    });
    after(() => connection.close());
    const logInAsAdmin = () => Member.logIn(transport, deployment().admin);

    it("STAFF register, log in and keep their patients, doctors and assignments", async () => {
      const registered = await Member.register(transport);
      assert.deepEqual(registered.user.roles, [Role.STAFF]);
      const staff = await Member.logIn(transport, registered.credentials);
      assert.equal(staff.user.id, registered.user.id);

      const entered = somePatient();
      const created = await staff.patients.createPatient({ patient: entered });
      assert.equal(created.ownerId, staff.user.id);
      assert.equal(created.view, PatientView.FULL);
      assert.ok(created.createdAt && created.etag);

      const read = await staff.patients.getPatient({ id: created.id });
      assert.deepEqual(read, created);
      for (const [field, value] of Object.entries(entered)) {
        assert.equal(read[field as keyof typeof entered], value, field);
      }

      const second = await staff.patients.createPatient({ patient: somePatient() });
      const { patients } = await staff.patients.listPatients({});
      assert.deepEqual(
        patients.map((patient) => patient.id),
        [created.id, second.id],
      );

      const updated = await staff.patients.updatePatient({
        id: created.id,
        patient: { etag: created.etag, address: "1 New Road" },
      });
      assert.equal(updated.address, "1 New Road");
      assert.equal(updated.lastName, entered.lastName);
      assert.notEqual(updated.etag, created.etag);
      const stale = { id: created.id, patient: { etag: created.etag, address: "2 Old Road" } };
      await refused(staff.patients.updatePatient(stale), Code.Aborted, "STALE_ETAG");

      const doctor = await staff.doctors.createDoctor({ doctor: someDoctor() });
      assert.equal(doctor.consultationFee, "150.50");
      const assignment = await staff.assignments.createAssignment({
        assignment: {
          patientId: created.id,
          doctorId: doctor.id,
          reasonForVisit: "palpitations",
        },
      });
      assert.equal(assignment.status, AssignmentStatus.ACTIVE);
      assert.equal(assignment.assignedBy, staff.user.id);

      const treating = await staff.assignments.listPatientDoctors({ patientId: created.id });
      assert.equal(treating.doctors.length, 1);
      assert.equal(treating.doctors[0]?.doctor?.lastName, doctor.lastName);
      assert.equal(treating.doctors[0]?.assignment?.reasonForVisit, "palpitations");

      const ended = await staff.assignments.endAssignment({ id: assignment.id });
      assert.equal(ended.status, AssignmentStatus.ENDED);
      assert.ok(ended.endedAt);
      const nobody = await staff.assignments.listPatientDoctors({ patientId: created.id });
      assert.deepEqual(nobody.doctors, []);

      const deleted = await staff.patients.deletePatient({ id: created.id });
      assert.ok(deleted.deletedAt);
      await refused(staff.patients.getPatient({ id: created.id }), Code.NotFound, "NOT_FOUND");
      const left = await staff.patients.listPatients({});
      assert.deepEqual(
        left.patients.map((patient) => patient.id),
        [second.id],
      );
    });

    it("a self-registered patient reads and changes the own record only", async () => {
      const profile = somePatient();
      const patient = await Member.register(transport, {
        role: Role.PATIENT,
        profile: { case: "patient", value: profile },
      });
      const mine = await patient.patients.getPatient({ id: "me" });
      assert.equal(mine.userId, patient.user.id);
      assert.equal(mine.medicalHistory, profile.medicalHistory);

      const updated = await patient.patients.updatePatient({
        id: "me",
        patient: { phoneNumber: "+1 555 000-0000" },
        updateMask: { paths: ["phone_number"] },
      });
      assert.equal(updated.phoneNumber, "+1 555 000-0000");
      assert.equal(updated.address, profile.address);

      const staff = await Member.register(transport);
      const others = await staff.patients.createPatient({ patient: somePatient() });
      const { patients } = await patient.patients.listPatients({});
      assert.deepEqual(
        patients.map((one) => one.id),
        [mine.id],
      );
      await refused(patient.patients.getPatient({ id: others.id }), Code.NotFound, "NOT_FOUND");
      await refused(
        patient.patients.createPatient({ patient: somePatient() }),
        Code.PermissionDenied,
        "ROLE_REQUIRED",
      );

      const admin = await logInAsAdmin();
      const doctor = await admin.doctors.createDoctor({ doctor: someDoctor() });
      const pair = { patientId: mine.id, doctorId: doctor.id };
      const assignment = await admin.assignments.createAssignment({ assignment: pair });
      const treating = await patient.assignments.listPatientDoctors({ patientId: "me" });
      assert.deepEqual(
        treating.doctors.map((one) => [one.assignment?.id, one.doctor?.lastName]),
        [[assignment.id, doctor.lastName]],
      );
      await refused(
        patient.assignments.endAssignment({ id: assignment.id }),
        Code.PermissionDenied,
        "ROLE_REQUIRED",
      );
    });

    it("a self-registered doctor sees no patient until verified, then the BASIC view", async () => {
      const staff = await Member.register(transport);
      const entered = somePatient();
      const patient = await staff.patients.createPatient({ patient: entered });

      const profile = someDoctor();
      const doctor = await Member.register(transport, {
        role: Role.DOCTOR,
        profile: { case: "doctor", value: profile },
      });
      const mine = await doctor.doctors.getDoctor({ id: "me" });
      assert.equal(mine.userId, doctor.user.id);
      assert.equal(mine.verified, false);

      const search = { query: entered.lastName };
      assert.deepEqual((await doctor.patients.listPatients(search)).patients, []);
      await refused(doctor.patients.getPatient({ id: patient.id }), Code.NotFound, "NOT_FOUND");
      const verification = { id: mine.id };
      await refused(
        staff.doctors.verifyDoctor(verification),
        Code.PermissionDenied,
        "ROLE_REQUIRED",
      );
      const admin = await logInAsAdmin();
      assert.equal((await admin.doctors.verifyDoctor(verification)).verified, true);

      const [seen] = (await doctor.patients.listPatients(search)).patients;
      const { $typeName: _, ...shown } = given(seen);
      assert.deepEqual(shown, {
        id: patient.id,
        etag: "",
        ownerId: "",
        userId: "",
        firstName: entered.firstName,
        lastName: entered.lastName,
        dateOfBirth: entered.dateOfBirth,
        gender: entered.gender,
        phoneNumber: "",
        email: "",
        address: "",
        medicalHistory: "",
        view: PatientView.BASIC,
      });
      assert.deepEqual(await doctor.patients.getPatient({ id: patient.id }), seen);

      const pair = { patientId: patient.id, doctorId: mine.id };
      await staff.assignments.createAssignment({ assignment: pair });
      const { patients } = await doctor.assignments.listDoctorPatients({ doctorId: "me" });
      assert.deepEqual(
        patients.map((one) => [one.patient?.id, one.patient?.lastName]),
        [[patient.id, entered.lastName]],
      );
    });

    it("an ADMIN lists the users and changes their roles", async () => {
      const staff = await Member.register(transport);
      const other = await Member.register(transport);
      await refused(staff.users.listUsers({}), Code.PermissionDenied, "ROLE_REQUIRED");

      const admin = await logInAsAdmin();
      const listed = await everyUser(admin);
      assert.equal(new Set(listed).size, listed.length, "nobody is listed twice");
      assert.ok(listed.includes(admin.user.id));
      assert.ok(listed.indexOf(staff.user.id) < listed.indexOf(other.user.id));

      const roles = [Role.ADMIN, Role.STAFF];
      const promoted = await admin.users.setUserRoles({ id: staff.user.id, roles });
      assert.deepEqual(new Set(promoted.roles), new Set(roles));
      const again = await Member.logIn(transport, staff.credentials);
      assert.deepEqual(new Set(again.user.roles), new Set(roles));
      await again.users.listUsers({ pageSize: 1 });

      await again.users.setUserRoles({ id: staff.user.id, roles: [Role.STAFF] });
      const demoted = await Member.logIn(transport, staff.credentials);
      await refused(demoted.users.listUsers({}), Code.PermissionDenied, "ROLE_REQUIRED");
    });

    it("somebody else's patient is answered like one that never was", async () => {
      const owner = await Member.register(transport);
      const { id } = await owner.patients.createPatient({ patient: somePatient() });
      const other = await Member.register(transport);

      const calls = [
        (one: string) => other.patients.getPatient({ id: one }),
        (one: string) => other.patients.updatePatient({ id: one, patient: { gender: "O" } }),
        (one: string) => other.patients.deletePatient({ id: one }),
        (one: string) => other.assignments.listPatientDoctors({ patientId: one }),
      ];
      for (const call of calls) {
        const hidden = await refused(call(id), Code.NotFound, "NOT_FOUND");
        const unknown = await refused(call(NEVER_USED_ID), Code.NotFound, "NOT_FOUND");
        assert.deepEqual(wording(hidden), wording(unknown));
      }
      const { patients } = await other.patients.listPatients({});
      assert.deepEqual(patients, []);
    });

    it("bad input is refused with the names of all bad fields", async () => {
      const staff = await Member.register(transport);
      const patient = {
        ...somePatient(),
        lastName: "x".repeat(101),
        dateOfBirth: "2999-01-01",
        gender: "X",
        phoneNumber: "call me",
        email: "not an address",
      };
      const error = await refused(
        staff.patients.createPatient({ patient }),
        Code.InvalidArgument,
        "INVALID_FIELD",
      );
      assert.deepEqual(badFields(error), [
        "patient.date_of_birth",
        "patient.email",
        "patient.gender",
        "patient.last_name",
        "patient.phone_number",
      ]);
      assert.deepEqual((await staff.patients.listPatients({})).patients, [], "nothing is written");
    });

    it("without a valid token a call is UNAUTHENTICATED", async () => {
      const staff = await Member.register(transport);
      const tokens = [undefined, "nonsense", staff.tokens.refresh, `${staff.tokens.access}x`];
      for (const token of tokens) {
        await refused(
          new Session(transport, token).patients.listPatients({}),
          Code.Unauthenticated,
          "INVALID_TOKEN",
        );
      }
      const wrong = { ...staff.credentials, password: "not-the-password" };
      await refused(
        new Session(transport).auth.login(wrong),
        Code.Unauthenticated,
        "INVALID_CREDENTIALS",
      );
    });

    it("a session is refreshed, and ends with its logout", async () => {
      const staff = await Member.register(transport);
      const anonymous = new Session(transport).auth;
      const { tokens } = await anonymous.refresh({ refresh: staff.tokens.refresh });
      const { access, refresh } = given(tokens);
      assert.notEqual(refresh, staff.tokens.refresh);
      const me = await new Session(transport, access).auth.getUser({ id: "me" });
      assert.equal(me.id, staff.user.id);

      await anonymous.logout({ refresh });
      await refused(anonymous.refresh({ refresh }), Code.Unauthenticated, "INVALID_TOKEN");
    });
  });
}

/** Returns the ids of all accounts, read in small pages. */
async function everyUser(admin: Member): Promise<string[]> {
  const ids: string[] = [];
  let pageToken = "";
  do {
    const page = await admin.users.listUsers({ pageSize: 3, pageToken });
    ids.push(...page.users.map((user) => user.id));
    pageToken = page.nextPageToken;
  } while (pageToken);
  return ids;
}
