use super::{Case, Group, Observed, Seen, Shape, repeated, sent_once};
use crate::retry::ask::Ask;
use crate::server::{Reply, Script};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (status, name, right) in [
        (
            408,
            "`408`",
            "The server gave up on a connection; the request may be repeated on another one (RFC 9110, 15.5.9).",
        ),
        (
            429,
            "`429`",
            "Sent again: it was not processed (RFC 6585, 4).",
        ),
        (
            500,
            "`500`",
            "Sent again: `GET` is idempotent, and the fault may be a passing one.",
        ),
        (502, "`502`", "Sent again, for the same reason."),
        (
            503,
            "`503`",
            "Sent again: the server reports a temporary overload (RFC 9110, 15.6.4).",
        ),
        (
            529,
            "`529`",
            "Sent again: Anthropic's status of an overload.",
        ),
    ] {
        let script = Script::once(Reply::error(status));
        cases.push(Case::new(
            Group::Statuses,
            name,
            right,
            Ask::get(),
            script,
            repeated,
        ));
    }
    for (status, name, right) in [
        (
            504,
            "`504`",
            "Not sent again to the same server: the slow attempt may still be in progress.",
        ),
        (
            501,
            "`501`",
            "Not sent again: the method will not be implemented in a second (RFC 9110, 15.6.2).",
        ),
        (400, "`400`", "Not sent again: the request itself is wrong."),
        (
            401,
            "`401`",
            "Not sent again: the same credential is rejected again.",
        ),
        (404, "`404`", "Not sent again: it is not there."),
    ] {
        let script = Script::once(Reply::error(status));
        cases.push(Case::new(
            Group::Statuses,
            name,
            right,
            Ask::get(),
            script,
            sent_once,
        ));
    }
    let read = |name, right, refusal, check: fn(&Observed) -> Seen| {
        let script = Script::once(refusal);
        Case::new(Group::Statuses, name, right, Ask::post(), script, check)
            .shape(Shape::ErrorBodies)
    };
    cases.extend([
        read(
            "`429`, the quota is spent",
            "Not sent again: `insufficient_quota` ends with a payment, not with time (OpenAI's error codes).",
            Reply::new(429, SPENT),
            sent_once,
        ),
        read(
            "`429`, the quota is spent, in `code` only",
            "Not sent again: some servers of the same API write another `type`.",
            Reply::new(429, SPENT.replace(r#""type":"insufficient_quota""#, r#""type":"billing""#)),
            sent_once,
        ),
        read(
            "`429`, too many requests",
            "Sent again: the body distinguishes a rate limit from a quota.",
            Reply::new(429, LIMITED),
            repeated,
        ),
        read(
            "`429` in HTML",
            "Sent again: a proxy in front of the API writes pages and no JSON.",
            Reply::html(429),
            repeated,
        ),
    ]);
    cases
}

const SPENT: &str = r#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota","param":null,
"code":"insufficient_quota"}}"#;
const LIMITED: &str = r#"{"error":{"message":"Rate limit reached for requests.","type":"requests","param":null,
"code":"rate_limit_exceeded"}}"#;
