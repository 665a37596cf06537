//! Reads the options of methods: who may call them, and how their calls may be treated.

use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{DescriptorPool, DynamicMessage, ExtensionDescriptor, MethodDescriptor};

/// The option with a method's access rule.
const RULE: &str = "clinic.access.v1.rule";
/// The option that allows the compression of a method's responses.
const COMPRESSIBLE: &str = "clinic.access.v1.compressible";
/// The packages whose methods need a rule. Others (health, reflection) are not called by users.
const PACKAGES: &str = "clinic.";

/// A method of the contract.
pub struct Method {
    /// The path, as `/package.Service/Method`.
    pub path: String,
    /// Who may call it.
    pub callers: Callers,
    /// Whether clients stream requests.
    pub takes_stream: bool,
    /// Whether the server streams responses.
    pub gives_stream: bool,
    /// Whether the method has no side effects.
    pub is_read: bool,
    /// Whether responses may be compressed. The default is false.
    pub compressible: bool,
}

/// Who may call a method.
pub enum Callers {
    /// Anyone, with or without a token.
    Public,
    /// Every signed-in account, but no internal service.
    SignedIn,
    /// Callers with one of these roles, by the numbers of `clinic.access.v1.Role`.
    AnyOf(Vec<i32>),
}

/// Why the access rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The descriptors cannot be read.
    #[error("the contract's descriptors cannot be read: {0}")]
    Descriptors(String),
    /// The descriptors do not declare the option.
    #[error("the contract's descriptors do not contain the option ({RULE})")]
    NoOption,
    /// A method has no usable access rule.
    #[error("{method} has no usable access rule: {problem}")]
    Rule {
        /// The method's path.
        method: String,
        /// What is wrong with its rule.
        problem: &'static str,
    },
}

/// Reads all methods from an encoded `FileDescriptorSet`.
///
/// # Errors
/// When a method of a `clinic.*` package has no usable access rule.
pub fn methods(descriptors: &[u8]) -> Result<Vec<Method>, AccessError> {
    let pool = DescriptorPool::decode(descriptors)
        .map_err(|error| AccessError::Descriptors(error.to_string()))?;
    let extension = |name| pool.get_extension_by_name(name).ok_or(AccessError::NoOption);
    let (rule, compressible) = (extension(RULE)?, extension(COMPRESSIBLE)?);
    let services = pool.services().filter(|service| service.full_name().starts_with(PACKAGES));
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let callers = match callers(&method, &rule) {
                Ok(callers) => callers,
                Err(problem) => return Err(AccessError::Rule { method: path, problem }),
            };
            Ok(Method {
                path,
                callers,
                takes_stream: method.is_client_streaming(),
                gives_stream: method.is_server_streaming(),
                is_read: is_read(&method),
                compressible: method.options().get_extension(&compressible).as_bool() == Some(true),
            })
        })
        .collect()
}

fn callers(method: &MethodDescriptor, rule: &ExtensionDescriptor) -> Result<Callers, &'static str> {
    let options = method.options();
    if !options.has_extension(rule) {
        return Err("the option (clinic.access.v1.rule) is missing");
    }
    let value = options.get_extension(rule);
    let rule = value.as_message().ok_or("the option is not a message")?;
    if is_true(rule, "public") {
        Ok(Callers::Public)
    } else if is_true(rule, "signed_in") {
        Ok(Callers::SignedIn)
    } else if rule.has_field_by_name("any_of") {
        any_of(rule).map(Callers::AnyOf)
    } else {
        Err("it sets none of public: true, signed_in: true and any_of")
    }
}

fn is_read(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
}

fn is_true(rule: &DynamicMessage, field: &str) -> bool {
    rule.get_field_by_name(field).and_then(|value| value.as_bool()) == Some(true)
}

fn any_of(rule: &DynamicMessage) -> Result<Vec<i32>, &'static str> {
    let any_of = rule.get_field_by_name("any_of").ok_or("any_of cannot be read")?;
    let any_of = any_of.as_message().ok_or("any_of is not a message")?;
    let roles = any_of.get_field_by_name("roles").ok_or("any_of has no roles")?;
    let roles = roles.as_list().ok_or("any_of.roles is not a list")?;
    let numbers: Option<Vec<i32>> = roles.iter().map(|role| role.as_enum_number()).collect();
    match numbers {
        None => Err("any_of contains an unknown role"),
        Some(numbers) if numbers.is_empty() => Err("any_of.roles is empty"),
        Some(numbers) => Ok(numbers),
    }
}
