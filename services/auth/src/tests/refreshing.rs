//! Tests of refresh tokens: rotation, replay, and the end of a session.

use futures::future::join_all;

use super::*;

on_both! {
    tabs_that_refresh_within_the_window_are_never_signed_out
    tabs_with_tokens_of_every_age_that_refresh_at_once_are_not_signed_out
    the_successors_that_a_replay_follows_are_bounded
    a_replay_of_an_ended_session_gives_nothing
    a_logout_with_a_token_that_is_being_used_ends_the_session
    the_planner_uses_the_index_of_refresh_tokens
    no_token_is_stored
}

/// A session as its tabs see it: every refresh token, with the time of its first use.
struct Family {
    tokens: Vec<(String, Option<i64>)>,
    /// Index of the token that each tab holds.
    tabs: Vec<usize>,
    now: i64,
}

impl Family {
    /// A token can be used for ten seconds after its first use. Less here, because the clock also
    /// runs.
    const WINDOW: i64 = 8;

    async fn refresh(&mut self, suite: &Suite, tab: usize) {
        let newest = self.tokens.len() - 1;
        let held = self.tabs[tab];
        let response = suite.refresh(&self.tokens[held].0).await.map(|tokens| tokens.refresh);
        let response =
            response.unwrap_or_else(|_| panic!("tab {tab} with token {held} of {newest}"));
        if held == newest {
            self.tokens[held].1 = Some(self.now);
            self.tokens.push((response, None));
        } else {
            assert!(response == self.tokens[newest].0, "the newest is {newest}");
        }
        self.tabs[tab] = self.tokens.len() - 1;
    }

    /// Refreshes the tabs whose token would be too old afterwards, and advances the clock.
    async fn pass(&mut self, suite: &Suite, seconds: i64) {
        for tab in 0..self.tabs.len() {
            let used_at = self.tokens[self.tabs[tab]].1;
            if used_at.is_some_and(|at| self.now + seconds > at + Self::WINDOW) {
                self.refresh(suite, tab).await;
            }
        }
        self.now += seconds;
        suite.advance(seconds);
    }
}

async fn tabs_that_refresh_within_the_window_are_never_signed_out(suite: &Suite) {
    for seed in 1..=8_u64 {
        let account = suite.register(&format!("a{seed}@example.com")).await;
        let tokens = vec![(account.tokens.refresh, None)];
        let mut family = Family { tokens, tabs: vec![0; 4], now: 0 };
        // xorshift: the same order of events in every run.
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below).unwrap()
        };
        for _ in 0..30 {
            family.refresh(suite, random(4)).await;
            let pause = [0, 0, 1, 3, 7, 600][random(6)];
            family.pass(suite, pause).await;
        }
        // A thief's replay after the window still ends the session for all.
        family.refresh(suite, 0).await;
        let used = family.tabs[0] - 1;
        family.pass(suite, 20).await;
        assert_eq!(code(suite.refresh(&family.tokens[used].0).await), Code::Unauthenticated);
        for tab in &family.tabs {
            assert_eq!(code(suite.refresh(&family.tokens[*tab].0).await), Code::Unauthenticated);
        }
    }
}

async fn tabs_with_tokens_of_every_age_that_refresh_at_once_are_not_signed_out(suite: &Suite) {
    let mut held = vec![suite.register("a@example.com").await.tokens.refresh];
    for _ in 0..4 {
        held.push(suite.refresh(held.last().unwrap()).await.unwrap().refresh);
    }
    for _ in 0..4 {
        let responses = join_all(held.iter().map(|token| suite.refresh(token))).await;
        held = responses.into_iter().map(|response| response.unwrap().refresh).collect();
    }
    let newest = suite.refresh(&held[0]).await.unwrap();
    suite.advance(60);
    assert!(suite.refresh(&newest.refresh).await.is_ok());
}

async fn the_successors_that_a_replay_follows_are_bounded(suite: &Suite) {
    let first = suite.register("a@example.com").await.tokens;
    let mut newest = first.clone();
    for _ in 0..64 {
        newest = suite.refresh(&newest.refresh).await.unwrap();
    }
    assert_eq!(suite.refresh(&first.refresh).await.unwrap().refresh, newest.refresh);
    newest = suite.refresh(&newest.refresh).await.unwrap();
    assert_eq!(code(suite.refresh(&first.refresh).await), Code::Unauthenticated);
    // This is not treated as theft: the session continues.
    assert!(suite.refresh(&newest.refresh).await.is_ok());
}

async fn a_replay_of_an_ended_session_gives_nothing(suite: &Suite) {
    let first = suite.register("a@example.com").await.tokens;
    let second = suite.refresh(&first.refresh).await.unwrap();
    let third = suite.refresh(&second.refresh).await.unwrap();
    let logout = clinic_proto::auth::v1::LogoutRequest { refresh: third.refresh.clone() };
    suite.auth.logout(&suite.nobody(), logout).await.unwrap();
    for token in [&first, &second, &third] {
        assert_eq!(code(suite.refresh(&token.refresh).await), Code::Unauthenticated);
    }
}

async fn a_logout_with_a_token_that_is_being_used_ends_the_session(suite: &Suite) {
    use crate::tokens::RefreshToken;
    let account = suite.register("a@example.com").await;
    let (used, successor) =
        (RefreshToken::parse(&account.tokens.refresh).unwrap(), RefreshToken::generate());
    let mut work = suite.auth.db.work(&Origin::operator(Clock::system().now())).await.unwrap();
    let rotate = Query::new("UPDATE sessions SET refresh_hash = $1").bind(successor.hash());
    assert_eq!(work.untracked(rotate).await.unwrap(), 1);
    let insert = Query::new(
        "INSERT INTO used_refresh_tokens SELECT $1, id, created_at, $1, expires_at FROM sessions",
    );
    assert_eq!(work.untracked(insert.bind(used.hash())).await.unwrap(), 1);
    let logout = clinic_proto::auth::v1::LogoutRequest { refresh: used.text() };
    let caller = suite.nobody();
    let (ended, ()) = tokio::join!(suite.auth.logout(&caller, logout), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        work.save().await.unwrap();
    });
    ended.unwrap();
    assert_eq!(code(suite.refresh(&successor.text()).await), Code::Unauthenticated);
}

async fn the_planner_uses_the_index_of_refresh_tokens(suite: &Suite) {
    suite
        .plans_with(
            "EXPLAIN QUERY PLAN UPDATE sessions SET last_used_at = '' WHERE refresh_hash = x'00' \
             AND revoked_at IS NULL AND expires_at > '' RETURNING id, user_id",
            "sessions_refresh_hash_key",
        )
        .await;
}

async fn no_token_is_stored(suite: &Suite) {
    let account = suite.register("a@example.com").await;
    let successor = suite.refresh(&account.tokens.refresh).await.unwrap();
    let mut stored = Vec::new();
    let query = Query::new("SELECT hash, successor_salt FROM used_refresh_tokens");
    let used: Vec<(Vec<u8>, Vec<u8>)> = suite.auth.db.fetch_all(query).await.unwrap();
    stored.extend(used.into_iter().flat_map(|(hash, salt)| [hash, salt]));
    let query = Query::new("SELECT refresh_hash FROM sessions");
    let current: Vec<(Vec<u8>,)> = suite.auth.db.fetch_all(query).await.unwrap();
    stored.extend(current.into_iter().map(|(hash,)| hash));
    assert_eq!(stored.len(), 3);
    // No stored value is a token or can be used as one.
    for stored in stored {
        use base64::Engine as _;
        let text = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(stored);
        assert_ne!(text, account.tokens.refresh);
        assert_ne!(text, successor.refresh);
        assert!(suite.refresh(&text).await.is_err());
    }
}
