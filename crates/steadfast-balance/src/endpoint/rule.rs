//! Rules of the user about the replies of an endpoint.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use steadfast_core::{Class, InvalidConfig, Scope, Verdict};

/// A rule about the replies of one endpoint: conditions, and the verdict if all of them hold.
///
/// For an endpoint whose errors mean something else than the same errors of other servers. The
/// stack applies the rules of an endpoint in their order, before its own tables. A balancer alone
/// does not read bodies, and applies none.
///
/// ```
/// use steadfast_balance::{Endpoint, Rule};
/// use steadfast_core::Class;
///
/// let spent = Rule::new(Class::QuotaExhausted).status(403).contains("run out of credits");
/// let endpoint = Endpoint::new("relay", "https://relay.example.com/v1")?.rule(spent);
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a rule does nothing until an endpoint has it"]
pub struct Rule {
    class: Class,
    scope: Option<Scope>,
    hint: Option<Duration>,
    status: Option<u16>,
    code: Option<String>,
    header: Option<(String, String)>,
    contains: Option<String>,
}

impl Rule {
    /// Creates a rule for replies of this class. It needs at least one condition.
    pub fn new(class: Class) -> Self {
        Self {
            class,
            scope: None,
            hint: None,
            status: None,
            code: None,
            header: None,
            contains: None,
        }
    }

    /// Requires this status. Without it, a rule applies to failures only.
    ///
    /// A status and a header hold for each answer. The stack searches a code or a text of a success
    /// in checked answers and in events of streams only. An error in an event has the status `200`,
    /// unless it has a status as code.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Requires this code or type in the body, in any case.
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into().to_ascii_lowercase());
        self
    }

    /// Requires a header with this name that contains `value`, in any case. An empty value requires
    /// the header only.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.header = Some((name.into(), value.into().to_ascii_lowercase()));
        self
    }

    /// Requires this text in the body, in any case.
    ///
    /// A text that the request contains proves nothing: a server may repeat it. A spent quota that
    /// only a text proves benches the endpoint for a minute, if the status is `402`, `403`, `412`,
    /// `429` or `498`. Beside other statuses it concerns its own request, unless the rule has a
    /// [`code`](Self::code).
    pub fn contains(mut self, text: impl Into<String>) -> Self {
        self.contains = Some(text.into().to_ascii_lowercase());
        self
    }

    /// Sets the hint. Defaults to the hint of the reply.
    pub fn hint(mut self, hint: Duration) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Sets the state that the reply concerns. Defaults to the scope of the class.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Returns the required text, in lower case.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.contains.as_deref()
    }

    /// Returns whether the rule holds for a reply. `has_code` and `has_text` search its body in
    /// lower case.
    ///
    /// `failed` holds for a reply that is a failure otherwise, such as an error in a `200`.
    pub fn matches(
        &self,
        (status, headers): (StatusCode, &HeaderMap),
        failed: bool,
        has_code: impl FnOnce(&str) -> bool,
        has_text: impl FnOnce(&str) -> bool,
    ) -> bool {
        let is_status = match self.status {
            Some(required) => required == status.as_u16(),
            None => failed,
        };
        is_status
            && (self.header.as_ref()).is_none_or(|(name, value)| has_header(headers, name, value))
            && self.code.as_deref().is_none_or(has_code)
            && self.text().is_none_or(has_text)
    }

    /// Returns the verdict of this rule on a reply with the verdict `given`.
    #[must_use]
    pub fn verdict(&self, given: Verdict) -> Verdict {
        let mut verdict = given.with_class(self.class);
        if self.hint.is_some() {
            verdict = verdict.with_hint(self.hint);
        }
        if let Some(scope) = self.scope {
            verdict = verdict.with_scope(scope);
        }
        if self.contains.is_some() && self.code.is_none() {
            verdict = verdict.with_text_origin();
        }
        verdict
    }

    /// Checks the values that setters accept unchecked.
    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        let invalid =
            |field: &str, value: &str, reason| Err(InvalidConfig::new(field, value, reason));
        if let Some(status) = self.status.filter(|status| !(100..=999).contains(status)) {
            return Err(InvalidConfig::new(
                "status",
                status,
                "must be from 100 to 999",
            ));
        }
        if matches!(self.class, Class::Cancelled | Class::Local) {
            let reason = "must be a class that a reply can have";
            return invalid("class", self.class.as_str(), reason);
        }
        let (code, text) = (self.code.as_deref(), self.text());
        for (field, value) in [("code", code), ("contains", text)] {
            if value.is_some_and(|value| value.trim().is_empty()) {
                return invalid(field, "", "must not be empty");
            }
        }
        if let Some((name, _)) = &self.header {
            if HeaderName::try_from(name.as_str()).is_err() {
                return invalid("header", name, "must begin with the name of a header");
            }
        }
        let conditions = (self.status, code, text, &self.header);
        if matches!(conditions, (None, None, None, None)) {
            return invalid("rule", "none", "must have a status, code, header or text");
        }
        Ok(())
    }
}

/// Returns whether a header contains a value, which is in lower case.
fn has_header(headers: &HeaderMap, name: &str, value: &str) -> bool {
    let texts = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok());
    texts
        .map(str::to_ascii_lowercase)
        .any(|text| text.contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conditions_must_hold() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("server"),
            "Relay/2".parse().expect("a value"),
        )]);
        let rule = || Rule::new(Class::RateLimited);
        for (rule, status, expected) in [
            (rule().status(403), 403, true),
            (rule().status(403), 404, false),
            (rule().code("Busy"), 500, true),
            (rule().code("other"), 500, false),
            (rule().contains("No Credit"), 402, true),
            (rule().contains("no credits"), 402, false),
            (rule().header("Server", "relay"), 500, true),
            (rule().header("server", ""), 500, true),
            (rule().header("server", "nginx"), 500, false),
            (rule().header("via", ""), 500, false),
            (
                rule().status(500).code("busy").contains("no credit"),
                500,
                true,
            ),
            (rule().status(500).code("busy").contains("else"), 500, false),
            // A success is judged only if the rule names its status.
            (rule().contains("no credit"), 200, false),
            (rule().status(200).contains("no credit"), 200, true),
        ] {
            let head = (StatusCode::from_u16(status).expect("a status"), &headers);
            let has_text = |text: &str| "there is no credit left".contains(text);
            let found = rule.matches(head, status != 200, |code| code == "busy", has_text);
            assert_eq!(found, expected, "{rule:?} {status}");
        }
    }

    #[test]
    fn verdict_has_the_values_of_the_rule() {
        let given = Verdict::new(Class::Unauthorized).with_hint(Some(Duration::from_secs(5)));
        let verdict = Rule::new(Class::RateLimited).status(403).verdict(given);
        assert_eq!(verdict, given.with_class(Class::RateLimited));

        let hint = Duration::from_secs(9);
        let rule = Rule::new(Class::QuotaExhausted)
            .contains("x")
            .hint(hint)
            .scope(Scope::Key);
        let verdict = rule.verdict(given);
        assert_eq!((verdict.hint(), verdict.scope()), (Some(hint), Scope::Key));
        assert!(verdict.is_from_text(), "the text may be of a caller");
        assert!(!rule.code("y").verdict(given).is_from_text());
    }

    #[test]
    fn invalid_rule_names_its_field() {
        let rule = || Rule::new(Class::RateLimited);
        for (rule, field) in [
            (rule(), "rule"),
            (rule().status(99), "status"),
            (rule().status(1000), "status"),
            (rule().code(" "), "code"),
            (rule().contains(""), "contains"),
            (rule().header("a b", ""), "header"),
            (Rule::new(Class::Cancelled).status(400), "class"),
        ] {
            let error = rule.validate().expect_err(field);
            assert_eq!(error.field(), field);
        }
        assert!(rule().status(429).validate().is_ok());
    }
}
