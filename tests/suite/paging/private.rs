//! Page tokens are in URLs, which proxies log, so they must not contain private data.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clinic_proto::records::v1::{Doctor, Patient};
use clinic_testkit::{PASSWORD, Suite, doctor, on_both, patient};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, MessageDescriptor, Value,
};

use crate::auth::login;
use crate::rest::{Contract, Rest};

/// No query, and prefixes of the names of all patients and doctors.
const QUERIES: [&str; 5] = ["", "zeb", "quagga", "okapi", "gnu"];

/// Collects private texts in lower case, except those so short that a token has them by chance.
fn private_texts(message: &DynamicMessage, private: &ExtensionDescriptor, to: &mut Vec<String>) {
    // The token is the text to search in, not for.
    for (field, value) in message.fields().filter(|(field, _)| field.name() != "next_page_token") {
        let is_private = field.options().get_extension(private).as_bool() == Some(true);
        match value {
            Value::String(text) if is_private && text.len() >= 4 => to.push(text.to_lowercase()),
            Value::Message(inner) => private_texts(inner, private, to),
            Value::List(list) => {
                let inner = list.iter().filter_map(Value::as_message);
                inner.for_each(|inner| private_texts(inner, private, to));
            }
            _ => {}
        }
    }
}

fn assert_contains_none(token: &str, private: &[String], what: &str) {
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap();
    for bytes in [token.as_bytes(), &decoded] {
        let bytes = bytes.to_ascii_lowercase();
        for text in private {
            let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            assert!(!found, "{what}: the token {token} contains {text}");
        }
    }
}

fn is_list(output: &MessageDescriptor) -> bool {
    output.get_field_by_name("next_page_token").is_some()
}

/// Reads pages of all lists and checks their tokens. Returns the lists with a page token.
async fn check_page_tokens(suite: &Suite, contract: &Contract) -> BTreeSet<String> {
    let staff = suite.staff().await;
    login(suite, &staff.user.email, PASSWORD).await.unwrap();
    let (mut patients, mut doctors) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let named = Patient { first_name: "Zebra".into(), last_name: "Quagga".into(), ..patient() };
        patients.push(staff.create_patient(named).await.id);
        let named = Doctor { first_name: "Okapi".into(), last_name: "Gnugnu".into(), ..doctor() };
        doctors.push(staff.create_doctor(named).await.id);
    }
    for [patient, doctor] in [[0, 0], [0, 1], [1, 0]] {
        staff.assign(&patients[patient], &doctors[doctor]).await;
    }
    let pool = DescriptorPool::decode(clinic_proto::FILE_DESCRIPTOR_SET).unwrap();
    let private = pool.get_extension_by_name("clinic.access.v1.phi").unwrap();
    let callers = [Rest::of(suite, &staff), Rest::of(suite, &suite.admin().await)];
    let mut seen = BTreeSet::new();
    for (name, (method, paths)) in contract.methods().filter(|(_, (m, _))| is_list(&m.output())) {
        for path in paths {
            let path = path.template.replace("{patient_id}", &patients[0]);
            let path = path.replace("{doctor_id}", &doctors[0]);
            let by_name = method.input().get_field_by_name("query").is_some();
            let queries = if by_name { QUERIES.as_slice() } else { &QUERIES[..1] };
            for (query, caller) in queries.iter().flat_map(|q| callers.iter().map(move |c| (q, c)))
            {
                let query =
                    if query.is_empty() { String::new() } else { format!("&query={query}") };
                let reply = caller.get(&format!("{path}?page_size=1{query}")).await;
                let Some(token) = reply.json["next_page_token"].as_str() else { continue };
                let page = DynamicMessage::deserialize(method.output(), &reply.json).unwrap();
                let mut texts = Vec::new();
                private_texts(&page, &private, &mut texts);
                assert!(!texts.is_empty(), "{name}: no private texts");
                assert_contains_none(token, &texts, name);
                seen.insert(name.clone());
            }
        }
    }
    seen
}

on_both! {
    async fn page_tokens_contain_no_private_data(suite: &Suite) {
        let contract = Contract::read();
        let lists = contract.methods().filter(|(_, (method, _))| is_list(&method.output()));
        let lists: BTreeSet<String> = lists.map(|(name, _)| name.clone()).collect();
        assert!(lists.len() >= 7, "{lists:?}");
        assert_eq!(check_page_tokens(suite, &contract).await, lists);
    }
}
