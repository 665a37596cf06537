//! Generates `impl Validate` for every message: a call into `crate::validation` for each field with
//! rules.

use clinic_contract::{Choice, Field, Message, Result, Rules, Shape, Type};

use crate::names;

pub(crate) fn generate(messages: &[Message]) -> Result<String> {
    let implement = |message: &Message| {
        let body = body(message, messages)?;
        let presence = if body.contains("presence") { "presence" } else { "_" };
        let out = if body.is_empty() { "_" } else { "out" };
        Ok(format!(
            "impl crate::validation::Validate for {} {{
                fn check(
                    &self,
                    {presence}: crate::validation::Presence<'_>,
                    {out}: &mut crate::validation::Violations,
                ) {{ {body} }}
            }}\n",
            names::path(message),
        ))
    };
    messages.iter().map(implement).collect()
}

/// Generates `check_of`, which finds the check of a message by its full name.
pub(crate) fn generate_look_up<'a>(requests: impl Iterator<Item = &'a Message>) -> String {
    let arm = |message: &Message| {
        format!("{:?} => crate::validation::check::<{}>,", message.full_name, names::path(message))
    };
    let arms: String = requests.map(arm).collect();
    format!(
        "pub(crate) fn check_of(message: &str) -> Option<crate::validation::Check> {{
            Some(match message {{ {arms} _ => return None }})
        }}\n"
    )
}

fn body(message: &Message, all: &[Message]) -> Result<String> {
    let choices = message.choices.iter().map(|choice| self::choice(choice, message));
    let fields = message.fields.iter().filter(|field| !field.output_only).map(|field| {
        self::field(field, message, all)
            .map_err(|error| format!("{}.{}: {error}", message.full_name, field.name).into())
    });
    choices.chain(fields).collect()
}

fn choice(choice: &Choice, message: &Message) -> Result<String> {
    let given = |name: &String| {
        let is_text = |f: &Field| {
            f.name == *name && matches!((&f.kind, f.shape), (Type::Text, Shape::Implicit))
        };
        if !message.fields.iter().any(is_text) {
            let name = format!("{}.{name}", message.full_name);
            return Err(format!("{name}: the rule oneof supports text only").into());
        }
        Ok(format!("({name:?}, !self.{name}.is_empty()),"))
    };
    let given = choice.fields.iter().map(given).collect::<Result<String>>()?;
    Ok(format!("out.choice(&[{given}], {});", choice.required))
}

fn field(field: &Field, message: &Message, all: &[Message]) -> Result<String> {
    let Field { name, rules, required, .. } = field;
    let is_message = matches!(field.kind, Type::Message(_));
    let has_rules = *rules != Rules { ignore_empty: rules.ignore_empty, ..Rules::default() };
    if !is_message && !required && !has_rules {
        return Ok(String::new());
    }
    Ok(match (&field.kind, field.shape, &rules.items) {
        (Type::Text, Shape::Implicit, _) => format!(
            "out.text(presence, {name:?}, &self.{name}, {}, &{});",
            requirement(field),
            text_rules(rules)
        ),
        (Type::Text, Shape::Optional, _) if field.oneof.is_none() => format!(
            "if let Some(text) = &self.{name} {{ out.text(presence, {name:?}, text, {}, &{}); }}",
            requirement(field),
            text_rules(rules)
        ),
        (Type::Text, Shape::Repeated, Some(items)) => format!(
            "if {} {{
                for (i, text) in self.{name}.iter().enumerate() {{
                    out.item({name:?}, i, text, &{});
                }}
            }}",
            repeated(field)?,
            text_rules(items)
        ),
        (Type::Text, Shape::Repeated, None) => {
            return Err("a repeated text needs rules for its items".into());
        }
        (Type::Int32, Shape::Implicit, _) => {
            format!("out.int32({name:?}, self.{name}, {:?}, {:?});", rules.gte, rules.lte)
        }
        (Type::Enum(numbers), Shape::Implicit, _) => {
            format!("out.number({name:?}, self.{name}, &{:?});", allowed(numbers, rules)?)
        }
        (Type::Enum(numbers), Shape::Repeated, Some(items)) => format!(
            "if {} {{
                for (i, number) in self.{name}.iter().enumerate() {{
                    out.number(&format!(\"{name}[{{i}}]\"), *number, &{:?});
                }}
            }}",
            repeated(field)?,
            allowed(numbers, items)?
        ),
        // Lists that are only in responses.
        (Type::Message(_) | Type::Enum(_), Shape::Repeated, _) => String::new(),
        (Type::Message(kind), ..) if kind == "google.protobuf.FieldMask" => {
            let (resource, paths) = masked_resource(message, all)
                .ok_or("a mask needs a resource in the same message")?;
            format!("out.mask({name:?}, self.update_mask.as_ref(), &{paths:?}, {resource:?});")
        }
        (Type::Message(kind), Shape::Optional, _)
            if kind == "google.protobuf.Timestamp" && !has_rules =>
        {
            format!("out.time(presence, {name:?}, self.{name}.as_ref(), {});", requirement(field))
        }
        (Type::Message(kind), ..) if kind.starts_with("clinic.") => {
            let presence = match message.fields.iter().any(|f| f.name == "update_mask") {
                true => "crate::validation::Presence::of(self.update_mask.as_ref())",
                false => "crate::validation::Presence::Create",
            };
            match &field.oneof {
                None => {
                    format!("out.message({name:?}, self.{name}.as_ref(), {required}, {presence});")
                }
                Some(oneof) => format!(
                    "if let Some({}::{}(message)) = &self.{oneof} {{
                        out.message({name:?}, Some(message), false, {presence});
                    }}",
                    names::oneof_path(message, oneof),
                    names::upper_camel(name)
                ),
            }
        }
        _ if has_rules || *required => {
            return Err("rules are not supported for this type of field".into());
        }
        _ => String::new(),
    })
}

/// Returns the resource that an update mask applies to, and the paths that the mask may name.
fn masked_resource<'a>(
    message: &'a Message,
    all: &'a [Message],
) -> Option<(&'a str, Vec<&'a str>)> {
    let (field, name) = message.fields.iter().find_map(|f| match &f.kind {
        Type::Message(name) if name.starts_with("clinic.") => Some((f, name)),
        _ => None,
    })?;
    let resource = all.iter().find(|m| m.full_name == *name)?;
    let changeable = resource.fields.iter().filter(|f| f.is_changeable());
    Some((&field.name, changeable.map(|f| f.name.as_str()).collect()))
}

fn requirement(field: &Field) -> &'static str {
    match (field.required, field.immutable) {
        (true, false) => "crate::validation::Required::Always",
        (true, true) => "crate::validation::Required::OnCreate",
        (false, _) => "crate::validation::Required::Never",
    }
}

/// Generates the expression that checks a list and returns whether to check its items.
fn repeated(field: &Field) -> Result<String> {
    let Field { name, required, rules, .. } = field;
    let max = rules.max_items.ok_or("a list in a request needs the rule max_items")?;
    let (min, unique) = (rules.min_items, rules.unique);
    Ok(format!("out.repeated({name:?}, &self.{name}, {required}, {min:?}, {max}, {unique})"))
}

fn text_rules(rules: &Rules) -> String {
    let Rules { ignore_empty, min_len, max_len, one_of, .. } = rules;
    let formats =
        rules.formats.iter().map(|name| format!("crate::format::{},", name.to_uppercase()));
    let formats: String = formats.collect();
    format!(
        "crate::validation::Text {{
            ignore_empty: {ignore_empty},
            min_len: {min_len:?},
            max_len: {max_len:?},
            one_of: &{one_of:?},
            formats: &[{formats}],
        }}"
    )
}

fn allowed(numbers: &[i32], rules: &Rules) -> Result<Vec<i32>> {
    if !rules.defined_only {
        return Err("an enum needs the rule defined_only".into());
    }
    Ok(numbers.iter().copied().filter(|number| !rules.not_in.contains(number)).collect())
}
