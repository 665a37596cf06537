//! Discards the rest of a request body. Many clients read the response only after sending
//! everything.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// Maximum bytes to discard: twice the gateway's default message limit.
pub const DISCARDED_BYTES: usize = 8 * 1024 * 1024;
/// Maximum time to discard.
pub const DISCARD_TIME: Duration = Duration::from_secs(10);
/// Time for which a connection is still read after its last response.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Discards the rest of a body, within bounds. Returns whether it reached the end.
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
