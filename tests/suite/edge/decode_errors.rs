//! Requests that cannot be decoded: the error tells the client what is wrong.

use std::net::SocketAddr;
use std::time::Duration;

use clinic_identity::{Authenticated, CLAIMS_HEADER, ClaimsSigner};
use clinic_proto::auth::v1::LoginRequest;
use clinic_testkit::{Backend, Suite, run};
use flate2::{Compress, Compression, FlushCompress};
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_types::StatusExt as _;

use super::compression::{Raw, framed, gzip, raw};

const LOGIN: &str = "/clinic.auth.v1.AuthService/Login";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECT: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Calls auth directly, with the claims that the gateway signs for a client without a token.
async fn at_auth(suite: &Suite, headers: &[(&str, &str)], body: Vec<u8>) -> Raw {
    let signer = ClaimsSigner::open(&suite.keys(), "gateway", suite.clock.clone()).unwrap();
    let claims = signer.forward(&Authenticated::ANONYMOUS, None).unwrap();
    let headers = [&[(CLAIMS_HEADER, claims.to_str().unwrap())], headers].concat();
    raw(channel(suite.auth).await, LOGIN, &headers, body).await
}

async fn at_gateway(suite: &Suite, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Raw {
    raw(channel(suite.gateway).await, path, headers, body).await
}

fn reason(status: &Status) -> (Code, String) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no reason: {status:?}"));
    (status.code(), info.reason.clone())
}

fn is(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

fn login() -> Vec<u8> {
    let (email, password) = ("a@example.com".to_owned(), "wrong-password-7".to_owned());
    LoginRequest { email, password, ..LoginRequest::default() }.encode_to_vec()
}

/// Returns about 3 MiB of gzip that inflate to 3 GiB: one block of zeros, repeated.
fn bomb() -> Vec<u8> {
    let (mut deflate, mut block) = (Compress::new(Compression::best(), false), Vec::new());
    block.reserve(64 * 1024);
    deflate.compress_vec(&[0; 1024 * 1024], &mut block, FlushCompress::Full).unwrap();
    assert!(block.len() < 2 * 1024, "{} bytes", block.len());
    [&b"\x1f\x8b\x08\0\0\0\0\0\0\xff"[..], &block.repeat(3 * 1024 * 1024 / block.len())].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_inflates_beyond_the_limit_is_too_large() {
    run(Backend::Sqlite, async |suite| {
        let headers = [("grpc-encoding", "gzip")];
        let bomb = framed(1, &gzip(&vec![0; 5 * 1024 * 1024]));
        let refused = async |body: Vec<u8>| {
            [
                at_gateway(suite, LOGIN, &headers, body.clone()).await.status(),
                at_auth(suite, &headers, body.clone()).await.status(),
                // Health and reflection have their own limit, also without a token.
                at_gateway(suite, CHECK, &headers, body.clone()).await.status(),
                at_gateway(suite, REFLECT, &headers, body).await.status(),
            ]
        };
        for status in refused(bomb).await {
            assert_eq!(reason(&status), is(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decompression_bomb_is_not_inflated_to_its_end() {
    run(Backend::Sqlite, async |suite| {
        let headers = [("grpc-encoding", "gzip")];
        let call = at_gateway(suite, LOGIN, &headers, framed(1, &bomb()));
        // Inflating all of it would take minutes.
        let refused = tokio::time::timeout(Duration::from_secs(20), call).await.unwrap();
        let expected = is(Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
        assert_eq!(reason(&refused.status()), expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undecodable_body_is_an_invalid_argument() {
    run(Backend::Sqlite, async |suite| {
        let malformed = is(Code::InvalidArgument, "MALFORMED_CALL");
        let packed = gzip(&login());
        let half = &packed[..packed.len() / 2];
        let gzip = [("grpc-encoding", "gzip")];
        for (what, headers, body) in [
            ("a flag without an encoding", &[][..], framed(1, &packed)),
            ("a flag and no compression", &[("grpc-encoding", "identity")], framed(1, &packed)),
            ("a flag that does not exist", &[], framed(2, &login())),
            ("the flag of trailers", &[], framed(0x80, &login())),
            ("half a frame", &[], framed(0, &login())[..9].to_vec()),
            ("not gzip", &gzip, framed(1, &login())),
            ("half of the gzip", &gzip, framed(1, half)),
            ("not protobuf", &gzip, framed(1, &super::compression::gzip(b"\xff\xff"))),
        ] {
            let status = at_auth(suite, headers, body.clone()).await.status();
            assert_eq!(reason(&status), malformed, "{what}");
            let status = at_gateway(suite, LOGIN, headers, body).await.status();
            assert_eq!(reason(&status), malformed, "{what}, through the gateway");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_encoding_is_refused_with_the_list_of_known_encodings() {
    run(Backend::Sqlite, async |suite| {
        for encoding in ["deflate", "zstd", "snappy", "GZIP", "gzip, gzip"] {
            let headers = [("grpc-encoding", encoding)];
            let request = HealthCheckRequest::default().encode_to_vec();
            for response in [
                at_auth(suite, &headers, framed(1, &login())).await,
                at_gateway(suite, LOGIN, &headers, framed(1, &login())).await,
                // Also if the message is not compressed.
                at_gateway(suite, LOGIN, &headers, framed(0, &login())).await,
                at_gateway(suite, CHECK, &headers, framed(1, &request)).await,
            ] {
                let status = response.status();
                assert_eq!(reason(&status), is(Code::Unimplemented, "UNKNOWN_ENCODING"));
                assert_eq!(response.headers["grpc-accept-encoding"], "gzip,identity");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_size_limit_gets_message_too_large() {
    run(Backend::Sqlite, async |suite| {
        let large = framed(0, &vec![0; 4 * 1024 * 1024 + 1]);
        let status = at_auth(suite, &[], large).await.status();
        assert_eq!(reason(&status), is(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
        let status = at_gateway(suite, CHECK, &[], framed(0, &[0; 5000])).await.status();
        assert_eq!(reason(&status), is(Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    })
    .await;
}
