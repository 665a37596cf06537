//! Acknowledged writes survive a kill.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clinic_proto::records::v1::{CreatePatientRequest, GetPatientRequest, Patient};
use clinic_stubs::records::v1::patient_service_client::PatientServiceClient;
use clinic_testdb::on_both;
use clinic_testkit::{Client, patient};

use crate::operator::{ADMIN, Operator};

/// Creates patients until a call fails, and records the acknowledged ones in `made`.
async fn write(mut patients: PatientServiceClient<Client>, made: Arc<Mutex<Vec<Patient>>>) {
    loop {
        let request = CreatePatientRequest { patient: Some(patient()), ..Default::default() };
        match patients.create_patient(request).await {
            Ok(response) => made.lock().unwrap().push(response.into_inner()),
            Err(_) => return,
        }
    }
}

on_both! {
    async fn acknowledged_writes_survive_a_kill(operator: &Operator) {
        let made = Arc::new(Mutex::new(Vec::new()));
        let mut running = operator.up(&[]);
        let password = running.admin_password().to_owned();
        for round in 1..=2 {
            let access = running.access(ADMIN, &password).await;
            let writers: Vec<_> = (0..4)
                .map(|_| tokio::spawn(write(running.clients(&access).patients, made.clone())))
                .collect();
            let began = Instant::now();
            while made.lock().unwrap().len() < round * 40 {
                assert!(began.elapsed() < Duration::from_secs(60), "too few patients were created in 60 s");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            running.kill();
            for writer in writers {
                writer.await.unwrap();
            }

            running = operator.up(&[]);
            assert_eq!(running.said, Vec::<String>::new(), "a restart must not create another administrator");
            let mut patients = running.clients(&running.access(ADMIN, &password).await).patients;
            let all = made.lock().unwrap().clone();
            for known in all {
                let request = GetPatientRequest { id: known.id.clone(), ..Default::default() };
                let read = patients.get_patient(request).await.unwrap().into_inner();
                assert_eq!(read, known);
            }
        }
        running.kill();
    }

    async fn a_session_outlives_a_kill(operator: &Operator) {
        let running = operator.up(&[]);
        let tokens = running.login(ADMIN, running.admin_password()).await.unwrap().tokens.unwrap();
        running.kill();
        let running = operator.up(&[]);
        let request = clinic_proto::auth::v1::RefreshRequest { refresh: tokens.refresh };
        running.anonymous().auth.refresh(request).await.unwrap();
        // The keys are the same, so old access tokens stay valid.
        let me = clinic_proto::auth::v1::GetUserRequest { id: "me".into() };
        running.clients(&tokens.access).auth.get_user(me).await.unwrap();
        running.kill();
    }
}
