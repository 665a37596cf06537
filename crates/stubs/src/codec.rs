//! The servers' codec. It validates what it decodes, so that no handler gets a message that breaks
//! the contract. Clients take responses as they come.

use std::marker::PhantomData;

use clinic_net::Error;
use clinic_proto::validation::{Presence, Validate, Violations};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

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
        // The decoder's own text may quote the input.
        let message = self.0.decode(buf).map_err(|_| Error::malformed_message())?;
        if let Some(message) = &message {
            let mut violations = Violations::default();
            message.check(Presence::Create, &mut violations);
            let violations = violations.into_vec();
            if !violations.is_empty() {
                return Err(Error::invalid_fields(violations).into());
            }
        }
        Ok(message)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
