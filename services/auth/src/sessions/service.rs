//! Lists and ends sessions.

use clinic_net::Context;
use clinic_proto::auth::v1::{
    ListSessionsRequest, ListSessionsResponse, LogoutRequest, LogoutResponse, RevokeSessionRequest,
    Session,
};
use clinic_server::origin;
use clinic_store::page::{self, Cursor};
use uuid::Uuid;

use super::{model, store};
use crate::Auth;
use crate::error::Error;
use crate::tokens::RefreshToken;

impl Auth {
    pub(crate) async fn logout(
        &self,
        ctx: &Context,
        request: LogoutRequest,
    ) -> Result<LogoutResponse, Error> {
        let LogoutRequest { refresh } = request;
        let origin = origin(ctx);
        if refresh.is_empty() {
            let session = ctx.principal().session_id().ok_or(Error::InvalidToken)?;
            store::revoke(&self.db, &origin, session).await?;
        } else if let Some(token) = RefreshToken::parse(&refresh) {
            store::revoke_by_token(&self.db, &origin, &token).await?;
        }
        // An unknown token is not an error (RFC 7009, section 2.2): it has no session to end.
        Ok(LogoutResponse {})
    }

    pub(crate) async fn list_sessions(
        &self,
        ctx: &Context,
        request: ListSessionsRequest,
    ) -> Result<ListSessionsResponse, Error> {
        let ListSessionsRequest { page_size, page_token } = request;
        let user_id = ctx.principal().user_id().ok_or(Error::RoleRequired)?;
        let fingerprint = page::fingerprint(&[b"ListSessions", user_id.as_bytes()]);
        let before = self.pages.after(&page_token, &fingerprint)?.map(|cursor| cursor.id);
        let (size, now) = (page::size(page_size), ctx.now());
        let sessions = store::list_alive(&self.db, user_id, before, now, size + 1).await?;
        let cursor = |session: &model::Session| Cursor { branch: 0, id: session.id, key: vec![] };
        let (sessions, next) = page::cut(sessions, size, cursor);
        let current = ctx.principal().session_id();
        Ok(ListSessionsResponse {
            sessions: sessions.into_iter().map(|session| session.seen_from(current)).collect(),
            next_page_token: self.pages.token(next.as_ref(), &fingerprint)?,
        })
    }

    pub(crate) async fn revoke_session(
        &self,
        ctx: &Context,
        request: RevokeSessionRequest,
    ) -> Result<Session, Error> {
        let RevokeSessionRequest { id } = request;
        let id = Uuid::try_parse(&id).map_err(|_| Error::NotFound)?;
        let user_id = ctx.principal().user_id().ok_or(Error::RoleRequired)?;
        let session = store::revoke_own(&self.db, &origin(ctx), id, user_id).await?;
        Ok(session.ok_or(Error::NotFound)?.seen_from(ctx.principal().session_id()))
    }
}
