//! Signing in.

use clinic_proto::auth::v1::{
    DeactivateUserRequest, LoginRequest, LogoutRequest, RefreshRequest, RegisterRequest,
};
use clinic_testkit::{PASSWORD, Suite, failure, invalid_fields, on_both, visible_error};
use tonic::Code;

use super::{login, registration};

on_both! {
    async fn sign_in_by_email_or_username_ignores_case(suite: &Suite) {
        let request = RegisterRequest { username: "Front.Desk".into(), ..registration() };
        let made = suite.anonymous().auth.register(request.clone()).await.unwrap().into_inner();
        let by_email = |email: String| LoginRequest { email, ..Default::default() };
        let by_name = |username: String| LoginRequest { username, ..Default::default() };
        for request in [
            by_email(request.email.clone()),
            by_email(request.email.to_uppercase()),
            by_email(format!(" {} ", request.email)),
            by_name("Front.Desk".into()),
            by_name("fRONT.dESK".into()),
            // A sign-in form with a single field may send the email as `username`.
            by_name(request.email.to_uppercase()),
        ] {
            let request = LoginRequest { password: PASSWORD.into(), ..request };
            let response = suite.anonymous().auth.login(request).await.unwrap().into_inner();
            assert_eq!(response.user, made.user);
            let tokens = response.tokens.unwrap();
            let (access, refresh) = (tokens.access_expires_at.unwrap(), tokens.refresh_expires_at.unwrap());
            assert!(access.seconds > suite.clock.unix() + 14 * 60);
            assert!(refresh.seconds > suite.clock.unix() + 6 * 24 * 60 * 60);
        }
    }

    async fn a_failed_sign_in_does_not_reveal_whether_the_account_exists(suite: &Suite) {
        let (known, deactivated) = (suite.staff().await, suite.staff().await);
        let request = DeactivateUserRequest { id: deactivated.user.id.clone(), ..Default::default() };
        suite.admin().await.clients.users.deactivate_user(request).await.unwrap();

        let mut auth = suite.anonymous().auth;
        let mut refused = Vec::new();
        for (email, password) in [
            (known.user.email.as_str(), "wrong-password-7"),
            (known.user.email.as_str(), "x"),
            ("nobody-at-all@example.com", PASSWORD),
            (deactivated.user.email.as_str(), PASSWORD),
            (deactivated.user.email.as_str(), "wrong-password-7"),
        ] {
            let request = LoginRequest {
                email: email.into(),
                password: password.into(),
                ..Default::default()
            };
            refused.push(visible_error(auth.login(request).await));
        }
        let request = LoginRequest {
            username: "nobody-at-all".into(),
            password: PASSWORD.into(),
            ..Default::default()
        };
        refused.push(visible_error(auth.login(request.clone()).await));
        assert_eq!(refused[0].0, Code::Unauthenticated);
        assert!(refused.iter().all(|one| *one == refused[0]), "{refused:?}");
        assert_eq!(failure(auth.login(request).await).reason, "INVALID_CREDENTIALS");
    }

    async fn a_sign_in_must_name_exactly_one_account(suite: &Suite) {
        let mut auth = suite.anonymous().auth;
        let neither = LoginRequest { password: PASSWORD.into(), ..Default::default() };
        assert_eq!(invalid_fields(auth.login(neither).await), ["email", "username"]);
        let both = LoginRequest {
            email: "a@example.com".into(),
            username: "a".into(),
            password: PASSWORD.into(),
        };
        assert_eq!(invalid_fields(auth.login(both).await), ["email", "username"]);
        let name_as_email = LoginRequest {
            email: "front.desk".into(),
            password: PASSWORD.into(),
            ..Default::default()
        };
        assert_eq!(invalid_fields(auth.login(name_as_email).await), ["email"]);
        let without = LoginRequest { email: "a@example.com".into(), ..Default::default() };
        assert_eq!(invalid_fields(auth.login(without).await), ["password"]);
        let nothing = LoginRequest::default();
        assert_eq!(invalid_fields(auth.login(nothing).await), ["email", "username", "password"]);
    }

    async fn control_characters_are_rejected_except_in_passwords_and_tokens(suite: &Suite) {
        let mut auth = suite.anonymous().auth;
        for (email, username, bad) in
            [("a\0@example.com", "", "email"), ("", "a\0", "username"), ("", " \u{1b}", "username")]
        {
            let request = LoginRequest {
                email: email.into(),
                username: username.into(),
                password: PASSWORD.into(),
            };
            assert_eq!(invalid_fields(auth.login(request).await), [bad]);
        }
        for (change, bad) in [
            (RegisterRequest { email: "a\0@example.com".into(), ..registration() }, "email"),
            (RegisterRequest { name: "A\0".into(), ..registration() }, "name"),
            (RegisterRequest { username: "ann\0".into(), ..registration() }, "username"),
        ] {
            assert_eq!(invalid_fields(auth.register(change).await), [bad]);
        }
        // Passwords and refresh tokens are not checked for control characters: their text never
        // reaches the database, because passwords are hashed and refresh tokens decoded.
        let password = "correct\0horse".to_owned();
        let request = RegisterRequest { password: password.clone(), ..registration() };
        auth.register(request.clone()).await.unwrap();
        let request = LoginRequest { email: request.email, password, ..Default::default() };
        auth.login(request).await.unwrap();
        let request = RefreshRequest { refresh: "a\0".into() };
        assert_eq!(failure(auth.refresh(request).await).code, Code::Unauthenticated);
        auth.logout(LogoutRequest { refresh: "a\0".into() }).await.unwrap();
    }

    async fn the_first_administrator_has_a_verified_email_and_a_generated_password(suite: &Suite) {
        let admin = suite.admin().await;
        assert_eq!(admin.user.email, "admin@clinic.local");
        assert!(admin.user.email_verified);
        assert!(login(suite, "ADMIN@clinic.local", PASSWORD).await.is_err());
    }
}
