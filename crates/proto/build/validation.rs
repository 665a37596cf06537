//! Generates `impl Validate` for every message: a call into `crate::validation` for each field with
//! rules.

use std::fmt::Write as _;

use clinic_contract::{Choice, Field, Message, Result, Rules, Shape, Type};

use crate::names;

pub(crate) fn generate(messages: &[Message]) -> Result<String> {
    let mut code = String::new();
    for message in messages {
        let body = body(message, messages)?;
        let (presence, out) = (
            if body.contains("presence") { "presence" } else { "_" },
            if body.is_empty() { "_" } else { "out" },
        );
        let _ = write!(
            code,
            "impl crate::validation::Validate for {path} {{
                #[allow(clippy::too_many_lines)]
                fn check(&self, {presence}: crate::validation::Presence<'_>, {out}: &mut crate::validation::Violations) {{ {body} }}
            }}\n",
            path = names::path(message),
        );
    }
    Ok(code)
}

/// Generates `check_of`, which finds the check of a message by its full name.
pub(crate) fn generate_look_up<'a>(requests: impl Iterator<Item = &'a Message>) -> String {
    let mut arms = String::new();
    for message in requests {
        let (name, path) = (&message.full_name, names::path(message));
        let _ = write!(arms, "{name:?} => crate::validation::check::<{path}>,");
    }
    format!(
        "pub(crate) fn check_of(message: &str) -> Option<crate::validation::Check> {{
            Some(match message {{ {arms} _ => return None }})
        }}\n"
    )
}

fn body(message: &Message, all: &[Message]) -> Result<String> {
    let mut code = String::new();
    let masked = message.fields.iter().any(|f| f.name == "update_mask");
    for choice in &message.choices {
        code.push_str(&self::choice(choice, message)?);
    }
    for field in &message.fields {
        let scalar = !matches!(field.kind, Type::Message(_));
        if field.output_only || (scalar && !field.required && !has_rules(&field.rules)) {
            continue;
        }
        let fail = |why: &str| format!("{}.{}: {why}", message.full_name, field.name);
        match (&field.kind, field.shape) {
            (Type::Text, Shape::Implicit) => {
                let _ = write!(
                    code,
                    "out.text(presence, {:?}, &self.{}, {}, &{});",
                    field.name,
                    field.name,
                    requirement(field),
                    text_rules(&field.rules)?
                );
            }
            (Type::Text, Shape::Optional) if field.oneof.is_none() => {
                let _ = write!(
                    code,
                    "if let Some(text) = &self.{} {{ out.text(presence, {:?}, text, {}, &{}); }}",
                    field.name,
                    field.name,
                    requirement(field),
                    text_rules(&field.rules)?
                );
            }
            (Type::Text, Shape::Repeated) => {
                let items = field
                    .rules
                    .items
                    .as_deref()
                    .ok_or_else(|| fail("a repeated text needs rules for its items"))?;
                let _ = write!(
                    code,
                    "if {} {{ for (i, text) in self.{}.iter().enumerate() {{ out.item({:?}, i, text, &{}); }} }}",
                    repeated(field).ok_or_else(|| fail(UNBOUNDED))?,
                    field.name,
                    field.name,
                    text_rules(items)?
                );
            }
            (Type::Int32, Shape::Implicit) => {
                let _ = write!(
                    code,
                    "out.int32({:?}, self.{}, {:?}, {:?});",
                    field.name, field.name, field.rules.gte, field.rules.lte
                );
            }
            (Type::Enum(numbers), Shape::Implicit) => {
                let allowed = allowed(numbers, &field.rules)
                    .ok_or_else(|| fail("an enum needs the rule defined_only"))?;
                let _ = write!(
                    code,
                    "out.number({:?}, self.{}, &{allowed:?});",
                    field.name, field.name
                );
            }
            (Type::Enum(numbers), Shape::Repeated) if field.rules.items.is_some() => {
                let items = field.rules.items.as_deref().ok_or("no items")?;
                let allowed = allowed(numbers, items)
                    .ok_or_else(|| fail("an enum needs the rule defined_only"))?;
                let _ = write!(
                    code,
                    "if {} {{ for (i, number) in self.{}.iter().enumerate() {{ out.number(&format!(\"{}[{{i}}]\"), *number, &{allowed:?}); }} }}",
                    repeated(field).ok_or_else(|| fail(UNBOUNDED))?,
                    field.name,
                    field.name
                );
            }
            // Lists that are only in responses.
            (Type::Message(_) | Type::Enum(..), Shape::Repeated) => {}
            (Type::Message(name), _) if name == "google.protobuf.FieldMask" => {
                let (resource, paths) = masked_resource(message, all)
                    .ok_or_else(|| fail("a mask needs a resource in the same message"))?;
                let _ = write!(
                    code,
                    "out.mask({:?}, self.update_mask.as_ref(), &{paths:?}, {resource:?});",
                    field.name
                );
            }
            (Type::Message(name), Shape::Optional)
                if name == "google.protobuf.Timestamp" && !has_rules(&field.rules) =>
            {
                let _ = write!(
                    code,
                    "out.time(presence, {:?}, self.{}.as_ref(), {});",
                    field.name,
                    field.name,
                    requirement(field)
                );
            }
            (Type::Message(name), _) if name.starts_with("clinic.") => {
                let presence = if masked {
                    "crate::validation::Presence::of(self.update_mask.as_ref())"
                } else {
                    "crate::validation::Presence::Create"
                };
                match &field.oneof {
                    None => {
                        let _ = write!(
                            code,
                            "out.message({:?}, self.{}.as_ref(), {}, {presence});",
                            field.name, field.name, field.required
                        );
                    }
                    Some(oneof) => {
                        let module = names::oneof_path(message, oneof);
                        let variant = names::upper_camel(&field.name);
                        let _ = write!(
                            code,
                            "if let Some({module}::{variant}(message)) = &self.{oneof} {{ out.message({:?}, Some(message), false, {presence}); }}",
                            field.name
                        );
                    }
                }
            }
            _ if has_rules(&field.rules) || field.required => {
                return Err(fail("rules are not supported for this type of field").into());
            }
            _ => {}
        }
    }
    Ok(code)
}

fn choice(choice: &Choice, message: &Message) -> Result<String> {
    let mut given = String::new();
    for name in &choice.fields {
        let is_text = |f: &&Field| {
            f.name == *name && matches!((&f.kind, f.shape), (Type::Text, Shape::Implicit))
        };
        message.fields.iter().find(is_text).ok_or_else(|| {
            format!("{}.{name}: the rule oneof supports text only", message.full_name)
        })?;
        let _ = write!(given, "({name:?}, !self.{name}.is_empty()),");
    }
    Ok(format!("out.choice(&[{given}], {});", choice.required))
}

/// Returns the resource that an update mask applies to, and the paths that the mask may name.
fn masked_resource(message: &Message, all: &[Message]) -> Option<(String, Vec<String>)> {
    let (field, name) = message.fields.iter().find_map(|f| match &f.kind {
        Type::Message(name) if name.starts_with("clinic.") => Some((f, name)),
        _ => None,
    })?;
    let resource = all.iter().find(|m| m.full_name == *name)?;
    let paths =
        resource.fields.iter().filter(|f| f.is_changeable()).map(|f| f.name.clone()).collect();
    Some((field.name.clone(), paths))
}

fn requirement(field: &Field) -> &'static str {
    match (field.required, field.immutable) {
        (true, false) => "crate::validation::Required::Always",
        (true, true) => "crate::validation::Required::OnCreate",
        (false, _) => "crate::validation::Required::Never",
    }
}

const UNBOUNDED: &str = "a list in a request needs the rule max_items";

/// Generates the expression that checks a list and returns whether to check its items. Returns
/// `None` for a list without a maximum.
fn repeated(field: &Field) -> Option<String> {
    let max = field.rules.max_items?;
    Some(format!(
        "out.repeated({:?}, &self.{}, {}, {:?}, {max}, {})",
        field.name, field.name, field.required, field.rules.min_items, field.rules.unique
    ))
}

fn text_rules(rules: &Rules) -> Result<String> {
    let mut formats = Vec::new();
    for format in &rules.formats {
        formats.push(format!("crate::format::{}", format.to_uppercase()));
    }
    Ok(format!(
        "crate::validation::Text {{ ignore_empty: {}, min_len: {:?}, max_len: {:?}, one_of: &{:?}, formats: &[{}] }}",
        rules.ignore_empty,
        rules.min_len.map(usize::try_from).transpose()?,
        rules.max_len.map(usize::try_from).transpose()?,
        rules.one_of,
        formats.join(", ")
    ))
}

fn allowed(numbers: &[i32], rules: &Rules) -> Option<Vec<i32>> {
    rules
        .defined_only
        .then(|| numbers.iter().copied().filter(|n| !rules.not_in.contains(n)).collect())
}

fn has_rules(rules: &Rules) -> bool {
    let Rules { ignore_empty: _, min_len, max_len, one_of, formats, gte, lte, .. } = rules;
    let Rules { defined_only, not_in, min_items, max_items, unique, items, .. } = rules;
    [min_len, max_len, min_items, max_items].iter().any(|n| n.is_some())
        || [gte, lte].iter().any(|n| n.is_some())
        || !(one_of.is_empty() && formats.is_empty() && not_in.is_empty())
        || *defined_only
        || *unique
        || items.is_some()
}
