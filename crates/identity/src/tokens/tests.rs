mod clocks;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use chrono::TimeDelta;
use clinic_clock::Clock;
use clinic_proto::access::v1::Role;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::TokenError;
use super::access::{AccessSigner, AccessVerifier, Authenticated};
use super::claims::{Claims, ClaimsSigner, ClaimsVerifier};
use crate::keys::{ActsFor, KeyDir, SigningKeys};
use crate::{Principal, Roles, User};

struct Suite {
    directory: tempfile::TempDir,
    keys: KeyDir,
    clock: Clock,
    access: AccessSigner,
    gateway: AccessVerifier,
    forward: ClaimsSigner,
    service: ClaimsVerifier,
}

const IP: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

fn suite() -> Suite {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::movable();
    let keys = KeyDir::new(directory.path());
    keys.init(&clock).unwrap();
    clock.advance(TimeDelta::minutes(1));
    let ttl = TimeDelta::minutes(15);
    let access = AccessSigner::open(&keys, "clinic", ttl, clock.clone()).unwrap();
    let gateway = AccessVerifier::new(clock.clone());
    gateway.set_keys(access.jwks());
    let forward = ClaimsSigner::open(&keys, "gateway", clock.clone()).unwrap();
    let service = ClaimsVerifier::open(&keys, clock.clone()).unwrap();
    Suite { directory, keys, clock, access, gateway, forward, service }
}

fn account() -> User {
    User {
        id: Uuid::from_u128(1),
        session_id: Uuid::from_u128(2),
        roles: Roles::from_iter([Role::Staff, Role::Doctor]),
        email_verified: true,
    }
}

impl Suite {
    fn token(&self) -> String {
        self.access.sign(&account()).unwrap().0
    }

    fn verified(&self) -> Arc<Authenticated> {
        self.gateway.verify(&self.token()).unwrap()
    }

    fn forwarded(&self) -> String {
        text(&self.forward.forward(&self.verified(), IP).unwrap())
    }

    /// Returns a token with a changed header and payload, signed with auth's key.
    fn forged(&self, change: impl FnOnce(&mut Header, &mut Value)) -> String {
        let keys = SigningKeys::read(&self.keys.access(), None).unwrap();
        forged(&self.token(), &keys.at(self.clock.unix()).unwrap().key, change)
    }

    fn forged_claims(&self, change: impl FnOnce(&mut Header, &mut Value)) -> String {
        let keys = SigningKeys::read(&self.keys.issuer("gateway"), None).unwrap();
        forged(&self.forwarded(), &keys.at(self.clock.unix()).unwrap().key, change)
    }
}

fn text(header: &http::HeaderValue) -> String {
    header.to_str().unwrap().to_owned()
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64.decode(payload).unwrap()).unwrap()
}

fn forged(token: &str, key: &EncodingKey, change: impl FnOnce(&mut Header, &mut Value)) -> String {
    let mut header = jsonwebtoken::decode_header(token).unwrap();
    let mut payload = payload(token);
    change(&mut header, &mut payload);
    jsonwebtoken::encode(&header, &payload, key).unwrap()
}

#[test]
fn an_access_token_identifies_the_account_without_personal_data() {
    let suite = suite();
    let (token, expires) = suite.access.sign(&account()).unwrap();
    let verified = suite.gateway.verify(&token).unwrap();
    assert_eq!(verified.principal, Principal::User(account()));
    assert_eq!(verified.exp, expires.timestamp());
    assert_eq!(expires.timestamp(), suite.clock.unix() + 15 * 60);
    let mut names: Vec<_> = payload(&token).as_object().unwrap().keys().cloned().collect();
    names.sort();
    let expected =
        ["aud", "email_verified", "exp", "iat", "iss", "jti", "nbf", "roles", "sid", "sub"];
    assert_eq!(names, expected);
}

#[test]
fn forwarded_claims_identify_the_caller_to_the_service() {
    let suite = suite();
    let caller = suite.service.verify(&suite.forwarded()).unwrap();
    assert_eq!(*caller, Claims { principal: Principal::User(account()), client_ip: IP });
    let nobody = suite
        .service
        .verify(&text(&suite.forward.forward(&Authenticated::ANONYMOUS, IP).unwrap()))
        .unwrap();
    assert_eq!(*nobody, Claims { principal: Principal::Anonymous, client_ip: IP });
    let service = suite.service.verify(&text(&suite.forward.as_service().unwrap())).unwrap();
    assert!(service.principal.is_service("gateway"));
}

/// Processes of two releases run side by side during an upgrade.
#[test]
fn forwarded_claims_have_the_form_that_other_releases_read_and_write() {
    let suite = suite();
    let keys = SigningKeys::read(&suite.keys.issuer("gateway"), None).unwrap();
    let key = &keys.at(suite.clock.unix()).unwrap().key;
    let user = json!({
        "kind": "user",
        "sub": "00000000-0000-0000-0000-000000000001",
        "sid": "00000000-0000-0000-0000-000000000002",
        "roles": ["staff", "doctor"],
        "email_verified": true,
        "client_ip": "192.0.2.7",
    });
    let anonymous = json!({ "kind": "anonymous", "client_ip": "192.0.2.7" });
    let service = json!({ "kind": "service" });
    let headers = [
        (user, suite.forward.forward(&suite.verified(), IP)),
        (anonymous, suite.forward.forward(&Authenticated::ANONYMOUS, IP)),
        (service, suite.forward.as_service()),
    ];
    for (claims, header) in headers {
        let token = text(&header.unwrap());
        let mut written = payload(&token);
        let envelope = written.as_object_mut().unwrap();
        for name in ["iss", "aud", "iat", "nbf", "exp", "jti"] {
            assert!(envelope.remove(name).is_some(), "{name}");
        }
        assert_eq!(written, claims);
        let literal = forged(&token, key, |_, payload| {
            let payload = payload.as_object_mut().unwrap();
            payload.extend(claims.as_object().unwrap().clone());
        });
        assert_eq!(suite.service.verify(&literal), suite.service.verify(&token));
        assert!(suite.service.verify(&literal).is_ok());
    }
}

#[test]
fn another_algorithm_is_refused() {
    let suite = suite();
    let token = suite.token();
    let [_, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let kid = suite.access.jwks()[0].kid.clone();
    for alg in ["none", "None", "NONE", ""] {
        let header = json!({"typ": "at+jwt", "alg": alg, "kid": kid}).to_string();
        let header = BASE64.encode(header);
        for signature in ["", signature] {
            let token = format!("{header}.{body}.{signature}");
            assert_eq!(suite.gateway.verify(&token), Err(TokenError::Algorithm), "{alg}");
        }
    }
    // The public key, in both published forms, as the secret of an HMAC.
    let x = suite.access.jwks()[0].x.clone();
    for secret in [BASE64.decode(&x).unwrap(), x.into_bytes()] {
        let forged = forged(&token, &EncodingKey::from_secret(&secret), |header, _| {
            header.alg = Algorithm::HS256;
        });
        assert_eq!(suite.gateway.verify(&forged), Err(TokenError::Algorithm));
    }
}

#[test]
fn each_check_of_the_envelope_is_made() {
    let suite = suite();
    let now = suite.clock.unix();
    type Change = Box<dyn Fn(&mut Header, &mut Value)>;
    let cases: Vec<(&str, TokenError, Change)> = vec![
        ("no typ", TokenError::Type, Box::new(|h, _| h.typ = None)),
        ("typ", TokenError::Type, Box::new(|h, _| h.typ = Some("JWT".into()))),
        ("no kid", TokenError::UnknownKey, Box::new(|h, _| h.kid = None)),
        ("kid", TokenError::UnknownKey, Box::new(|h, _| h.kid = Some("../x".into()))),
        ("crit", TokenError::Malformed, Box::new(|h, _| h.crit = Some(vec!["b64".into()]))),
        ("iss", TokenError::Issuer, Box::new(|_, p| p["iss"] = json!("other"))),
        ("aud", TokenError::Audience, Box::new(|_, p| p["aud"] = json!("other"))),
        ("auds", TokenError::Malformed, Box::new(|_, p| p["aud"] = json!(["clinic", "other"]))),
        ("expired", TokenError::Expired, Box::new(move |_, p| p["exp"] = json!(now - 60))),
        ("nbf", TokenError::NotYetValid, Box::new(move |_, p| p["nbf"] = json!(now + 90))),
        ("iat", TokenError::NotYetValid, Box::new(move |_, p| p["iat"] = json!(now + 90))),
        ("sub", TokenError::Malformed, Box::new(|_, p| p["sub"] = json!("me"))),
    ];
    for (name, expected, change) in &cases {
        let access = suite.forged(change);
        assert_eq!(suite.gateway.verify(&access), Err(*expected), "access: {name}");
        let claims = suite.forged_claims(change);
        assert_eq!(suite.service.verify(&claims), Err(*expected), "claims: {name}");
    }
    for claim in ["iss", "aud", "exp", "nbf", "iat", "sub", "sid", "jti"] {
        let remove = |_: &mut Header, p: &mut Value| {
            p.as_object_mut().unwrap().remove(claim);
        };
        let (access, claims) = (suite.forged(remove), suite.forged_claims(remove));
        assert_eq!(suite.gateway.verify(&access), Err(TokenError::Malformed), "{claim}");
        assert_eq!(suite.service.verify(&claims), Err(TokenError::Malformed), "{claim}");
    }
    // The forging itself is not the reason for the rejections.
    assert!(suite.gateway.verify(&suite.forged(|_, _| ())).is_ok());
    assert!(suite.service.verify(&suite.forged_claims(|_, _| ())).is_ok());
}

#[test]
fn a_damaged_token_is_refused() {
    let suite = suite();
    let token = suite.token();
    for end in 0..token.len() {
        assert!(suite.gateway.verify(&token[..end]).is_err(), "cut at {end}");
    }
    let [header, body, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let mut claims = payload(&token);
    claims["roles"] = json!(["admin"]);
    let promoted = BASE64.encode(claims.to_string());
    for (token, expected) in [
        (format!("{header}.{promoted}.{signature}"), TokenError::Signature),
        (format!("{header}.{body}.{}", BASE64.encode([0; 64])), TokenError::Signature),
        (format!("{header}.{body}.{signature}.{signature}"), TokenError::Malformed),
        ("e30.e30.".to_owned(), TokenError::Algorithm),
        ("..".to_owned(), TokenError::Algorithm),
        (format!("{token}{}", "A".repeat(100_000)), TokenError::TooLong),
        ("A".repeat(100_000), TokenError::TooLong),
    ] {
        assert_eq!(suite.gateway.verify(&token), Err(expected));
    }
}

#[test]
fn a_token_of_one_kind_is_refused_as_the_other_kind() {
    let suite = suite();
    assert_eq!(suite.service.verify(&suite.token()), Err(TokenError::Type));
    assert_eq!(suite.gateway.verify(&suite.forwarded()), Err(TokenError::Type));
    // Even with the right `typ`: the keys of one kind are unknown to the other.
    let typ = |typ: &str, token: &str, key| {
        forged(token, key, |header, _| header.typ = Some(typ.to_owned()))
    };
    let keys = SigningKeys::read(&suite.keys.access(), None).unwrap();
    let token = typ("clinic-claims+jwt", &suite.token(), &keys.at(suite.clock.unix()).unwrap().key);
    assert_eq!(suite.service.verify(&token), Err(TokenError::UnknownKey));
    let keys = SigningKeys::read(&suite.keys.issuer("gateway"), None).unwrap();
    let token = typ("at+jwt", &suite.forwarded(), &keys.at(suite.clock.unix()).unwrap().key);
    assert_eq!(suite.gateway.verify(&token), Err(TokenError::UnknownKey));
    // A refresh token is not a JWT.
    let refresh = BASE64.encode([7; 32]);
    assert_eq!(suite.gateway.verify(&refresh), Err(TokenError::Malformed));
}

#[test]
fn a_key_of_another_suite_is_refused_also_under_a_known_id() {
    let (ours, theirs) = (suite(), suite());
    assert_eq!(ours.gateway.verify(&theirs.token()), Err(TokenError::UnknownKey));
    assert_eq!(ours.service.verify(&theirs.forwarded()), Err(TokenError::UnknownKey));
    let kid = ours.access.jwks()[0].kid.clone();
    let token = theirs.forged(|header, _| header.kid = Some(kid));
    assert_eq!(ours.gateway.verify(&token), Err(TokenError::Signature));
}

#[test]
fn a_service_can_sign_claims_only_for_itself() {
    let suite = suite();
    let records = ClaimsSigner::open(&suite.keys, "records", suite.clock.clone()).unwrap();
    let itself = suite.service.verify(&text(&records.as_service().unwrap())).unwrap();
    assert!(itself.principal.is_service("records"));
    let user = text(&records.forward(&suite.verified(), IP).unwrap());
    assert_eq!(suite.service.verify(&user), Err(TokenError::NotAllowed));
    let nobody = text(&records.forward(&Authenticated::ANONYMOUS, IP).unwrap());
    assert_eq!(suite.service.verify(&nobody), Err(TokenError::NotAllowed));
    // It cannot use another issuer's name either.
    let keys = SigningKeys::read(&suite.keys.issuer("records"), None).unwrap();
    let key = &keys.at(suite.clock.unix()).unwrap().key;
    let other = forged(&text(&records.as_service().unwrap()), key, |_, payload| {
        payload["iss"] = json!("gateway");
    });
    assert_eq!(suite.service.verify(&other), Err(TokenError::Issuer));
}

#[test]
fn no_account_is_a_service() {
    let suite = suite();
    let roles = |_: &mut Header, p: &mut Value| p["roles"] = json!(["service"]);
    assert_eq!(suite.gateway.verify(&suite.forged(roles)), Err(TokenError::NotAllowed));
    assert_eq!(suite.service.verify(&suite.forged_claims(roles)), Err(TokenError::NotAllowed));
}

#[test]
fn caches_are_bounded_and_do_not_store_refused_tokens() {
    let suite = suite();
    for n in 0..50 {
        assert!(suite.gateway.verify(&format!("a.b.{n}")).is_err());
        assert!(suite.service.verify(&format!("a.b.{n}")).is_err());
    }
    assert_eq!((suite.gateway.cache.len(), suite.service.cache.len()), (0, 0));
    let token = suite.token();
    for _ in 0..5 {
        suite.gateway.verify(&token).unwrap();
    }
    assert_eq!(suite.gateway.cache.len(), 1);
    let access = suite.verified();
    for n in 0..u32::try_from(super::CACHED).unwrap() + 500 {
        suite.forward.forward(&access, Some(Ipv4Addr::from_bits(n).into())).unwrap();
    }
    assert!(suite.forward.cache.len() <= super::CACHED + 100, "{}", suite.forward.cache.len());
}

#[test]
fn rotated_keys_are_used_without_a_restart() {
    let suite = suite();
    let (token, claims) = (suite.token(), suite.forwarded());
    suite.keys.rotate(&suite.clock).unwrap();
    let old = jsonwebtoken::decode_header(&token).unwrap().kid;
    // Published first: a process that reads the keys every 30 s has them before they sign, even if
    // they were created by a clock that is a minute behind.
    for seconds in [31, 60] {
        suite.clock.advance(TimeDelta::seconds(seconds));
        assert_eq!(suite.access.jwks().len(), 2);
        assert_eq!(jsonwebtoken::decode_header(suite.token()).unwrap().kid, old);
    }
    suite.clock.advance(TimeDelta::seconds(5));
    let (new_token, new_claims) = (suite.token(), suite.access.jwks());
    assert_eq!(new_claims.len(), 2);
    assert_eq!(suite.gateway.verify(&new_token), Err(TokenError::UnknownKey));
    suite.gateway.set_keys(suite.access.jwks());
    for token in [&token, &new_token] {
        assert!(suite.gateway.verify(token).is_ok());
    }
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let new_claims = suite.forwarded();
    assert_ne!(kid(&claims), kid(&new_claims));
    for claims in [&claims, &new_claims] {
        assert!(suite.service.verify(claims).is_ok());
    }
}

#[test]
fn an_unknown_key_rereads_the_files_at_most_once_a_second() {
    let suite = suite();
    let stranger = suite.forged_claims(|header, _| header.kid = Some("stranger".into()));
    assert_eq!(suite.service.verify(&stranger), Err(TokenError::UnknownKey));
    suite.keys.add_issuer("reports", ActsFor::Itself, &suite.clock).unwrap();
    let reports = ClaimsSigner::open(&suite.keys, "reports", suite.clock.clone()).unwrap();
    let claims = text(&reports.as_service().unwrap());
    assert_eq!(suite.service.verify(&claims), Err(TokenError::UnknownKey));
    suite.clock.advance(TimeDelta::seconds(1));
    assert!(suite.service.verify(&claims).unwrap().principal.is_service("reports"));
}

#[test]
fn a_removed_issuer_is_no_longer_trusted_after_30_seconds() {
    let suite = suite();
    suite.clock.advance(TimeDelta::minutes(1));
    let records = ClaimsSigner::open(&suite.keys, "records", suite.clock.clone()).unwrap();
    let claims = text(&records.as_service().unwrap());
    assert!(suite.service.verify(&claims).is_ok());
    fs::remove_file(suite.directory.path().join("trusted/records.json")).unwrap();
    suite.clock.advance(TimeDelta::seconds(31));
    assert_eq!(suite.service.verify(&claims), Err(TokenError::UnknownKey));
}

#[test]
fn an_unusable_file_does_not_block_changes_to_others() {
    let suite = suite();
    let claims = |name: &str| {
        let signer = ClaimsSigner::open(&suite.keys, name, suite.clock.clone()).unwrap();
        text(&signer.as_service().unwrap())
    };
    let (records, assignment) = (claims("records"), claims("assignment"));
    let trusted = suite.directory.path().join("trusted");
    fs::write(trusted.join("auth.json"), "{").unwrap();
    fs::write(trusted.join("assignment.json"), "{").unwrap();
    fs::remove_file(trusted.join("records.json")).unwrap();
    suite.clock.advance(TimeDelta::seconds(31));
    assert_eq!(suite.service.verify(&records), Err(TokenError::UnknownKey));
    assert!(suite.service.verify(&assignment).unwrap().principal.is_service("assignment"));

    // The same with private keys: a removed one is no longer published.
    let old = suite.access.jwks();
    fs::remove_file(trusted.join("auth.json")).unwrap();
    fs::remove_file(trusted.join("assignment.json")).unwrap();
    suite.keys.init(&suite.clock).unwrap();
    suite.keys.rotate(&suite.clock).unwrap();
    suite.clock.advance(TimeDelta::seconds(31));
    let both = suite.access.jwks();
    let file = |kid: &str| suite.directory.path().join(format!("access/{kid}.pem"));
    fs::write(file(&both[0].kid), "").unwrap();
    fs::remove_file(file(&old[0].kid)).unwrap();
    suite.clock.advance(TimeDelta::seconds(31));
    assert_eq!(suite.access.jwks(), both[..1]);
    assert!(both[..1] != old[..]);
}

#[test]
fn keys_stay_in_use_while_their_files_cannot_be_read() {
    let suite = suite();
    let moved = suite.directory.path().join("away");
    for name in ["access", "issuers", "trusted"] {
        fs::create_dir_all(&moved).unwrap();
        fs::rename(suite.directory.path().join(name), moved.join(name)).unwrap();
    }
    suite.clock.advance(TimeDelta::minutes(2));
    assert!(suite.service.verify(&suite.forwarded()).is_ok());
}

#[test]
fn removing_a_key_invalidates_cached_tokens_that_it_verified() {
    let suite = suite();
    let token = suite.token();
    assert!(suite.gateway.verify(&token).is_ok());
    suite.gateway.set_keys(Vec::new());
    assert_eq!(suite.gateway.verify(&token), Err(TokenError::UnknownKey));
}

#[test]
fn a_signed_header_does_not_print_its_value() {
    let suite = suite();
    let header = suite.forward.as_service().unwrap();
    assert_eq!(format!("{header:?}"), "Sensitive");
}
