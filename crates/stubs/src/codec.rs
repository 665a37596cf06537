//! The servers' codec. It validates requests, so handlers only get messages that obey the contract.
//! Clients do not validate responses.

use std::marker::PhantomData;

use clinic_net::Error;
use clinic_proto::validation::{Presence, Validate, Violations};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// A codec that encodes responses of type `T`, and decodes and validates requests of type `U`.
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

/// The decoder of [`ValidatingCodec`].
pub struct ValidatingDecoder<U>(ProstDecoder<U>);

impl<U: Message + Validate + Default> Decoder for ValidatingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // The text of the decoder's error may quote the input.
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
