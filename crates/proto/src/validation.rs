//! The rules of `buf.validate` and `google.api.field_behavior`, called by the generated code. All
//! violations are reported at once. None quotes the value, which may be private.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hash::Hash;

use prost::Message;
use prost_types::{FieldMask, Timestamp};

use crate::format::Format;
use crate::time;

/// A message with rules.
pub trait Validate {
    /// Adds the violations in this message to `out`.
    fn check(&self, presence: Presence<'_>, out: &mut Violations);
}

/// A function that lists the rules that an encoded message breaks.
pub type Check = fn(&[u8]) -> Vec<Violation>;

/// Finds the check of a request message by its full name, for callers that do not know its type.
pub fn check_of(message: &str) -> Option<Check> {
    crate::generated::check_of(message)
}

/// Checks an encoded message as the servers' codec does. Malformed bytes give no violations.
pub(crate) fn check<M: Message + Default + Validate>(encoded: &[u8]) -> Vec<Violation> {
    let mut violations = Violations::default();
    if let Ok(message) = M::decode(encoded) {
        message.check(Presence::Create, &mut violations);
    }
    violations.found
}

/// Which required fields must be given.
#[derive(Clone, Copy)]
pub enum Presence<'a> {
    /// All of them.
    Create,
    /// All except immutable ones: the update mask is `*`.
    Replace,
    /// None: an update without a mask changes the given fields only.
    Given,
    /// Those that the update mask names.
    Masked(&'a [String]),
}

impl<'a> Presence<'a> {
    /// Converts an update mask (AIP-134).
    pub fn of(mask: Option<&'a FieldMask>) -> Self {
        match mask.map(|m| m.paths.as_slice()) {
            None | Some([]) => Self::Given,
            Some([all]) if all == "*" => Self::Replace,
            Some(paths) => Self::Masked(paths),
        }
    }

    fn requires(self, field: &str, required: Required) -> bool {
        match (required, self) {
            (Required::Never, _) | (_, Presence::Given) => false,
            (_, Presence::Create) => true,
            (Required::OnCreate, _) => false,
            (Required::Always, Presence::Replace) => true,
            (Required::Always, Presence::Masked(paths)) => paths.iter().any(|p| p == field),
        }
    }
}

/// When a field must not be empty.
#[derive(Clone, Copy)]
pub enum Required {
    Never,
    /// For immutable fields, which updates omit.
    OnCreate,
    Always,
}

/// The rules of a text field.
pub struct Text {
    pub ignore_empty: bool,
    pub min_len: Option<usize>,
    pub max_len: Option<usize>,
    pub one_of: &'static [&'static str],
    pub formats: &'static [Format],
}

/// A rule that a field breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path from the request, such as `patient.first_name` or `ids[3]`.
    pub field: String,
    /// What the field must be.
    pub message: String,
}

impl Violation {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

/// The violations in a message.
#[derive(Default)]
pub struct Violations {
    path: String,
    found: Vec<Violation>,
}

impl Violations {
    /// Adds a violation of a rule that is not in the contract. The path of `field` is relative to
    /// the current message.
    pub fn add(&mut self, field: &str, message: impl Into<String>) {
        let field =
            if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) };
        self.found.push(Violation { field, message: message.into() });
    }

    /// Returns the violations.
    pub fn into_vec(self) -> Vec<Violation> {
        self.found
    }

    pub(crate) fn text(
        &mut self,
        presence: Presence<'_>,
        field: &str,
        text: &str,
        required: Required,
        rules: &Text,
    ) {
        if text.trim().is_empty() && presence.requires(field, required) {
            return self.add(field, "is required");
        }
        if let Some(message) = text_violation(text, rules) {
            self.add(field, message);
        }
    }

    pub(crate) fn item(&mut self, field: &str, index: usize, text: &str, rules: &Text) {
        if let Some(message) = text_violation(text, rules) {
            self.add(&format!("{field}[{index}]"), message);
        }
    }

    /// Checks that at most one of these fields is given, or exactly one if `required` is set.
    pub(crate) fn choice(&mut self, given: &[(&str, bool)], required: bool) {
        let count = given.iter().filter(|(_, given)| *given).count();
        let rule = match count {
            0 if required => "is required, unless",
            0 | 1 => return,
            _ => "must be empty when",
        };
        for (field, _) in given.iter().filter(|(_, given)| *given || count == 0) {
            let others: Vec<_> =
                given.iter().filter(|(f, _)| f != field).map(|(f, _)| format!("`{f}`")).collect();
            self.add(field, format!("{rule} {} is given", others.join(" or ")));
        }
    }

    pub(crate) fn int32(&mut self, field: &str, value: i32, gte: Option<i32>, lte: Option<i32>) {
        if gte.is_some_and(|least| value < least) || lte.is_some_and(|most| value > most) {
            let mut message = "must be".to_owned();
            if let Some(least) = gte {
                let _ = write!(message, " at least {least}");
            }
            if let Some(most) = lte {
                let and = if gte.is_some() { " and" } else { "" };
                let _ = write!(message, "{and} at most {most}");
            }
            self.add(field, message);
        }
    }

    /// Checks a time. The databases sort times of these years only.
    pub(crate) fn time(
        &mut self,
        presence: Presence<'_>,
        field: &str,
        value: Option<&Timestamp>,
        required: Required,
    ) {
        match value {
            None if presence.requires(field, required) => self.add(field, "is required"),
            Some(value) if time::utc(*value).is_none() => {
                self.add(field, "must be a time in the years 1 to 9999");
            }
            _ => {}
        }
    }

    pub(crate) fn number(&mut self, field: &str, value: i32, allowed: &[i32]) {
        if !allowed.contains(&value) {
            self.add(field, "must be one of the allowed values");
        }
    }

    /// Checks the rules of a list. Returns false if it is too long to check its items.
    pub(crate) fn repeated<T: Eq + Hash>(
        &mut self,
        field: &str,
        items: &[T],
        required: bool,
        min: Option<u64>,
        max: u64,
        unique: bool,
    ) -> bool {
        let len = u64::try_from(items.len()).unwrap_or(u64::MAX);
        if required && items.is_empty() {
            self.add(field, "is required");
        } else if min.is_some_and(|min| len < min) {
            self.add(field, format!("must have at least {} items", min.unwrap_or_default()));
        } else if len > max {
            self.add(field, format!("must have at most {max} items"));
        } else if unique && items.iter().collect::<HashSet<_>>().len() < items.len() {
            self.add(field, "must not contain duplicates");
        }
        len <= max
    }

    pub(crate) fn message<M: Validate>(
        &mut self,
        field: &str,
        message: Option<&M>,
        required: bool,
        presence: Presence<'_>,
    ) {
        match message {
            None if required => self.add(field, "is required"),
            None => {}
            Some(message) => {
                let outer = self.path.len();
                if outer > 0 {
                    self.path.push('.');
                }
                self.path.push_str(field);
                message.check(presence, self);
                self.path.truncate(outer);
            }
        }
    }

    pub(crate) fn mask(
        &mut self,
        field: &str,
        mask: Option<&FieldMask>,
        paths: &[&str],
        resource: &str,
    ) {
        let Some(mask) = mask else { return };
        if mask.paths.iter().any(|p| p == "*") {
            if mask.paths.len() > 1 {
                self.add(field, "`*` must be the only path");
            }
        } else if mask.paths.iter().any(|path| !paths.contains(&path.as_str())) {
            // Does not quote the path, which is text from the client.
            let paths = paths.join(", ");
            self.add(field, format!("must name fields of `{resource}` that can change: {paths}"));
        }
    }
}

fn text_violation(text: &str, rules: &Text) -> Option<String> {
    if rules.ignore_empty && text.is_empty() {
        return None;
    }
    let Text { min_len, max_len, one_of, formats, .. } = rules;
    let short = min_len.is_some_and(|min| text.chars().take(min).count() < min);
    let long = max_len.is_some_and(|max| text.len() > max && text.chars().nth(max).is_some());
    if short || long {
        return Some(match (min_len, max_len) {
            (Some(min), Some(max)) => format!("must be {min} to {max} characters long"),
            (Some(min), None) => format!("must be at least {min} characters long"),
            (None, max) => format!("must be at most {} characters long", max.unwrap_or_default()),
        });
    }
    if !one_of.is_empty() && !one_of.contains(&text) {
        return Some(format!("must be one of {}", one_of.join(", ")));
    }
    let broken = formats.iter().find(|format| !(format.is_valid)(text))?;
    Some(broken.message.to_owned())
}

#[cfg(test)]
mod tests;
