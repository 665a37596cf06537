//! Secrets that the database must not contain.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clinic_proto::auth::v1::ChangePasswordRequest;
use clinic_testkit::{Backend, PASSWORD, run};

use super::refresh;

mod database_files_contain_no_passwords_or_tokens {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        run(Backend::Sqlite, async |suite| {
            let account = suite.staff().await;
            let second = refresh(suite, &account.tokens.refresh).await.unwrap();
            let third = refresh(suite, &second.refresh).await.unwrap();
            let request = ChangePasswordRequest {
                current_password: PASSWORD.into(),
                new_password: "another-long-secret".into(),
            };
            suite.with_token(&third.access).auth.change_password(request).await.unwrap();

            let mut kept = Vec::new();
            for entry in std::fs::read_dir(&suite.databases.data_dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    kept.extend(std::fs::read(path).unwrap());
                }
            }
            let holds = |secret: &[u8]| kept.windows(secret.len()).any(|window| window == secret);
            assert!(holds(account.user.email.as_bytes()), "the files must contain the email");
            for password in [PASSWORD, "another-long-secret"] {
                assert!(!holds(password.as_bytes()));
            }
            for tokens in [&account.tokens, &second, &third] {
                assert!(!holds(tokens.refresh.as_bytes()));
                assert!(!holds(&BASE64_URL_SAFE_NO_PAD.decode(&tokens.refresh).unwrap()));
                // The signature, without which the rest is not a token.
                assert!(!holds(tokens.access.rsplit('.').next().unwrap().as_bytes()));
            }
        })
        .await;
    }
}
