//! Logs every call when it ends. Off by default, because writing the line takes longer than many
//! calls; `--log info,clinic::calls=debug` turns it on.

use std::time::Instant;

use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use tonic::Code;
use tonic::body::Body;
use tracing::{Level, Span};

const TARGET: &str = "clinic::calls";

/// Logs a call in the current span when its response ends. The call began at `began`.
pub fn logged(response: Response<Body>, began: Instant) -> Response<Body> {
    if !tracing::enabled!(target: TARGET, Level::DEBUG) {
        return response;
    }
    let mut call = Ended { began, span: Span::current(), code: None };
    call.note(response.headers());
    response.map(|body| {
        // `call` is dropped with the body, even if the body is not read to its end.
        Body::new(body.map_frame(move |frame| {
            if let Some(trailers) = frame.trailers_ref() {
                call.note(trailers);
            }
            frame
        }))
    })
}

/// A call that is logged when this is dropped.
struct Ended {
    began: Instant,
    span: Span,
    code: Option<i32>,
}

impl Ended {
    fn note(&mut self, headers: &HeaderMap) {
        let code = headers.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
        self.code = code.or(self.code);
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let code = self.code.map(Code::from);
        self.span.in_scope(|| log_call(code, self.began));
    }
}

/// Logs a call in the current span. Without `code`, the client did not wait for the end.
pub fn log_call(code: Option<Code>, began: Instant) {
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(target: TARGET, code = code.map(tracing::field::debug), micros, "call");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use tonic::Status;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_line_of_a_call_says_how_it_ended_and_which_it_was() {
        let lines = Lines::default();
        let writer = lines.clone();
        let logs = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _logs = tracing::subscriber::set_default(logs);
        let began = Instant::now();
        let refused = tracing::info_span!("call", request_id = "one")
            .in_scope(|| logged(Status::not_found("").into_http(), began));
        refused.into_body().collect().await.unwrap();
        let mut trailers = HeaderMap::new();
        Status::ok("").add_header(&mut trailers).unwrap();
        let body = http_body_util::Full::new(Bytes::from_static(b"x"));
        let body = Body::new(body.with_trailers(std::future::ready(Some(Ok(trailers)))));
        let answered = tracing::info_span!("call", request_id = "two")
            .in_scope(|| logged(Response::new(body), began));
        answered.into_body().collect().await.unwrap();
        let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let [one, two] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
        assert!(one.contains("NotFound") && one.contains("request_id=\"one\""), "{one}");
        assert!(two.contains("Ok") && two.contains("request_id=\"two\""), "{two}");
    }
}
