//! Listing and ending sessions.

use clinic_proto::auth::v1::{
    ChangePasswordRequest, ListSessionsRequest, LogoutRequest, RevokeSessionRequest, Session,
};
use clinic_testkit::{Account, PASSWORD, Suite, failure, invalid_fields, on_both, visible_error};
use serde_json::json;
use tonic::Code;

use super::{login, refresh};
use crate::edge::http1;

async fn sessions(account: &Account) -> Vec<Session> {
    let request = ListSessionsRequest::default();
    let list = account.clients.auth.clone().list_sessions(request).await.unwrap();
    list.into_inner().sessions
}

on_both! {
    async fn an_account_lists_its_own_sessions_newest_first(suite: &Suite) {
        let first = suite.staff().await;
        let second = login(suite, &first.user.email, PASSWORD).await.unwrap();
        suite.staff().await;
        let seen = sessions(&second).await;
        assert_eq!(seen.len(), 2);
        assert!(seen[0].current && !seen[1].current);
        assert_eq!(seen[0].client_ip, "127.0.0.1");
        assert!(seen[0].user_agent.starts_with("tonic/"), "{}", seen[0].user_agent);
        assert!(sessions(&first).await[1].current);

        let mut auth = second.clients.auth.clone();
        let request = ListSessionsRequest { page_size: 1, ..Default::default() };
        let page = auth.list_sessions(request.clone()).await.unwrap().into_inner();
        assert_eq!(page.sessions, seen[..1]);
        let request = ListSessionsRequest { page_token: page.next_page_token, ..request };
        let page = auth.list_sessions(request.clone()).await.unwrap().into_inner();
        assert_eq!((page.sessions.as_slice(), page.next_page_token.as_str()), (&seen[1..], ""));
        // The page token of another account is refused.
        let refused = failure(suite.staff().await.clients.auth.list_sessions(request).await);
        assert_eq!(refused.reason, "INVALID_PAGE_TOKEN");
    }

    async fn a_session_shows_the_user_agent_of_its_client(suite: &Suite) {
        let account = suite.staff().await;
        let body = json!({ "email": account.user.email, "password": PASSWORD }).to_string();
        for name in [
            "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            // A tonic client with its own user agent.
            "billing/2.1 tonic/0.14.9",
        ] {
            let headers = [("content-type", "application/json"), ("user-agent", name)];
            let path = "/api/auth/login/";
            let response = http1::send(suite.gateway, "POST", path, &headers, body.as_bytes()).await;
            assert_eq!(response.status, 200);
            assert_eq!(sessions(&account).await[0].user_agent, name);
        }
    }

    async fn a_revoked_session_cannot_be_refreshed(suite: &Suite) {
        let first = suite.staff().await;
        let second = login(suite, &first.user.email, PASSWORD).await.unwrap();
        let id = sessions(&first).await.into_iter().find(|session| !session.current).unwrap().id;
        let request = RevokeSessionRequest { id };
        let mut auth = first.clients.auth.clone();
        let ended = auth.revoke_session(request.clone()).await.unwrap().into_inner();
        assert!(ended.revoked_at.is_some());
        assert!(refresh(suite, &second.tokens.refresh).await.is_err());
        assert_eq!(sessions(&first).await.len(), 1);
        // Revoking it again changes nothing.
        assert_eq!(auth.revoke_session(request).await.unwrap().into_inner(), ended);
        let next = refresh(suite, &first.tokens.refresh).await.unwrap();
        // The session of the call may be revoked too.
        let request = RevokeSessionRequest { id: sessions(&first).await.remove(0).id };
        let ended = auth.revoke_session(request).await.unwrap().into_inner();
        assert!(ended.current && ended.revoked_at.is_some());
        assert!(refresh(suite, &next.refresh).await.is_err());
    }

    async fn revoking_another_accounts_session_gives_not_found(suite: &Suite) {
        let (mine, theirs) = (suite.staff().await, suite.staff().await);
        let id = sessions(&theirs).await.remove(0).id;
        let mut auth = mine.clients.auth.clone();
        let foreign = visible_error(auth.revoke_session(RevokeSessionRequest { id }).await);
        let id = suite.clock.new_id().to_string();
        let never = visible_error(auth.revoke_session(RevokeSessionRequest { id }).await);
        assert_eq!(foreign.0, Code::NotFound);
        assert_eq!(foreign, never);
        refresh(suite, &theirs.tokens.refresh).await.unwrap();
    }

    async fn logout_with_either_token_ends_the_session_and_is_idempotent(suite: &Suite) {
        let by_refresh = suite.staff().await;
        let request = LogoutRequest { refresh: by_refresh.tokens.refresh.clone() };
        for _ in 0..2 {
            suite.anonymous().auth.logout(request.clone()).await.unwrap();
        }
        assert!(refresh(suite, &by_refresh.tokens.refresh).await.is_err());

        let by_access = suite.staff().await;
        for _ in 0..2 {
            by_access.clients.auth.clone().logout(LogoutRequest::default()).await.unwrap();
        }
        assert!(refresh(suite, &by_access.tokens.refresh).await.is_err());

        // Other sessions continue, also the caller's if the refresh token is unknown.
        let other = suite.staff().await;
        let here = login(suite, &other.user.email, PASSWORD).await.unwrap();
        here.clients.auth.clone().logout(LogoutRequest::default()).await.unwrap();
        for refresh in ["A".repeat(43), "x".to_owned()] {
            let unknown = LogoutRequest { refresh };
            suite.anonymous().auth.logout(unknown.clone()).await.unwrap();
            other.clients.auth.clone().logout(unknown).await.unwrap();
        }
        refresh(suite, &other.tokens.refresh).await.unwrap();
        let neither = suite.anonymous().auth.logout(LogoutRequest::default()).await;
        assert_eq!(failure(neither).code, Code::Unauthenticated);
    }

    async fn logout_with_a_used_refresh_token_ends_its_session(suite: &Suite) {
        let first = suite.staff().await.tokens;
        let second = refresh(suite, &first.refresh).await.unwrap();
        let request = LogoutRequest { refresh: first.refresh };
        suite.anonymous().auth.logout(request).await.unwrap();
        assert!(refresh(suite, &second.refresh).await.is_err());
    }

    async fn changing_the_password_ends_all_other_sessions(suite: &Suite) {
        let here = suite.staff().await;
        let there = login(suite, &here.user.email, PASSWORD).await.unwrap();
        let request = ChangePasswordRequest {
            current_password: PASSWORD.into(),
            new_password: "another-long-secret".into(),
        };
        here.clients.auth.clone().change_password(request).await.unwrap();
        assert!(refresh(suite, &there.tokens.refresh).await.is_err());
        refresh(suite, &here.tokens.refresh).await.unwrap();
        assert!(login(suite, &here.user.email, PASSWORD).await.is_err());
        login(suite, &here.user.email, "another-long-secret").await.unwrap();
    }

    async fn changing_the_password_requires_the_current_and_a_valid_new_one(suite: &Suite) {
        let account = suite.staff().await;
        let mut auth = account.clients.auth.clone();
        let request = ChangePasswordRequest {
            current_password: "wrong-password-7".into(),
            new_password: "1234567890".into(),
        };
        let mut named = invalid_fields(auth.change_password(request).await);
        named.dedup();
        assert_eq!(named, ["current_password", "new_password"]);
        let request = ChangePasswordRequest {
            current_password: PASSWORD.into(),
            new_password: "Robin.Miller1".into(),
        };
        assert_eq!(invalid_fields(auth.change_password(request).await), ["new_password"]);
        assert_eq!(invalid_fields(auth.change_password(ChangePasswordRequest::default()).await), [
            "current_password",
            "new_password"
        ]);
        login(suite, &account.user.email, PASSWORD).await.unwrap();
    }
}
