// A caller of the suite: the five services with or without an access token, and people to call as.

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

/** The suite as one caller sees it. */
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

  /** Registers an account of its own address; `request` says what else is special about it. */
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

/** A patient as the front desk enters one. The last name is nobody else's, so it can be searched. */
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

/** A doctor as one introduces oneself. */
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

/** A text that no other test uses, of letters and digits. */
export function unique(beginning: string): string {
  return `${beginning}${randomUUID().replaceAll("-", "")}`;
}

/** A message field that the contract promises to be set. */
export function given<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error("the answer lacks a field that is always set");
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
