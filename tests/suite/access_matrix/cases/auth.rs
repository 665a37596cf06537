//! auth.

use clinic_proto::access::v1::Role;
use clinic_proto::auth::v1::{
    ChangePasswordRequest, DeactivateUserRequest, GetJwksRequest, GetUserRequest,
    ListSessionsRequest, ListUsersRequest, LoginRequest, LogoutRequest, ReactivateUserRequest,
    RefreshRequest, RegisterRequest, RevokeSessionRequest, SetUserRolesRequest, UpdateUserRequest,
    User,
};
use clinic_testkit::{PASSWORD, email};
use tonic::Code;

use super::{Case, ME, yes};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            path: "/clinic.auth.v1.AuthService/Register",
            label: "a new account",
            call: |_w, mut c| {
                Box::pin(async move {
                    let request = RegisterRequest {
                        email: email(),
                        name: "New Person".into(),
                        password: PASSWORD.into(),
                        ..Default::default()
                    };
                    c.clients.auth.register(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/Login",
            label: "an account",
            call: |w, mut c| {
                Box::pin(async move {
                    let request = LoginRequest {
                        email: w.owner.user.email.clone(),
                        password: PASSWORD.into(),
                        ..Default::default()
                    };
                    c.clients.auth.login(request).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/Refresh",
            label: "a session",
            call: |w, mut c| {
                Box::pin(async move {
                    let refresh = w.suite.staff().await.tokens.refresh;
                    c.clients.auth.refresh(RefreshRequest { refresh }).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/Logout",
            label: "the caller's session",
            call: |_w, mut c| {
                Box::pin(
                    async move { c.clients.auth.logout(LogoutRequest::default()).await.map(yes) },
                )
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/Logout",
            label: "the session of a refresh token",
            call: |w, mut c| {
                Box::pin(async move {
                    let refresh = w.suite.staff().await.tokens.refresh;
                    c.clients.auth.logout(LogoutRequest { refresh }).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/GetUser",
            label: "the caller's account",
            call: |_w, mut c| {
                Box::pin(async move {
                    c.clients.auth.get_user(GetUserRequest { id: ME.into() }).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/GetUser",
            label: "the STAFF owner's account",
            call: |w, mut c| {
                Box::pin(async move {
                    c.clients
                        .auth
                        .get_user(GetUserRequest { id: w.owner.user.id.clone() })
                        .await
                        .map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/UpdateUser",
            label: "the caller's account",
            call: |_w, mut c| {
                Box::pin(async move {
                    let user = Some(User { name: "Robin Miller".into(), ..Default::default() });
                    c.clients
                        .auth
                        .update_user(UpdateUserRequest { id: ME.into(), user, update_mask: None })
                        .await
                        .map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/UpdateUser",
            label: "the STAFF owner's account",
            call: |w, mut c| {
                Box::pin(async move {
                    let user = Some(User { name: "Robin Miller".into(), ..Default::default() });
                    let id = w.owner.user.id.clone();
                    c.clients
                        .auth
                        .update_user(UpdateUserRequest { id, user, update_mask: None })
                        .await
                        .map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/ChangePassword",
            label: "the caller's password",
            call: |_w, mut c| {
                Box::pin(async move {
                    // The administrator's password is not the others': for him it is the wrong one.
                    let request = ChangePasswordRequest {
                        current_password: PASSWORD.into(),
                        new_password: PASSWORD.into(),
                    };
                    match c.clients.auth.change_password(request).await {
                        Err(status) if status.code() == Code::InvalidArgument => {
                            Ok("INVALID_ARGUMENT (wrong password)".into())
                        }
                        response => response.map(yes),
                    }
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/ListSessions",
            label: "the caller's sessions",
            call: |_w, mut c| {
                Box::pin(async move {
                    c.clients.auth.list_sessions(ListSessionsRequest::default()).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/RevokeSession",
            label: "the caller's session",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = match &mut c.account {
                        None => w.suite.clock.new_id().to_string(),
                        Some(account) => {
                            let list = account
                                .clients
                                .auth
                                .list_sessions(ListSessionsRequest::default())
                                .await?
                                .into_inner();
                            list.sessions.into_iter().find(|session| session.current).unwrap().id
                        }
                    };
                    c.clients.auth.revoke_session(RevokeSessionRequest { id }).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.AuthService/RevokeSession",
            label: "another account's session",
            call: |w, mut c| {
                Box::pin(async move {
                    let mut other = w.suite.staff().await;
                    let list = other
                        .clients
                        .auth
                        .list_sessions(ListSessionsRequest::default())
                        .await?
                        .into_inner();
                    let id = list.sessions[0].id.clone();
                    c.clients.auth.revoke_session(RevokeSessionRequest { id }).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.UserAdminService/ListUsers",
            label: "all accounts",
            call: |_w, mut c| {
                Box::pin(async move {
                    c.clients.users.list_users(ListUsersRequest::default()).await.map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.UserAdminService/SetUserRoles",
            label: "an account",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.suite.staff().await.user.id;
                    let roles = vec![Role::Staff.into()];
                    c.clients
                        .users
                        .set_user_roles(SetUserRolesRequest { id, roles, ..Default::default() })
                        .await
                        .map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.UserAdminService/DeactivateUser",
            label: "an account",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.suite.staff().await.user.id;
                    c.clients
                        .users
                        .deactivate_user(DeactivateUserRequest { id, ..Default::default() })
                        .await
                        .map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.UserAdminService/ReactivateUser",
            label: "an account",
            call: |w, mut c| {
                Box::pin(async move {
                    let id = w.suite.staff().await.user.id;
                    c.clients
                        .users
                        .reactivate_user(ReactivateUserRequest { id, ..Default::default() })
                        .await
                        .map(yes)
                })
            },
        },
        Case {
            path: "/clinic.auth.v1.TokenService/GetJwks",
            label: "the public keys",
            call: |_w, mut c| {
                Box::pin(async move { c.clients.tokens.get_jwks(GetJwksRequest {}).await.map(yes) })
            },
        },
    ]
}
