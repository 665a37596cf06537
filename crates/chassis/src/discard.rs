//! Reads the rest of a request body after it was answered. Many clients read the answer only after they
//! have sent everything.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// Bytes: twice the largest message that the gateway takes unless it is told otherwise.
pub const DISCARDED_BYTES: usize = 8 * 1024 * 1024;
/// How long that may take.
pub const DISCARD_TIME: Duration = Duration::from_secs(10);
/// How long a connection of HTTP/1.1 is read on after the answer that closes it.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Reads what is left of a body. Returns whether that was all of it.
pub async fn discard<B>(mut body: B) -> bool
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let rest = async {
        let mut discarded = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > DISCARDED_BYTES {
                return false;
            }
        }
        true
    };
    timeout(DISCARD_TIME, rest).await.unwrap_or(false)
}
