//! The services of the contract. They only delegate: what an RPC does is a function of its noun.

use clinic_chassis::caller;
use clinic_proto::auth::v1::auth_service_server::AuthService;
use clinic_proto::auth::v1::token_service_server::TokenService;
use clinic_proto::auth::v1::user_admin_service_server::UserAdminService;
use clinic_proto::auth::v1::{
    ChangePasswordRequest, ChangePasswordResponse, DeactivateUserRequest, GetJwksRequest,
    GetJwksResponse, GetUserRequest, ListSessionsRequest, ListSessionsResponse, ListUsersRequest,
    ListUsersResponse, LoginRequest, LoginResponse, LogoutRequest, LogoutResponse,
    ReactivateUserRequest, RefreshRequest, RefreshResponse, RegisterRequest, RegisterResponse,
    RevokeSessionRequest, Session, SetUserRolesRequest, UpdateUserRequest, User,
};
use std::sync::Arc;
use tonic::{Request, Response, Status, async_trait};

use crate::Auth;
use crate::sessions::Client;

/// What answers the calls.
#[derive(Clone)]
pub(crate) struct Grpc(pub(crate) Arc<Auth>);

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl AuthService for Grpc {
    async fn register(&self, request: Request<RegisterRequest>) -> Answer<RegisterResponse> {
        let (caller, client) = (caller(&request)?, Client::of(request.metadata()));
        Ok(Response::new(self.0.register(&caller, client, request.into_inner()).await?))
    }

    async fn login(&self, request: Request<LoginRequest>) -> Answer<LoginResponse> {
        let (caller, client) = (caller(&request)?, Client::of(request.metadata()));
        Ok(Response::new(self.0.login(&caller, client, request.into_inner()).await?))
    }

    async fn refresh(&self, request: Request<RefreshRequest>) -> Answer<RefreshResponse> {
        Ok(Response::new(self.0.refresh(request.into_inner()).await?))
    }

    async fn logout(&self, request: Request<LogoutRequest>) -> Answer<LogoutResponse> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.logout(&caller, request.into_inner()).await?))
    }

    async fn get_user(&self, request: Request<GetUserRequest>) -> Answer<User> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.get_user(&caller, request.into_inner()).await?.into()))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Answer<User> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.update_user(&caller, request.into_inner()).await?.into()))
    }

    async fn change_password(
        &self,
        request: Request<ChangePasswordRequest>,
    ) -> Answer<ChangePasswordResponse> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.change_password(&caller, request.into_inner()).await?))
    }

    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Answer<ListSessionsResponse> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.list_sessions(&caller, request.into_inner()).await?))
    }

    async fn revoke_session(&self, request: Request<RevokeSessionRequest>) -> Answer<Session> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.revoke_session(&caller, request.into_inner()).await?))
    }
}

#[async_trait]
impl UserAdminService for Grpc {
    async fn list_users(&self, request: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.list_users(&caller, request.into_inner()).await?))
    }

    async fn set_user_roles(&self, request: Request<SetUserRolesRequest>) -> Answer<User> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.set_user_roles(&caller, request.into_inner()).await?.into()))
    }

    async fn deactivate_user(&self, request: Request<DeactivateUserRequest>) -> Answer<User> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.deactivate_user(&caller, request.into_inner()).await?.into()))
    }

    async fn reactivate_user(&self, request: Request<ReactivateUserRequest>) -> Answer<User> {
        let caller = caller(&request)?;
        Ok(Response::new(self.0.reactivate_user(&caller, request.into_inner()).await?.into()))
    }
}

#[async_trait]
impl TokenService for Grpc {
    async fn get_jwks(&self, _: Request<GetJwksRequest>) -> Answer<GetJwksResponse> {
        Ok(Response::new(self.0.get_jwks()))
    }
}
