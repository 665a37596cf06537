// Callers of the suite, with or without an access token, and test data.

import { randomUUID } from "node:crypto";

import type { MessageInitShape } from "@bufbuild/protobuf";
import { createClient, type Client as ServiceClient, type Transport } from "@connectrpc/connect";

import { AssignmentService } from "../gen/clinic/assignment/v1/assignment_pb.js";
import {
  AuthService,
  type RegisterRequestSchema,
  type Tokens,
  type User,
  UserAdminService,
} from "../gen/clinic/auth/v1/auth_pb.js";
import { type DoctorSchema, DoctorService } from "../gen/clinic/records/v1/doctor_pb.js";
import { type PatientSchema, PatientService } from "../gen/clinic/records/v1/patient_pb.js";
import type { Credentials } from "./deployment.js";

/** Clients of all services for one caller. */
export class Session {
  readonly auth: ServiceClient<typeof AuthService>;
  readonly users: ServiceClient<typeof UserAdminService>;
  readonly patients: ServiceClient<typeof PatientService>;
  readonly doctors: ServiceClient<typeof DoctorService>;
  readonly assignments: ServiceClient<typeof AssignmentService>;

  /** Without an access token the caller is anonymous. */
  constructor(transport: Transport, accessToken?: string) {
    const carrying = accessToken === undefined ? transport : withToken(transport, accessToken);
    this.auth = createClient(AuthService, carrying);
    this.users = createClient(UserAdminService, carrying);
    this.patients = createClient(PatientService, carrying);
    this.doctors = createClient(DoctorService, carrying);
    this.assignments = createClient(AssignmentService, carrying);
  }
}

/** An account that is signed in. */
export class Member extends Session {
  readonly user: User;
  readonly tokens: Tokens;
  readonly credentials: Credentials;

  private constructor(transport: Transport, user: User, tokens: Tokens, credentials: Credentials) {
    super(transport, tokens.access);
    this.user = user;
    this.tokens = tokens;
    this.credentials = credentials;
  }

  /** Registers an account with a unique address; `request` overrides other fields. */
  static async register(
    transport: Transport,
    request: MessageInitShape<typeof RegisterRequestSchema> = {},
  ): Promise<Member> {
    const credentials = {
      email: `${unique("user")}@clinic.example`,
      password: "securepassword123",
    };
    const answer = await new Session(transport).auth.register({
      name: "Robin Example",
      ...credentials,
      ...request,
    });
    return new Member(transport, given(answer.user), given(answer.tokens), credentials);
  }

  static async logIn(transport: Transport, credentials: Credentials): Promise<Member> {
    const answer = await new Session(transport).auth.login(credentials);
    return new Member(transport, given(answer.user), given(answer.tokens), credentials);
  }
}

/** Returns a patient with a unique last name, by which tests can search. */
export function somePatient() {
  return {
    firstName: "Ada",
    lastName: unique("Patient"),
    dateOfBirth: "1985-12-10",
    gender: "F",
    phoneNumber: "+1 555 123-4567",
    email: "ada@mail.example",
    address: "12 Analytical Row\nLondon",
    medicalHistory: "BP <120, & no known allergies: größer, 健康",
  } satisfies MessageInitShape<typeof PatientSchema>;
}

/** Returns a doctor with a unique last name and license number. */
export function someDoctor() {
  return {
    firstName: "Gregory",
    lastName: unique("Doctor"),
    specialization: "Cardiology",
    licenseNumber: unique("LIC"),
    qualifications: "MD",
    yearsOfExperience: 12,
    consultationFee: "150.50",
    phoneNumber: "+1 555 765-4321",
    email: "gregory@mail.example",
  } satisfies MessageInitShape<typeof DoctorSchema>;
}

/** Returns a unique text of letters and digits. */
export function unique(beginning: string): string {
  return `${beginning}${randomUUID().replaceAll("-", "")}`;
}

/** Returns a message field that is always set according to the contract. */
export function given<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error("the response lacks a field that is always set");
  }
  return value;
}

function withToken(transport: Transport, token: string): Transport {
  const carrying = (header: ConstructorParameters<typeof Headers>[0]) => {
    const headers = new Headers(header);
    headers.set("authorization", `Bearer ${token}`);
    return headers;
  };
  return {
    unary: (method, signal, timeoutMs, header, input, context) =>
      transport.unary(method, signal, timeoutMs, carrying(header), input, context),
    stream: (method, signal, timeoutMs, header, input, context) =>
      transport.stream(method, signal, timeoutMs, carrying(header), input, context),
  };
}
