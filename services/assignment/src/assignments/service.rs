//! The RPCs of `AssignmentService`. The codec has validated the requests.

use clinic_clock::Clock;
use clinic_net::Context;
use clinic_proto::assignment::v1::{
    self as proto, CreateAssignmentRequest, DoctorPatient, EndAssignmentRequest,
    GetAssignmentRequest, ListAssignmentsRequest, ListAssignmentsResponse,
    ListDoctorPatientsRequest, ListDoctorPatientsResponse, ListPatientDoctorsRequest,
    ListPatientDoctorsResponse, PatientDoctor, UpdateAssignmentRequest,
};
use clinic_proto::mask::Mask;
use clinic_resource::read::by_id_text;
use clinic_resource::{List, New, Page, Requires, Update, View, list, read, write};
use clinic_server::origin;
use clinic_store::idempotency;
use clinic_store::{Changes, Db, Query, page};
use clinic_stubs::assignment::v1::AssignmentServiceHandler;
use prost::Message;
use uuid::Uuid;

use super::fields::Assignment;
use super::listing::{self, Filter, Person, State};
use crate::error::Error;
use crate::records_client::RecordsClient;
use crate::scopes;

/// The handler of `AssignmentService`.
pub(crate) struct Assignments {
    db: Db,
    pages: page::Tokens,
    clock: Clock,
    records: RecordsClient,
}

/// A page of a list, with the other data of the response.
struct Listed {
    page: Page<Assignment>,
    fingerprint: Vec<u8>,
    total_size: Option<i64>,
}

/// The paging fields of a list request.
struct Paging<'a> {
    size: i32,
    token: &'a str,
    with_total: bool,
}

impl Assignments {
    pub(crate) fn new(db: Db, pages: page::Tokens, clock: Clock, records: RecordsClient) -> Self {
        Self { db, pages, clock, records }
    }

    async fn list(
        &self,
        ctx: &Context,
        method: &'static str,
        filter: Filter,
        paging: &Paging<'_>,
    ) -> Result<Listed, Error> {
        let grounds = scopes::visible(ctx.principal());
        let fingerprint = filter.fingerprint(ctx.principal(), method);
        let after = list::after(&self.pages, paging.token, &fingerprint)?;
        let scope = scopes::scope(grounds.iter().copied());
        let listing = listing::Assignments { grounds: &grounds, filter };
        let list = List { scope: &scope, asked: View::Full, listing };
        let page = list.page(&self.db, page::size(paging.size), after).await?;
        let total_size = list.total::<Assignment>(&self.db, paging.with_total).await?;
        Ok(Listed { page, fingerprint, total_size })
    }

    fn items<T: Message>(
        &self,
        listed: Listed,
        item: impl Fn(proto::Assignment) -> T,
    ) -> Result<(Vec<T>, String), Error> {
        let Listed { page, fingerprint, .. } = listed;
        Ok(page.into_items(&self.pages, &fingerprint, item)?)
    }
}

impl AssignmentServiceHandler for Assignments {
    type Error = Error;

    async fn create_assignment(
        &self,
        ctx: &Context,
        mut request: CreateAssignmentRequest,
    ) -> Result<proto::Assignment, Error> {
        let request_id = std::mem::take(&mut request.request_id);
        let caller = ctx.principal();
        let claim = idempotency::Request::of(
            caller.id(),
            "CreateAssignment",
            &request_id,
            &request.encode_to_vec(),
        );
        let scope = scopes::scope(scopes::visible(caller));
        if let Some(request) = &claim
            && let Some(made) = write::find_made::<Assignment>(&self.db, request, &scope).await?
        {
            // Even if the patient or doctor has changed since: the client asks for the outcome.
            return Ok(made);
        }
        let message = request.assignment.unwrap_or_default();
        let patient_id = id(&message.patient_id, "assignment.patient_id")?;
        let doctor_id = id(&message.doctor_id, "assignment.doctor_id")?;
        let (patient, doctor) = tokio::join!(
            self.records.patient(ctx, patient_id.to_string()),
            self.records.doctor(ctx, doctor_id.to_string()),
        );
        // The patient first: callers who may not assign a doctor learn nothing about the doctor.
        let patient = patient?;
        if !scopes::may_assign(caller, patient.owner_id) {
            return Err(Error::not_found());
        }
        let doctor = doctor?;
        if !doctor.is_assignable() {
            return Err(Error::DoctorNotVerified);
        }
        let columns = vec![
            ("patient_id", patient.id.into()),
            ("doctor_id", doctor.id.into()),
            ("patient_owner_id", patient.owner_id.into()),
            ("patient_user_id", patient.user_id.into()),
            ("doctor_user_id", doctor.user_id.into()),
            ("assigned_by", caller.id().into()),
            ("ended", false.into()),
            ("started_at", ctx.now().into()),
        ];
        let new = New { id: self.clock.new_id(), message, columns, request: claim };
        Ok(write::create::<Assignment>(&self.db, &origin(ctx), &scope, new).await?)
    }

    async fn get_assignment(
        &self,
        ctx: &Context,
        request: GetAssignmentRequest,
    ) -> Result<proto::Assignment, Error> {
        let scope = scopes::scope(scopes::visible(ctx.principal()));
        Ok(read::get::<Assignment>(&self.db, &by_id_text(&request.id)?, &scope, View::Full).await?)
    }

    async fn list_assignments(
        &self,
        ctx: &Context,
        request: ListAssignmentsRequest,
    ) -> Result<ListAssignmentsResponse, Error> {
        let filter = Filter {
            patient: Person::of(&request.patient_id, ctx.principal())?,
            doctor: Person::of(&request.doctor_id, ctx.principal())?,
            state: State::of(request.status()),
        };
        let paging = Paging {
            size: request.page_size,
            token: &request.page_token,
            with_total: request.include_total_size,
        };
        let listed = self.list(ctx, "ListAssignments", filter, &paging).await?;
        let total_size = listed.total_size;
        let (assignments, next_page_token) = self.items(listed, |assignment| assignment)?;
        Ok(ListAssignmentsResponse { assignments, next_page_token, total_size })
    }

    async fn update_assignment(
        &self,
        ctx: &Context,
        request: UpdateAssignmentRequest,
    ) -> Result<proto::Assignment, Error> {
        let mut assignment = request.assignment.unwrap_or_default();
        let etag = std::mem::take(&mut assignment.etag);
        let scope = scopes::scope(scopes::changeable(ctx.principal()));
        let mut change = Update::of::<Assignment>(ctx, &request.id, &scope, &etag)?;
        let requires = [
            requires_same("patient_id = ", &assignment.patient_id, "assignment.patient_id"),
            requires_same("doctor_id = ", &assignment.doctor_id, "assignment.doctor_id"),
            Some(Requires { condition: "NOT ended".into(), otherwise: Error::Ended }),
        ];
        change.requires.extend(requires.into_iter().flatten());
        let changes = write::changes::<Assignment>(&Mask::of(request.update_mask), assignment)?;
        change.update::<Assignment>(&self.db, &changes, |_| ()).await
    }

    async fn end_assignment(
        &self,
        ctx: &Context,
        request: EndAssignmentRequest,
    ) -> Result<proto::Assignment, Error> {
        let scope = scopes::scope(scopes::changeable(ctx.principal()));
        let change = Update::of::<Assignment>(ctx, &request.id, &scope, &request.etag)?;
        let ended = Changes::default().set("ended", true);
        let now = ctx.now();
        // An assignment that has ended keeps its `ended_at`.
        let at = |query: &mut Query| {
            query.push(", ended_at = ").push_bind(now);
        };
        change.update::<Assignment>(&self.db, &ended, at).await
    }

    async fn list_patient_doctors(
        &self,
        ctx: &Context,
        request: ListPatientDoctorsRequest,
    ) -> Result<ListPatientDoctorsResponse, Error> {
        let state = State::of(request.status()).unwrap_or(State::Active);
        // First checks that the caller may see the patient. If not, the result is NOT_FOUND.
        let patient_id = self.records.patient_id(ctx, request.patient_id).await?;
        let patient = Some(Person::Id(patient_id));
        let filter = Filter { patient, doctor: None, state: Some(state) };
        let paging = Paging {
            size: request.page_size,
            token: &request.page_token,
            with_total: request.include_total_size,
        };
        let listed = self.list(ctx, "ListPatientDoctors", filter, &paging).await?;
        let doctors = self.records.doctors(ctx, ids(&listed, |row| &row.doctor_id)).await?;
        let join = |row: proto::Assignment| PatientDoctor {
            doctor: doctors.get(&row.doctor_id).cloned(),
            assignment: Some(row),
        };
        let total_size = listed.total_size;
        let (doctors, next_page_token) = self.items(listed, join)?;
        Ok(ListPatientDoctorsResponse { doctors, next_page_token, total_size })
    }

    async fn list_doctor_patients(
        &self,
        ctx: &Context,
        request: ListDoctorPatientsRequest,
    ) -> Result<ListDoctorPatientsResponse, Error> {
        let state = State::of(request.status()).unwrap_or(State::Active);
        let doctor = Some(Person::Id(self.records.doctor(ctx, request.doctor_id).await?.id));
        let filter = Filter { patient: None, doctor, state: Some(state) };
        let paging = Paging {
            size: request.page_size,
            token: &request.page_token,
            with_total: request.include_total_size,
        };
        let listed = self.list(ctx, "ListDoctorPatients", filter, &paging).await?;
        let patients = self.records.patients(ctx, ids(&listed, |row| &row.patient_id)).await?;
        let join = |row: proto::Assignment| DoctorPatient {
            patient: patients.get(&row.patient_id).cloned(),
            assignment: Some(row),
        };
        let total_size = listed.total_size;
        let (patients, next_page_token) = self.items(listed, join)?;
        Ok(ListDoctorPatientsResponse { patients, next_page_token, total_size })
    }
}

/// Requires that a patient or doctor in an update is that of the assignment.
fn requires_same(column: &'static str, given: &str, field: &str) -> Option<Requires<Error>> {
    let given = Uuid::parse_str(given).ok()?;
    let mut condition = Query::new(column);
    condition.push_bind(given);
    let message = "cannot be changed: end this assignment and create another";
    Some(Requires { condition, otherwise: Error::invalid(field, message) })
}

fn id(text: &str, field: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::invalid(field, "must be the UUID of a record"))
}

/// Returns the ids of the patients or doctors of a page.
fn ids<'a>(
    listed: &'a Listed,
    id: impl Fn(&'a proto::Assignment) -> &'a String + 'a,
) -> impl Iterator<Item = &'a str> + 'a {
    listed.page.messages().map(move |assignment| id(assignment).as_str())
}
