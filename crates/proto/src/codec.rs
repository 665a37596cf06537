//! The servers' codec: what it decodes is valid, or the call ends here.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::access::v1::ErrorReason;
use crate::status;
use crate::validation::{Presence, Validate, Violations};

/// Encodes answers of type `T`, decodes and validates requests of type `U`.
pub struct ValidatingCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for ValidatingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ValidatingCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Validate + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ValidatingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ValidatingDecoder(ProstCodec::<T, U>::raw_decoder(BufferSettings::default()))
    }
}

/// See [`ValidatingCodec`].
pub struct ValidatingDecoder<U>(ProstDecoder<U>);

impl<U: Message + Validate + Default> Decoder for ValidatingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let message = self.0.decode(buf).map_err(|_| {
            // The decoder's own text may quote the input.
            status::status(
                Code::InvalidArgument,
                ErrorReason::MalformedCall,
                "the message is not valid protobuf of this method's request",
            )
        })?;
        if let Some(message) = &message {
            let mut violations = Violations::default();
            message.check(Presence::Create, &mut violations);
            violations.into_result()?;
        }
        Ok(message)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
