//! Registering accounts.

use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::{GetUserRequest, ListUsersRequest, RegisterRequest};
use clinic_testkit::{
    Backend, PASSWORD, Suite, email, failure, invalid_fields, on_both, patient, run_with,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use super::{login, registration, taken_field};

on_both! {
    async fn registering_creates_a_staff_account_and_signs_in(suite: &Suite) {
        let request = RegisterRequest {
            email: "New.Person@Example.com".into(),
            name: "  New Person ".into(),
            username: "new.person".into(),
            password_confirm: Some(PASSWORD.into()),
            ..registration()
        };
        let response = suite.anonymous().auth.register(request).await.unwrap().into_inner();
        let account = suite.account(response.user.unwrap(), response.tokens.unwrap());
        assert_eq!(account.user.email, "New.Person@Example.com");
        assert_eq!(account.user.name, "New Person");
        assert_eq!(account.user.username, "new.person");
        assert_eq!(account.user.roles, [i32::from(Role::Staff)]);
        assert!(account.user.active && !account.user.email_verified);
        let request = GetUserRequest { id: "me".into() };
        let me = account.clients.auth.clone().get_user(request).await.unwrap().into_inner();
        assert_eq!(me, account.user);
    }

    async fn emails_and_usernames_are_unique_regardless_of_case(suite: &Suite) {
        let first = RegisterRequest { username: "Robin_M".into(), ..registration() };
        let mut auth = suite.anonymous().auth;
        auth.register(first.clone()).await.unwrap();

        let same_email = RegisterRequest { email: first.email.to_uppercase(), ..registration() };
        assert_eq!(taken_field(auth.register(same_email).await), "email");
        let same_name = RegisterRequest { username: "rOBIN_m".into(), ..registration() };
        assert_eq!(taken_field(auth.register(same_name).await), "username");
    }

    async fn of_two_concurrent_registrations_with_one_email_one_succeeds(suite: &Suite) {
        let request = registration();
        let (mut one, mut two) = (suite.anonymous().auth, suite.anonymous().auth);
        let (one, two) = tokio::join!(one.register(request.clone()), two.register(request));
        let (made, refused) = if one.is_ok() { (one, two) } else { (two, one) };
        made.unwrap();
        assert_eq!(taken_field(refused), "email");
    }

    async fn a_refused_password_reports_every_rule_that_it_breaks(suite: &Suite) {
        let mut auth = suite.anonymous().auth;
        for (password, rules) in [
            ("short1x", &["8 to 128"][..]),
            (&"long-".repeat(26), &["128"][..]),
            ("iloveyou", &["common"][..]),
            ("PassWord1", &["common"][..]),
            ("90817263544", &["digits"][..]),
            ("12345678", &["common", "digits"][..]),
            ("Robin.Miller", &["close to"][..]),
            ("somebody77@example", &["close to"][..]),
        ] {
            let request = RegisterRequest {
                email: "somebody77@example.com".into(),
                password: password.into(),
                ..registration()
            };
            let status = auth.register(request).await.unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{password}");
            let bad = status.get_details_bad_request().unwrap().field_violations;
            assert!(bad.iter().all(|violation| violation.field == "password"), "{bad:?}");
            for rule in rules {
                let reported = bad.iter().any(|violation| violation.description.contains(rule));
                assert!(reported, "{password}: {rule} is not in {bad:?}");
            }
            assert!(!format!("{status:?}").contains(password), "the error quotes {password}");
        }
        // No account was created.
        let request = RegisterRequest { email: "somebody77@example.com".into(), ..registration() };
        auth.register(request).await.unwrap();
    }

    async fn passwords_that_the_previous_systems_accepted_are_accepted(suite: &Suite) {
        for password in ["testpass123", "securepassword123", "pässwörter", "correct horse battery"] {
            let request = RegisterRequest { password: password.into(), ..registration() };
            suite.anonymous().auth.register(request.clone()).await.unwrap();
            login(suite, &request.email, password).await.unwrap();
        }
    }

    async fn all_invalid_fields_are_reported_together(suite: &Suite) {
        let bad = RegisterRequest {
            email: "no address".into(),
            name: "Ro\u{7}bin".into(),
            password: "short".into(),
            username: "-".into(),
            role: 99,
            ..RegisterRequest::default()
        };
        let named = invalid_fields(suite.anonymous().auth.register(bad).await);
        assert_eq!(named, ["email", "name", "password", "username", "role"]);
        let empty = invalid_fields(suite.anonymous().auth.register(RegisterRequest::default()).await);
        assert_eq!(empty, ["email", "name", "password"]);
        let long = RegisterRequest {
            email: format!("{}@example.com", "x".repeat(250)),
            name: "x".repeat(201),
            username: "x".repeat(65),
            ..registration()
        };
        assert_eq!(invalid_fields(suite.anonymous().auth.register(long).await), ["email", "name", "username"]);

        let request = ListUsersRequest { include_total_size: true, ..Default::default() };
        let users = suite.admin().await.clients.users.list_users(request).await.unwrap();
        assert_eq!(users.into_inner().total_size, Some(1), "only the administrator exists");
    }

    async fn invalid_profile_fields_are_reported_with_their_path(suite: &Suite) {
        use clinic_proto::auth::v1::register_request::Profile;
        let mut record = patient();
        record.date_of_birth = "2999-01-01".into();
        record.gender = "X".into();
        let request = RegisterRequest {
            role: Role::Patient.into(),
            profile: Some(Profile::Patient(record)),
            ..registration()
        };
        let named = invalid_fields(suite.anonymous().auth.register(request).await);
        assert_eq!(named, ["patient.date_of_birth", "patient.gender"]);
        let request = RegisterRequest { role: Role::Doctor.into(), ..registration() };
        assert_eq!(invalid_fields(suite.anonymous().auth.register(request).await), ["doctor"]);
    }

    async fn registering_as_administrator_or_service_is_refused(suite: &Suite) {
        for role in [Role::Admin, Role::Service] {
            let request = RegisterRequest { role: role.into(), ..registration() };
            assert_eq!(invalid_fields(suite.anonymous().auth.register(request).await), ["role"]);
        }
    }

    async fn the_password_confirmation_must_equal_the_password(suite: &Suite) {
        for confirm in ["", "correct-horse-batterY"] {
            let request = RegisterRequest {
                password_confirm: Some(confirm.into()),
                ..registration()
            };
            let named = invalid_fields(suite.anonymous().auth.register(request).await);
            assert_eq!(named, ["password_confirm"]);
        }
    }
}

on_both! {
    async fn registration_can_be_closed_for_a_role(backend: &Backend) {
        let narrow = |config: &mut clinic::Config| {
            config.settings.auth.registration_roles = vec![Role::Patient];
        };
        run_with(*backend, narrow, async |suite: &Suite| {
            for role in [Role::Unspecified, Role::Staff] {
                let request = RegisterRequest { role: role.into(), ..registration() };
                let refused = failure(suite.anonymous().auth.register(request).await);
                assert_eq!(refused.code, Code::PermissionDenied);
                assert_eq!(refused.reason, "REGISTRATION_CLOSED");
            }
            let request = RegisterRequest {
                email: email(),
                role: Role::Patient.into(),
                ..registration()
            };
            suite.anonymous().auth.register(request).await.unwrap();
        })
        .await;
    }
}
