//! The RPCs of `AssignmentService`, each one function. Messages are valid when they get here.

use clinic_chassis::Context;
use clinic_clock::Clock;
use clinic_proto::assignment::v1::{
    self as proto, CreateAssignmentRequest, DoctorPatient, EndAssignmentRequest,
    GetAssignmentRequest, ListAssignmentsRequest, ListAssignmentsResponse,
    ListDoctorPatientsRequest, ListDoctorPatientsResponse, ListPatientDoctorsRequest,
    ListPatientDoctorsResponse, PatientDoctor, UpdateAssignmentRequest,
};
use clinic_store::Db;
use clinic_store::idempotency::Request as Replay;
use clinic_store::page::{self, Cursor};
use clinic_stubs::assignment::v1::AssignmentServiceHandler;
use prost::Message;
use uuid::Uuid;

use super::listing::{self, List, cursor};
use super::model::{Asked, Assignment, Changes, Filter, State, Which};
use super::store::{self, About, Change, New};
use crate::access::{self, Scope};
use crate::error::Error;
use crate::people::People;
use clinic_proto::mask::Mask;

/// The service.
pub(crate) struct Assignments {
    db: Db,
    pages: page::Tokens,
    clock: Clock,
    people: People,
}

/// What every list request says of its pages.
struct Paging<'a> {
    size: i32,
    token: &'a str,
    with_total: bool,
}

/// A page of assignments.
struct Page {
    rows: Vec<Assignment>,
    next: Option<Cursor>,
    fingerprint: Vec<u8>,
    total_size: Option<i64>,
}

impl Page {
    /// What it is in an answer, as far as there is room, and the token of the next one.
    fn into_items<T: Message>(
        self,
        tokens: &page::Tokens,
        item: impl Fn(Assignment) -> T,
    ) -> Result<(Vec<T>, String), Error> {
        let items = self.rows.into_iter().map(|row| (row.id, item(row))).collect();
        let (items, next) =
            page::fit(items, self.next, |(_, item)| item.encoded_len(), |(id, _)| cursor(*id));
        let token = tokens.token(next.as_ref(), &self.fingerprint)?;
        Ok((items.into_iter().map(|(_, item)| item).collect(), token))
    }
}

impl Assignments {
    pub(crate) fn new(db: Db, pages: page::Tokens, clock: Clock, people: People) -> Self {
        Self { db, pages, clock, people }
    }

    async fn page(
        &self,
        ctx: &Context,
        method: &'static str,
        filter: Filter,
        paging: &Paging<'_>,
    ) -> Result<Page, Error> {
        let fingerprint = listing::fingerprint(ctx.principal(), method, &filter);
        let after = self.pages.after(paging.token, &fingerprint)?;
        let list = List { scope: &Scope::see(ctx.principal()), filter };
        let (rows, next) = list.page(&self.db, page::size(paging.size), after.as_ref()).await?;
        let total_size = match paging.with_total {
            true => Some(list.count(&self.db).await?),
            false => None,
        };
        Ok(Page { rows, next, fingerprint, total_size })
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
        let replay = Replay::of(
            ctx.principal().id(),
            "CreateAssignment",
            &request_id,
            &request.encode_to_vec(),
        );
        let scope = Scope::see(ctx.principal());
        if let Some(request) = &replay
            && let Some(made) = store::find_made_by(&self.db, request, &scope).await?
        {
            // Whatever has become of patient and doctor since: the client asks what came of it.
            return Ok(made.into_proto());
        }
        let asked = Asked::try_from(request.assignment.unwrap_or_default())?;
        let (patient, doctor) = tokio::join!(
            self.people.patient(ctx, asked.patient_id.to_string()),
            self.people.doctor(ctx, asked.doctor_id.to_string()),
        );
        // The patient first: who may not assign him learns nothing about the doctor.
        let patient = patient?;
        if !access::may_assign(ctx.principal(), patient.owner_id) {
            return Err(Error::NotFound);
        }
        let doctor = doctor?;
        if !doctor.is_assignable() {
            return Err(Error::DoctorNotVerified);
        }
        let new = New {
            id: self.clock.new_id(),
            patient_id: patient.id,
            doctor_id: doctor.id,
            patient_owner_id: patient.owner_id,
            patient_user_id: patient.user_id,
            doctor_user_id: doctor.user_id,
            assigned_by: ctx.principal().id(),
            reason_for_visit: asked.reason_for_visit,
            notes: asked.notes,
        };
        Ok(store::create(&self.db, &ctx.origin(), replay, &scope, new).await?.into_proto())
    }

    async fn get_assignment(
        &self,
        ctx: &Context,
        request: GetAssignmentRequest,
    ) -> Result<proto::Assignment, Error> {
        let scope = Scope::see(ctx.principal());
        Ok(store::get(&self.db, id(&request.id)?, &scope).await?.into_proto())
    }

    async fn list_assignments(
        &self,
        ctx: &Context,
        request: ListAssignmentsRequest,
    ) -> Result<ListAssignmentsResponse, Error> {
        let filter = Filter {
            patient: Which::of(&request.patient_id, ctx.principal())?,
            doctor: Which::of(&request.doctor_id, ctx.principal())?,
            state: State::of(request.status()),
        };
        let paging = Paging {
            size: request.page_size,
            token: &request.page_token,
            with_total: request.include_total_size,
        };
        let page = self.page(ctx, "ListAssignments", filter, &paging).await?;
        let total_size = page.total_size;
        let (assignments, next_page_token) =
            page.into_items(&self.pages, Assignment::into_proto)?;
        Ok(ListAssignmentsResponse { assignments, next_page_token, total_size })
    }

    async fn update_assignment(
        &self,
        ctx: &Context,
        request: UpdateAssignmentRequest,
    ) -> Result<proto::Assignment, Error> {
        let assignment = request.assignment.unwrap_or_default();
        let changes = Changes::of(&Mask::of(request.update_mask), &assignment);
        let scope = Scope::change(ctx.principal());
        let about = About {
            patient_id: Uuid::parse_str(&assignment.patient_id).ok(),
            doctor_id: Uuid::parse_str(&assignment.doctor_id).ok(),
        };
        let change = change(ctx, id(&request.id)?, &scope, &assignment.etag);
        let change = Change { about, ..change };
        Ok(change.update(&self.db, &changes).await?.into_proto())
    }

    async fn end_assignment(
        &self,
        ctx: &Context,
        request: EndAssignmentRequest,
    ) -> Result<proto::Assignment, Error> {
        let scope = Scope::change(ctx.principal());
        let change = change(ctx, id(&request.id)?, &scope, &request.etag);
        Ok(change.end(&self.db).await?.into_proto())
    }

    async fn list_patient_doctors(
        &self,
        ctx: &Context,
        request: ListPatientDoctorsRequest,
    ) -> Result<ListPatientDoctorsResponse, Error> {
        let state = State::of(request.status()).unwrap_or(State::Active);
        // First of all whether the caller may see the patient: otherwise there is none.
        let patient_id = self.people.patient_id(ctx, request.patient_id).await?;
        let patient = Some(Which::Id(patient_id));
        let filter = Filter { patient, doctor: None, state: Some(state) };
        let paging = Paging {
            size: request.page_size,
            token: &request.page_token,
            with_total: request.include_total_size,
        };
        let page = self.page(ctx, "ListPatientDoctors", filter, &paging).await?;
        let doctors = self.people.doctors(ctx, page.rows.iter().map(|row| row.doctor_id)).await?;
        let join = |row: Assignment| PatientDoctor {
            doctor: doctors.get(&row.doctor_id).cloned(),
            assignment: Some(row.into_proto()),
        };
        let total_size = page.total_size;
        let (doctors, next_page_token) = page.into_items(&self.pages, join)?;
        Ok(ListPatientDoctorsResponse { doctors, next_page_token, total_size })
    }

    async fn list_doctor_patients(
        &self,
        ctx: &Context,
        request: ListDoctorPatientsRequest,
    ) -> Result<ListDoctorPatientsResponse, Error> {
        let state = State::of(request.status()).unwrap_or(State::Active);
        let doctor = Some(Which::Id(self.people.doctor(ctx, request.doctor_id).await?.id));
        let filter = Filter { patient: None, doctor, state: Some(state) };
        let paging = Paging {
            size: request.page_size,
            token: &request.page_token,
            with_total: request.include_total_size,
        };
        let page = self.page(ctx, "ListDoctorPatients", filter, &paging).await?;
        let patients =
            self.people.patients(ctx, page.rows.iter().map(|row| row.patient_id)).await?;
        let join = |row: Assignment| DoctorPatient {
            patient: patients.get(&row.patient_id).cloned(),
            assignment: Some(row.into_proto()),
        };
        let total_size = page.total_size;
        let (patients, next_page_token) = page.into_items(&self.pages, join)?;
        Ok(ListDoctorPatientsResponse { patients, next_page_token, total_size })
    }
}

fn change<'a>(ctx: &Context, id: Uuid, scope: &'a Scope, etag: &'a str) -> Change<'a> {
    Change { id, scope, etag, about: About::default(), origin: ctx.origin() }
}

/// Of a request, whose form was checked before.
fn id(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::NotFound)
}
