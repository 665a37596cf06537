//! Private data is never logged.

use std::time::Duration;

use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::register_request::Profile;
use clinic_proto::auth::v1::{GetUserRequest, RefreshRequest, RegisterRequest};
use clinic_proto::records::v1::{CreatePatientRequest, Patient};
use clinic_testdb::on_both;
use clinic_testkit::{doctor, patient};

use crate::operator::{ADMIN, Operator};

const PASSWORD: &str = "seven-odd-words-here";

on_both! {
    async fn nothing_private_is_logged_however_much_is(operator: &Operator) {
        let running = operator.up(&["--log", "trace"]);
        let admin = running.admin_password().to_owned();
        let record = doctor();
        let request = RegisterRequest {
            email: "unmistakable@example.com".into(),
            name: "Unmistakable Person".into(),
            username: "unmistakable.name".into(),
            password: PASSWORD.into(),
            role: Role::Doctor.into(),
            profile: Some(Profile::Doctor(record.clone())),
            ..Default::default()
        };
        let mut auth = running.anonymous().auth;
        let made = auth.register(request.clone()).await.unwrap().into_inner().tokens.unwrap();
        // Failures are logged in most detail.
        auth.register(request.clone()).await.unwrap_err();
        auth.register(RegisterRequest { email: "unmistakable".into(), ..request }).await.unwrap_err();
        running.login("unmistakable@example.com", "unmistakably-wrong").await.unwrap_err();
        running.clients(&made.refresh).auth.get_user(GetUserRequest::default()).await.unwrap_err();
        let request = RefreshRequest { refresh: made.refresh.clone() };
        let next = auth.refresh(request).await.unwrap().into_inner().tokens.unwrap();

        let access = running.access(ADMIN, &admin).await;
        let mut patients = running.clients(&access).patients;
        let private = Patient { medical_history: "unmistakable condition".into(), ..patient() };
        let request = CreatePatientRequest { patient: Some(private.clone()), ..Default::default() };
        patients.create_patient(request).await.unwrap();
        let bad = Patient { phone_number: "unmistakable".into(), ..private };
        let request = CreatePatientRequest { patient: Some(bad), ..Default::default() };
        patients.create_patient(request).await.unwrap_err();

        let logged = running.terminate(Duration::from_secs(20)).stderr;
        for secret in [
            "nmistakabl",
            PASSWORD,
            admin.as_str(),
            &made.refresh,
            &made.access,
            &next.refresh,
            &next.access,
            &access,
            &record.license_number,
            "Lovelace",
            "1985-05-15",
            "555 123-4567",
        ] {
            let line = logged.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{secret}");
        }
        // Without a terminal each line is JSON.
        assert!(logged.lines().count() > 10);
        for line in logged.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
        }
    }
}
