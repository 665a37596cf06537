//! Implements the gRPC services. Each RPC delegates to a method of [`Auth`].

use std::sync::Arc;

use clinic_net::Context;
use clinic_proto::auth::v1::{
    ChangePasswordRequest, ChangePasswordResponse, DeactivateUserRequest, GetJwksRequest,
    GetJwksResponse, GetUserRequest, ListSessionsRequest, ListSessionsResponse, ListUsersRequest,
    ListUsersResponse, LoginRequest, LoginResponse, LogoutRequest, LogoutResponse,
    ReactivateUserRequest, RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse,
    RevokeSessionRequest, Session, SetUserRolesRequest, UpdateUserRequest, User,
};
use clinic_stubs::auth::v1::{AuthServiceHandler, TokenServiceHandler, UserAdminServiceHandler};

use crate::Auth;
use crate::error::Error;

/// The handler of all three services.
#[derive(Clone)]
pub(crate) struct Grpc(pub(crate) Arc<Auth>);

impl AuthServiceHandler for Grpc {
    type Error = Error;

    async fn register(
        &self,
        ctx: &Context,
        request: RegisterRequest,
    ) -> Result<RegisterResponse, Error> {
        self.0.register(ctx, request).await
    }

    async fn login(&self, ctx: &Context, request: LoginRequest) -> Result<LoginResponse, Error> {
        self.0.login(ctx, request).await
    }

    async fn refresh(
        &self,
        ctx: &Context,
        request: RefreshRequest,
    ) -> Result<RefreshResponse, Error> {
        self.0.refresh(ctx, request).await
    }

    async fn logout(&self, ctx: &Context, request: LogoutRequest) -> Result<LogoutResponse, Error> {
        self.0.logout(ctx, request).await
    }

    async fn get_user(&self, ctx: &Context, request: GetUserRequest) -> Result<User, Error> {
        Ok(self.0.get_user(ctx, request).await?.into())
    }

    async fn update_user(&self, ctx: &Context, request: UpdateUserRequest) -> Result<User, Error> {
        Ok(self.0.update_user(ctx, request).await?.into())
    }

    async fn change_password(
        &self,
        ctx: &Context,
        request: ChangePasswordRequest,
    ) -> Result<ChangePasswordResponse, Error> {
        self.0.change_password(ctx, request).await
    }

    async fn list_sessions(
        &self,
        ctx: &Context,
        request: ListSessionsRequest,
    ) -> Result<ListSessionsResponse, Error> {
        self.0.list_sessions(ctx, request).await
    }

    async fn revoke_session(
        &self,
        ctx: &Context,
        request: RevokeSessionRequest,
    ) -> Result<Session, Error> {
        self.0.revoke_session(ctx, request).await
    }
}

impl UserAdminServiceHandler for Grpc {
    type Error = Error;

    async fn list_users(
        &self,
        ctx: &Context,
        request: ListUsersRequest,
    ) -> Result<ListUsersResponse, Error> {
        self.0.list_users(ctx, request).await
    }

    async fn set_user_roles(
        &self,
        ctx: &Context,
        request: SetUserRolesRequest,
    ) -> Result<User, Error> {
        Ok(self.0.set_user_roles(ctx, request).await?.into())
    }

    async fn deactivate_user(
        &self,
        ctx: &Context,
        request: DeactivateUserRequest,
    ) -> Result<User, Error> {
        Ok(self.0.deactivate_user(ctx, request).await?.into())
    }

    async fn reactivate_user(
        &self,
        ctx: &Context,
        request: ReactivateUserRequest,
    ) -> Result<User, Error> {
        Ok(self.0.reactivate_user(ctx, request).await?.into())
    }
}

impl TokenServiceHandler for Grpc {
    type Error = Error;

    async fn get_jwks(&self, _: &Context, _: GetJwksRequest) -> Result<GetJwksResponse, Error> {
        Ok(self.0.get_jwks())
    }
}
