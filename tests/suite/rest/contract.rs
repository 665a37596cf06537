//! The REST paths of the contract. The tests read them without the code of the gateway, which they
//! test.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};

/// One path of a method.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// Such as `GET`.
    pub(crate) verb: String,
    /// Such as `/api/patients/{id}`.
    pub(crate) template: String,
    /// Empty, `*`, or a field of the request.
    pub(crate) body: String,
    /// Empty, or a field of the response.
    pub(crate) response_body: String,
    /// Fields of the request that the path sets, with their values.
    pub(crate) fixed: Vec<(String, String)>,
    /// Numbers of the roles that may use the path. If empty, all that may call the method.
    pub(crate) only: Vec<i32>,
}

/// Methods with their REST paths.
pub(crate) struct Contract {
    methods: BTreeMap<String, (MethodDescriptor, Vec<Path>)>,
}

impl Contract {
    pub(crate) fn read() -> Self {
        let pool = DescriptorPool::decode(clinic_proto::FILE_DESCRIPTOR_SET).unwrap();
        let mut methods = BTreeMap::new();
        for service in pool.services() {
            for method in service.methods() {
                let name = format!("/{}/{}", service.full_name(), method.name());
                let paths = paths(&pool, &method);
                methods.insert(name, (method, paths));
            }
        }
        Self { methods }
    }

    /// Returns the method with this gRPC path, and its REST paths.
    pub(crate) fn method(&self, name: &str) -> &(MethodDescriptor, Vec<Path>) {
        &self.methods[name]
    }

    /// Returns all methods with their gRPC paths and REST paths.
    pub(crate) fn methods(
        &self,
    ) -> impl Iterator<Item = (&String, &(MethodDescriptor, Vec<Path>))> {
        self.methods.iter()
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.methods.values().flat_map(|(_, paths)| paths)
    }
}

fn paths(pool: &DescriptorPool, method: &MethodDescriptor) -> Vec<Path> {
    let options = method.options();
    let extension = |name| pool.get_extension_by_name(name).unwrap();
    let http = extension("google.api.http");
    if !options.has_extension(&http) {
        return Vec::new();
    }
    let rule = options.get_extension(&http).as_message().unwrap().clone();
    let more = messages(&rule, "additional_bindings");
    let mut paths: Vec<Path> = [rule].iter().chain(&more).map(path).collect();
    let settings = options.get_extension(&extension("clinic.rest.v1.paths"));
    for setting in settings.as_list().unwrap().iter().filter_map(Value::as_message) {
        for path in paths.iter_mut().filter(|path| path.template == text(setting, "path")) {
            let fixed = messages(setting, "fixed");
            path.fixed = fixed.iter().map(|f| (text(f, "field"), text(f, "value"))).collect();
            let only = setting.get_field_by_name("only").unwrap();
            path.only =
                only.as_list().unwrap().iter().map(|role| role.as_enum_number().unwrap()).collect();
        }
    }
    paths
}

fn path(rule: &DynamicMessage) -> Path {
    let verbs = ["get", "post", "put", "patch", "delete"];
    let verb = verbs.into_iter().find(|verb| rule.has_field_by_name(verb)).unwrap();
    Path {
        verb: verb.to_uppercase(),
        template: text(rule, verb),
        body: text(rule, "body"),
        response_body: text(rule, "response_body"),
        fixed: Vec::new(),
        only: Vec::new(),
    }
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).unwrap().as_str().unwrap().to_owned()
}

fn messages(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let list = message.get_field_by_name(field).unwrap();
    list.as_list().unwrap().iter().map(|one| one.as_message().unwrap().clone()).collect()
}
