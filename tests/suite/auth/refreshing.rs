//! Refresh tokens.

use chrono::TimeDelta;
use clinic_proto::auth::v1::GetUserRequest;
use clinic_testkit::{Suite, failure, on_both};
use futures::future::join_all;
use tonic::{Code, Response, Status};

use super::{login, refresh};

async fn assert_refused(suite: &Suite, token: &str) {
    let response: Result<_, Status> = refresh(suite, token).await.map(Response::new);
    let refused = failure(response);
    assert_eq!(refused.code, Code::Unauthenticated);
    assert_eq!(refused.reason, "INVALID_TOKEN");
}

on_both! {
    async fn a_refresh_token_is_exchanged_for_new_tokens(suite: &Suite) {
        let first = suite.staff().await.tokens;
        let second = refresh(suite, &first.refresh).await.unwrap();
        assert_ne!(second.refresh, first.refresh);
        assert_ne!(second.access, first.access);
        let mut auth = suite.with_token(&second.access).auth;
        auth.get_user(GetUserRequest { id: "me".into() }).await.unwrap();
        refresh(suite, &second.refresh).await.unwrap();
    }

    async fn concurrent_refreshes_with_one_token_get_the_same_successor(suite: &Suite) {
        let account = suite.staff().await;
        let tabs = (0..20).map(|_| refresh(suite, &account.tokens.refresh));
        let tabs: Vec<_> = join_all(tabs).await.into_iter().map(Result::unwrap).collect();
        assert!(tabs.iter().all(|tokens| tokens.refresh == tabs[0].refresh));
        assert!(tabs.iter().all(|tokens| tokens.refresh_expires_at == tabs[0].refresh_expires_at));
        for tokens in &tabs {
            let mut auth = suite.with_token(&tokens.access).auth;
            auth.get_user(GetUserRequest { id: "me".into() }).await.unwrap();
        }
        suite.clock.advance(TimeDelta::minutes(5));
        refresh(suite, &tabs[0].refresh).await.unwrap();
    }

    async fn replaying_a_used_refresh_token_within_ten_seconds_gives_its_successor(suite: &Suite) {
        let first = suite.staff().await.tokens;
        let second = refresh(suite, &first.refresh).await.unwrap();
        suite.clock.advance(TimeDelta::seconds(8));
        let again = refresh(suite, &first.refresh).await.unwrap();
        assert_eq!(again.refresh, second.refresh);
    }

    async fn a_recently_used_refresh_token_gives_the_newest_token(suite: &Suite) {
        let first = suite.staff().await.tokens;
        let second = refresh(suite, &first.refresh).await.unwrap();
        suite.clock.advance(TimeDelta::seconds(1));
        let third = refresh(suite, &second.refresh).await.unwrap();
        suite.clock.advance(TimeDelta::seconds(1));
        let late = refresh(suite, &first.refresh).await.unwrap();
        assert_eq!(late.refresh, third.refresh);
        suite.clock.advance(TimeDelta::seconds(11));
        let fourth = refresh(suite, &late.refresh).await.unwrap();
        // The third was used eight seconds ago, so it still gives the fourth.
        suite.clock.advance(TimeDelta::seconds(8));
        assert_eq!(refresh(suite, &third.refresh).await.unwrap().refresh, fourth.refresh);
        refresh(suite, &fourth.refresh).await.unwrap();
    }

    async fn replaying_a_used_refresh_token_ends_the_family(suite: &Suite) {
        let account = suite.staff().await;
        let elsewhere = login(suite, &account.user.email, clinic_testkit::PASSWORD).await.unwrap();
        let second = refresh(suite, &account.tokens.refresh).await.unwrap();
        suite.clock.advance(TimeDelta::seconds(11));
        let third = refresh(suite, &second.refresh).await.unwrap();

        assert_refused(suite, &account.tokens.refresh).await;
        assert_refused(suite, &third.refresh).await;
        assert_refused(suite, &second.refresh).await;
        // Another sign-in of the same account is another family.
        refresh(suite, &elsewhere.tokens.refresh).await.unwrap();
    }

    async fn a_refresh_token_expires_seven_days_after_it_was_issued(suite: &Suite) {
        let account = suite.staff().await;
        suite.clock.advance(TimeDelta::days(6));
        let second = refresh(suite, &account.tokens.refresh).await.unwrap();
        suite.clock.advance(TimeDelta::days(6));
        let third = refresh(suite, &second.refresh).await.unwrap();
        suite.clock.advance(TimeDelta::days(7) + TimeDelta::seconds(1));
        assert_refused(suite, &third.refresh).await;
    }

    async fn unknown_and_malformed_refresh_tokens_are_refused(suite: &Suite) {
        let tokens = suite.staff().await.tokens;
        let cut = &tokens.refresh[1..];
        let longer = format!("{}A", tokens.refresh);
        let stranger = "A".repeat(43);
        for token in ["x", cut, &longer, &stranger, &tokens.access[..512.min(tokens.access.len())]] {
            assert_refused(suite, token).await;
        }
        refresh(suite, &tokens.refresh).await.unwrap();
    }

    async fn a_refresh_succeeds_with_an_expired_access_token(suite: &Suite) {
        let account = suite.staff().await;
        // The lifetime of 15 minutes and the clock tolerance of one minute.
        suite.clock.advance(TimeDelta::minutes(16));
        let expired = account.clients.auth.clone().get_user(GetUserRequest { id: "me".into() }).await;
        assert_eq!(failure(expired).code, Code::Unauthenticated);
        let request = clinic_proto::auth::v1::RefreshRequest { refresh: account.tokens.refresh };
        account.clients.auth.clone().refresh(request).await.unwrap();
    }
}
