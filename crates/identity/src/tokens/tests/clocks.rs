//! Validity times of tokens, also if the clocks of two machines differ.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

use super::*;

#[test]
fn clocks_may_differ_by_a_minute_in_either_direction() {
    let suite = suite();
    let now = suite.clock.unix();
    // The signer's clock is ahead by this many seconds.
    let signed = |ahead: i64| {
        move |_: &mut Header, p: &mut Value| {
            p["iat"] = json!(now + ahead);
            p["nbf"] = json!(now + ahead);
            p["exp"] = json!(now + ahead + 1);
        }
    };
    for ahead in [-50, -8, 0, 8, 20, 59] {
        assert!(suite.gateway.verify(&suite.forged(signed(ahead))).is_ok(), "{ahead}");
        assert!(suite.service.verify(&suite.forged_claims(signed(ahead))).is_ok(), "{ahead}");
    }
    for (ahead, refused) in [(-62, TokenError::Expired), (90, TokenError::NotYetValid)] {
        assert_eq!(suite.gateway.verify(&suite.forged(signed(ahead))), Err(refused));
        assert_eq!(suite.service.verify(&suite.forged_claims(signed(ahead))), Err(refused));
    }
}

#[test]
fn a_gateway_whose_clock_is_behind_accepts_fresh_tokens_and_their_claims() {
    let suite = suite();
    for seconds in [8, 20, 58].map(TimeDelta::seconds) {
        let token = suite.token();
        suite.clock.advance(-seconds);
        let access = suite.gateway.verify(&token).unwrap();
        let claims = text(&suite.forward.forward(&access, IP).unwrap());
        suite.clock.advance(seconds);
        // The service's clock is right.
        suite.service.verify(&claims).unwrap();
    }
}

#[test]
fn calls_with_an_old_token_get_their_full_time_if_the_gateways_clock_is_ahead() {
    let suite = suite();
    let token = suite.token();
    let access = suite.gateway.verify(&token).unwrap();
    suite.clock.advance(TimeDelta::seconds(15 * 60 + 55));
    assert!(suite.gateway.verify(&token).is_ok());
    let claims = text(&suite.forward.forward(&access, IP).unwrap());
    suite.clock.advance(TimeDelta::seconds(65));
    assert!(suite.service.verify(&claims).is_ok());
}

#[test]
fn a_clock_that_differs_is_logged_once_a_minute_with_the_difference() {
    let suite = suite();
    let now = suite.clock.unix();
    let from = |ahead: i64| {
        move |_: &mut Header, p: &mut Value| {
            p["iat"] = json!(now + ahead);
            p["nbf"] = json!(now + ahead);
            p["exp"] = json!(now + ahead + 900);
            p["jti"] = json!(Uuid::from_u128(ahead.unsigned_abs().into()));
        }
    };
    let access = |ahead: i64| suite.gateway.verify(&suite.forged(from(ahead))).is_ok();
    let claims = |ahead: i64| suite.service.verify(&suite.forged_claims(from(ahead))).is_ok();
    assert_eq!(logged(|| assert!(access(0) && claims(0))), Vec::<String>::new());
    // One line from each verifier, however many tokens there are.
    let log = logged(|| (0..20).for_each(|n| assert!(access(20 + n) && claims(20 + n))));
    assert_eq!(log.len(), 2, "{log:?}");
    for (line, issuer) in log.iter().zip(["clinic", "gateway"]) {
        assert!(line.contains("the clock of this machine is behind"), "{line}");
        assert!(line.contains(&format!("issuer=\"{issuer}\"")), "{line}");
        assert!(line.contains("seconds=20") || line.contains("seconds=19"), "{line}");
        assert!(line.contains("refused=false"), "{line}");
    }
    suite.clock.advance(TimeDelta::seconds(-61));
    let log = logged(|| assert!(!access(50) && !claims(50)));
    assert!(log.len() == 2 && log.iter().all(|line| line.contains("refused=true")), "{log:?}");
    // Claims are sent as soon as they are signed, so expired ones also show that clocks differ.
    suite.clock.advance(TimeDelta::seconds(61 + 900 + 300));
    let log = logged(|| assert!(!access(0) && !claims(1)));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("the clock of this machine is ahead"), "{log:?}");
    assert!(log[0].contains("seconds=299") || log[0].contains("seconds=300"), "{log:?}");
}

/// Returns the lines that `act` logs.
fn logged(act: impl FnOnce()) -> Vec<String> {
    thread_local!(static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
    struct Lines;
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            LINES.with_borrow_mut(|lines| lines.write(bytes))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // One subscriber for all threads: tracing lets only the first thread decide whether a line is
    // enabled.
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        tracing::callsite::rebuild_interest_cache();
    });
    LINES.take();
    act();
    String::from_utf8(LINES.take()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_cached_token_expires_with_the_token() {
    let suite = suite();
    let (token, claims) = (suite.token(), suite.forwarded());
    assert!(suite.service.verify(&claims).is_ok());
    suite.clock.advance(TimeDelta::seconds(120 + 60));
    assert_eq!(suite.service.verify(&claims), Err(TokenError::Expired));
    assert!(suite.gateway.verify(&token).is_ok());
    suite.clock.advance(TimeDelta::minutes(13));
    assert_eq!(suite.gateway.verify(&token), Err(TokenError::Expired));
}

#[test]
fn claims_are_signed_again_before_they_would_end_within_a_call() {
    let suite = suite();
    let access = suite.verified();
    let first = suite.forward.forward(&access, IP).unwrap();
    suite.clock.advance(TimeDelta::seconds(49));
    assert_eq!(suite.forward.forward(&access, IP).unwrap(), first);
    suite.clock.advance(TimeDelta::seconds(1));
    let second = suite.forward.forward(&access, IP).unwrap();
    assert_ne!(second, first);
    // The first claims stay valid for longer than the minute that a call may take.
    suite.clock.advance(TimeDelta::seconds(65));
    assert!(suite.service.verify(&text(&first)).is_ok());
    suite.clock.advance(TimeDelta::seconds(-65));
    assert_ne!(suite.forward.forward(&access, None).unwrap(), second);
}

#[test]
fn claims_outlive_the_access_token_by_the_call_that_it_began() {
    let suite = suite();
    let access = suite.verified();
    // The gateway accepts the token for a minute after its expiry.
    suite.clock.advance(TimeDelta::seconds(15 * 60 + 40));
    let header = suite.forward.forward(&access, IP).unwrap();
    assert_eq!(payload(&text(&header))["exp"], json!(access.exp + 60 + 70));
    assert_eq!(suite.forward.forward(&access, IP).unwrap(), header);
    suite.clock.advance(TimeDelta::seconds(20 + 69 + 60));
    assert!(suite.service.verify(&text(&header)).is_ok());
    suite.clock.advance(TimeDelta::seconds(1));
    assert_eq!(suite.service.verify(&text(&header)), Err(TokenError::Expired));
    // No call can begin with an expired token.
    let late = suite.forward.forward(&access, IP).unwrap();
    assert_eq!(suite.service.verify(&text(&late)), Err(TokenError::Expired));
}
